"""The strip with the facts of one run. A function of its summary; no widget."""

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
"""The most lines, for a long error and free rows."""


def detail(run: RunSummary, width: int, most: int = LINES) -> list[Content]:
    """Lines on a run: its models and its state, then its analyses and warnings, or its error. Four
    lines; with an error up to `most`."""
    models = ", ".join(f"{name} (control)" if name in run.controls else name for name in run.models)
    lines = [named("models", models, width, "$foreground")]
    units = f"{run.done} of {counted(run.total, 'unit')}"
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
        words = counted(run.warnings, "warning")
        lines.append(named("notes", words, width, "$warning" if run.warnings else "$muted"))
    return lines


def _pairs(name: str, words: str, width: int, style: str, most: int) -> list[Content]:
    """Words on as many lines as they need, at most `most`; the last one is cut."""
    room = width - NAME
    wrapped = [line.plain.rstrip() for line in Content(plain(words)).wrap(room)]
    shown = wrapped[: most - 1] + [" ".join(wrapped[most - 1 :])] * (len(wrapped) >= most)
    names = (name, *[""] * (len(shown) - 1))
    return [named(n, line, width, style) for n, line in zip(names, shown, strict=True)]
