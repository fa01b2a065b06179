"""Details of one model of the library, in a strip or in full. Functions of it; no widget."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.content import Content

from app.library.appraisal import Entry
from app.library.lineage import Branch
from app.results import wording
from app.text import short
from app.tui.widgets.bar import named
from core.sizes import counted

if TYPE_CHECKING:
    from storage.runs import RunSummary

MOST = 12
"""The most listed models or runs."""


@dataclass(frozen=True, slots=True)
class Relations:
    """The relatives of a model: models made from it, and the runs that use it, newest first."""

    children: tuple[Entry, ...] = ()
    runs: tuple[RunSummary, ...] = ()


def brief(branch: Branch, relations: Relations, width: int) -> Content:
    """Four lines on a model, each of one row."""
    entry = branch.entry
    if entry is None:
        return Content("\n").join(
            [
                named("model", branch.name, width, "bold"),
                named("where", "not on this machine", width, "$muted"),
                named("tuned", _names(relations.children), width, "$foreground"),
            ]
        )
    last = ("runs", _runs(relations.runs) or "none yet", "$foreground")
    if entry.trouble:
        last = ("trouble", f"✗ {entry.trouble}", "$error")
    return Content("\n").join(
        [
            named("model", wording.model_name(entry.name), width, "bold"),
            named("type", " · ".join(_what(entry)), width, "$foreground"),
            named("from", _origin(entry), width, "$foreground"),
            named(*last[:2], width, last[2]),
        ]
    )


def full(branch: Branch, relations: Relations) -> Content:
    """All facts, in sections."""
    entry = branch.entry
    if entry is None:
        words = "This model is not on this machine; models here name it as their parent."
        head = [Content.styled(short(branch.name), "bold $accent"), Content(words)]
        return Content("\n").join(
            [*head, *_listed("Models made from it", *map(_child, relations.children))]
        )
    lines = [Content.styled(short(wording.model_name(entry.name)), "bold $accent")]
    if entry.trouble:
        lines.append(Content.styled(f"✗ {short(entry.trouble)}", "$error"))
    else:
        lines.append(Content.styled("✓ tauscope can read it", "$success"))
    lines.append(Content(""))
    lines += [
        Content.assemble((f"{name:<14}", "$muted"), short(value))
        for name, value in _facts(entry)
        if value
    ]
    lines += _listed("Models made from it", *map(_child, relations.children))
    lines += _listed("Runs with it", *_used(relations.runs))
    return Content("\n").join(lines)


def _what(entry: Entry) -> Iterator[str]:
    kind, size, parameters, dtype, architecture = wording.model_facts(entry)
    if kind == "adapter":
        yield f"adapter of rank {entry.rank}" if entry.rank else "adapter"
    yield from (words for words in (architecture, dtype) if words and words != "unknown")
    if parameters:
        yield f"{parameters} parameters"
    if size:
        yield size
    if entry.layers:
        yield counted(entry.layers, "layer")


def _facts(entry: Entry) -> Iterator[tuple[str, str]]:
    yield "kind", entry.kind
    yield "architecture", ", ".join(filter(None, (entry.architecture, entry.model_class)))
    yield "parameters", f"{entry.parameters:,}" if entry.parameters is not None else "unknown"
    yield "dtype", entry.dtype
    yield "size", wording.size(entry.size) if entry.size is not None else ""
    yield "layers", f"{entry.layers} × {entry.hidden:,}" if entry.layers and entry.hidden else ""
    yield "rank", str(entry.rank) if entry.rank else ""
    yield "made from", ", ".join(entry.parents)
    yield "according to", " · ".join(filter(None, (entry.stated, entry.relation)))
    yield "snapshots", ", ".join(revision[:12] for revision in entry.revisions)
    yield "path", wording.model_name(str(entry.path))


def _origin(entry: Entry) -> str:
    if not entry.parents:
        return "names no parent"
    how = f" ({entry.relation})" if entry.relation else ""
    return f"{', '.join(entry.parents)}{how}, says its {entry.stated}"


def _listed(title: str, *lines: Content) -> Iterator[Content]:
    if not lines:
        return
    yield Content("")
    yield Content.styled(title, "bold")
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield Content.styled(f"… and {len(lines) - MOST} more", "$muted")


def _child(entry: Entry) -> Content:
    return Content(short(wording.model_name(entry.name)))


def _used(runs: Sequence[RunSummary]) -> Iterator[Content]:
    if not runs:
        yield Content.styled("none yet", "$muted")
    now = wording.now()
    for run in runs:
        tone = wording.TONES.get(run.status, "muted")
        yield Content.assemble(
            (wording.SIGNS.get(run.status, "?"), f"${tone}"),
            f" {short(run.name)}  ",
            (f"{wording.moment(run.created, now)}  {run.id[:8]}", "$muted"),
        )


def _runs(runs: Sequence[RunSummary]) -> str:
    return ", ".join(f"{run.name} ({run.status})" for run in runs)


def _names(entries: Sequence[Entry]) -> str:
    return ", ".join(wording.model_name(entry.name) for entry in entries)
