"""Where a run stands, as the title of its screen. Functions of its summary: no widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from app import wording
from app.tui.widgets.bar import Piece, two_ends

if TYPE_CHECKING:
    from storage.runs import RunSummary


def title(run: RunSummary | None, trouble: str, width: int) -> Content:
    """The study on the left, how far it has come on the right; or what is wrong."""
    if trouble:
        return two_ends([(f" ! {trouble}", "bold $warning")], [], width)
    if run is None:
        return two_ends([(" Reading…", "$muted")], [], width)
    return two_ends([(" tauscope ", "$muted"), (run.name, "bold")], state(run), width)


def state(run: RunSummary) -> list[Piece]:
    """Its status and warnings, with its progress while it runs."""
    tone = f"${wording.TONES.get(run.status, 'muted')}"
    sign = wording.SIGNS.get(run.status, "?")
    plural = "s" if run.warnings != 1 else ""
    warned = [(f"{run.warnings} warning{plural}  ", "$warning")] if run.warnings else []
    status = "stopping" if run.cancel_requested and run.status == "running" else run.status
    if run.status != "running":
        return [*warned, (f"{sign} {status} ", tone)]
    done, rest = wording.bar(run, 12)
    words = f" {wording.percent(run)}  {wording.remaining(run, wording.now())} "
    return [*warned, (f"{sign} {status} ", tone), (done, tone), (rest, "$muted"), (words, tone)]
