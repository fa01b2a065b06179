"""The strip that says what is known of one run. A function of its summary; no widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from app import wording
from app.charts.lines import fitted

if TYPE_CHECKING:
    from storage.runs import RunSummary


LINES = 4


def detail(run: RunSummary, width: int) -> list[Content]:
    """Four lines on a run: its models, where it stands, what it was warned of, what went wrong."""
    models = ", ".join(f"{name} (control)" if name in run.controls else name for name in run.models)
    lines = [_pair("models", models, width, "$foreground")]
    state = f"{run.done} of {run.total} units"
    if run.reused:
        state += f", {run.reused} reused"
    eta = wording.remaining(run, wording.now())
    state += f" · {eta}" if eta else ""
    if run.status == "running" and run.label:
        state += f" · {run.label}"
    lines.append(_pair("units", state, width, "$foreground"))
    if run.error_title:
        lines.append(_pair("error", run.error_title, width, "$error"))
        lines.append(_pair("hint", run.error_hint, width, "$foreground"))
    else:
        analyses = ", ".join(run.analyses).replace("_", " ")
        lines.append(_pair("analyses", analyses, width, "$foreground"))
        words = f"{run.warnings} warning{'s' if run.warnings != 1 else ''}"
        if run.cancel_requested and run.status == "running":
            words += " · stopping"
        lines.append(_pair("notes", words, width, "$warning" if run.warnings else "$muted"))
    return lines


def _pair(name: str, words: str, width: int, style: str) -> Content:
    text = fitted(words, width - 10).rstrip()
    return Content.assemble((f"{name:<9} ", "$muted"), (text, style))
