"""The strip that says what is known of one run. A function of its summary; no widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from app.results import wording
from app.text import plain
from app.tui.widgets.bar import NAME, named
from core.sizes import counted

if TYPE_CHECKING:
    from storage.runs import RunSummary

LINES = 4
MOST = 8
"""Lines where more rows are free and what went wrong takes more words."""


def detail(run: RunSummary, width: int, most: int = LINES) -> list[Content]:
    """Lines on a run, four but for what went wrong, which takes up to `most` in all: its models,
    where it stands, then what was computed and what it was warned of, or why it ended."""
    models = ", ".join(f"{name} (control)" if name in run.controls else name for name in run.models)
    lines = [named("models", models, width, "$foreground")]
    units = f"{run.done} of {run.total} units"
    if run.reused:
        units += f", {run.reused} reused"
    if run.status == "queued" and not run.total:
        units = ""  # nobody has counted them yet
    many = counted(run.workers, "worker") if run.workers else ""
    failed = f"{run.failed} failed" if run.failed else ""
    left = wording.remaining(run, wording.now())
    state = (units, failed, many, left, wording.in_hand(run))
    lines.append(named("units", " · ".join(filter(None, state)), width, "$foreground"))
    title, hint = wording.trouble(run)
    if title:
        error_lines = _pairs("error", title, width, "$error", most - len(lines) - bool(hint))
        lines += error_lines
        if hint:
            lines += _pairs("hint", hint, width, "$foreground", most - len(lines))
    else:
        analyses = ", ".join(run.analyses).replace("_", " ")
        lines.append(named("analyses", analyses, width, "$foreground"))
    if len(lines) < LINES:
        words = f"{run.warnings} warning{'s' if run.warnings != 1 else ''}"
        lines.append(named("notes", words, width, "$warning" if run.warnings else "$muted"))
    return lines


def _pairs(name: str, words: str, width: int, style: str, most: int) -> list[Content]:
    """Words over as many lines as they need, `most` at most, of which the last one is cut."""
    room = width - NAME
    wrapped = [line.plain.rstrip() for line in Content(plain(words)).wrap(room)]
    shown = wrapped[: most - 1] + [" ".join(wrapped[most - 1 :])] * (len(wrapped) >= most)
    names = (name, *[""] * (len(shown) - 1))
    return [named(n, line, width, style) for n, line in zip(names, shown, strict=True)]
