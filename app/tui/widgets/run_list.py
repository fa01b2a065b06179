"""The list of runs: one line each, drawn to the given width, with a selection that stays on its
run.

`row` and `columns` are functions of a summary and a width.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Line, exactly, fitted
from app.results import wording
from app.tui.widgets.listing import Colours, Listing
from core.sizes import counted

if TYPE_CHECKING:
    from storage.runs import RunSummary

STATUS, PROGRESS, STARTED, LASTED, ID = 14, 19, 8, 8, 9
BAR = 4
"""The part of `progress` for a bar; its words, ` 99 % ~12 h 05` at most, leave a gap after them."""
WIDE = 120
MARKED = "="
"""Before a run that is marked for a comparison: the key that compares."""


@dataclass(frozen=True, slots=True)
class ColumnWidths:
    """The width of each column; 0 for an omitted one."""

    name: int
    analyses: int


def columns(width: int) -> ColumnWidths:
    """The columns for a width: analyses appear where there is room."""
    left = max(8, width - 1 - STATUS - PROGRESS - STARTED - LASTED - ID)
    if width < WIDE:
        return ColumnWidths(left, 0)
    return ColumnWidths(left // 2, left - left // 2)


def heading(width: int) -> str:
    """The names of the columns."""
    plan = columns(width)
    parts = [" ", exactly("status", STATUS), exactly("study", plan.name)]
    if plan.analyses:
        parts.append(exactly("analyses", plan.analyses))
    parts += [exactly("progress", PROGRESS), exactly("started", STARTED)]
    parts += [exactly("took", LASTED), exactly("id", ID)]
    return "".join(parts)


def row(run: RunSummary, width: int, now: datetime, colours: Colours) -> Line:
    """One run as a row."""
    plan = columns(width)
    tone = Style(color=colours[wording.TONES.get(run.status, "muted")])
    muted = Style(color=colours["muted"])
    sign = wording.SIGNS.get(run.status, "?")
    line = [
        Segment(" "),
        Segment(exactly(f"{sign} {run.status}", STATUS), tone),
        Segment(fitted(run.name, plan.name - 1) + " ", Style(bold=True)),
    ]
    if plan.analyses:
        names = ", ".join(run.analyses).replace("_", " ")
        line.append(Segment(fitted(names, plan.analyses - 1) + " ", muted))
    line += _progress(run, now, tone, muted)
    line += [
        Segment(exactly(wording.moment(run.started or run.created, now), STARTED)),
        Segment(exactly(wording.lasted(run, now), LASTED)),
        Segment(fitted(run.id[: ID - 1], ID), muted),
    ]
    return line


def _progress(run: RunSummary, now: datetime, tone: Style, muted: Style) -> Line:
    if run.status != "running":
        words = wording.percent(run) if run.status != "done" else counted(run.total, "unit")
        return [Segment(exactly(words, PROGRESS), muted)]
    done, rest = wording.bar(run, BAR)
    words = f" {wording.percent(run)} {wording.remaining(run, now).removeprefix('ETA ')}"
    return [Segment(done, tone), Segment(rest, muted), Segment(exactly(words, PROGRESS - BAR))]


class RunList(Listing["RunSummary"]):
    """The runs, newest first."""

    def key(self, item: RunSummary) -> str:
        return item.id

    def heading(self, width: int) -> str:
        return heading(width)

    def line(self, index: int, width: int, colours: Colours) -> Line:
        return row(self.items[index], width, wording.now(), colours)

    def mark_of(self, key: str) -> str:
        return MARKED

    def mark(self) -> None:
        """Mark the selected run, or unmark it; a third mark drops the first."""
        run = self.current
        if run is not None:
            others = tuple(each for each in self.marked if each != run.id)
            self.marked = others if run.id in self.marked else (*others[-1:], run.id)

    @property
    def compared(self) -> tuple[str, str] | None:
        """The two marked runs, or the marked and the selected one."""
        ids = [each for each in self.marked if each in self.keys]
        if self.current is not None and self.current.id not in ids:
            ids.append(self.current.id)
        return (ids[0], ids[1]) if self.marked and len(ids) > 1 else None
