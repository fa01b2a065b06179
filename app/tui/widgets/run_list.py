"""The list of runs: a line each, drawn to the width there is, with a selection that stays put.

`row` and `columns` are functions of a summary and a width; the widget scrolls and selects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from app import wording
from app.charts.lines import Line, exactly, fitted

if TYPE_CHECKING:
    from storage.runs import RunSummary

STATUS, PROGRESS, STARTED, LASTED, ID = 14, 19, 8, 8, 9
WIDE = 120
MARKED = "="
"""Before a run that is marked to be compared: the key that does it."""


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide each column is; 0 where it is left out."""

    name: int
    analyses: int


def columns(width: int) -> Columns:
    """The columns for a width: analyses appear where there is room."""
    left = max(8, width - 1 - STATUS - PROGRESS - STARTED - LASTED - ID)
    if width < WIDE:
        return Columns(left, 0)
    return Columns(left // 2, left - left // 2)


def heading(width: int) -> str:
    """The names of the columns."""
    plan = columns(width)
    parts = [" ", exactly("status", STATUS), exactly("study", plan.name)]
    if plan.analyses:
        parts.append(exactly("analyses", plan.analyses))
    parts += [exactly("progress", PROGRESS), exactly("started", STARTED)]
    parts += [exactly("took", LASTED), exactly("id", ID)]
    return "".join(parts)


def row(run: RunSummary, width: int, now: datetime, colours: dict[str, str]) -> Line:
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
        words = wording.percent(run) if run.status != "done" else f"{run.total} units"
        return [Segment(exactly(words, PROGRESS), muted)]
    done, rest = wording.bar(run, 6)
    words = f" {wording.percent(run)} {wording.remaining(run, now).removeprefix('ETA ')}"
    return [Segment(done, tone), Segment(rest, muted), Segment(exactly(words, PROGRESS - 6))]


def _said(words: str, colours: dict[str, str]) -> Line:
    """Our own words, with those between backticks made to stand out."""
    strong = Style(color=colours["accent"], bold=True)
    parts = enumerate(words.split("`"))
    return [Segment("  "), *(Segment(text, strong if i % 2 else None) for i, text in parts)]


class RunList(Widget, can_focus=True):
    """The runs, newest first. The selection follows its run when others come and go."""

    DEFAULT_CSS = "RunList { height: 1fr; width: 1fr; }"

    runs: reactive[tuple[RunSummary, ...]] = reactive((), repaint=False)
    selected: reactive[int] = reactive(0, repaint=False)
    marked: reactive[tuple[str, ...]] = reactive(())
    """The ids of the runs to compare, two at most, in the order in which they were marked."""

    class Changed(Message):
        """Another run is selected, or the selected one changed."""

    class Opened(Message):
        """The selected run is to be opened."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.top = 0
        self.empty = ""
        self._rows: dict[int, Line] = {}

    @property
    def current(self) -> RunSummary | None:
        """The selected run."""
        return self.runs[self.selected] if self.selected < len(self.runs) else None

    def fill(self, runs: Sequence[RunSummary]) -> None:
        """Show these runs, with the same one selected if it is still there."""
        held = self.current.id if self.current else None
        ids = [run.id for run in runs]
        place = ids.index(held) if held in ids else min(self.selected, max(0, len(ids) - 1))
        moved = ids != [run.id for run in self.runs]
        self.runs = tuple(runs)
        self.selected = place
        if moved or not runs:
            self.refresh()
        else:
            self._refresh_changed()
        self.post_message(self.Changed())

    def _refresh_changed(self) -> None:
        """Paint the rows that read differently now, and no others."""
        width, now, colours = self.size.width, wording.now(), self._colours()
        for y, old in list(self._rows.items()):
            at = self.top + y - 1
            if at < len(self.runs) and row(self.runs[at], width, now, colours) != old:
                self.refresh(Region(0, y, width, 1))

    def move(self, by: int) -> None:
        """Select another run."""
        self.selected = max(0, min(self.selected + by, len(self.runs) - 1))

    def mark(self) -> None:
        """Mark the selected run, or unmark it; a third mark drops the first."""
        run = self.current
        if run is not None:
            others = tuple(each for each in self.marked if each != run.id)
            self.marked = others if run.id in self.marked else (*others[-1:], run.id)

    @property
    def compared(self) -> tuple[str, str] | None:
        """The two runs that are marked, or the marked and the selected one."""
        ids = [each for each in self.marked if any(run.id == each for run in self.runs)]
        if self.current is not None and self.current.id not in ids:
            ids.append(self.current.id)
        return (ids[0], ids[1]) if self.marked and len(ids) > 1 else None

    def select(self, run_id: str) -> None:
        """Select a run by its id, if it is among them."""
        self.selected = next(
            (at for at, run in enumerate(self.runs) if run.id == run_id), self.selected
        )

    def watch_selected(self, old: int, new: int) -> None:
        """Paint the two rows that this changes, or all where the list has to scroll."""
        top = self._top()
        if top != self.top:
            self.top = top
            self.refresh()
        elif self.size:
            self.refresh(*(Region(0, at - top + 1, self.size.width, 1) for at in (old, new)))
        self.post_message(self.Changed())

    def watch_marked(self) -> None:
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if not self.runs:
            words = self.empty.split("\n")
            said = _said(words[y - 1], self._colours()) if 1 <= y <= len(words) else []
            return Strip(said).adjust_cell_length(width).apply_style(self.rich_style)
        colours = self._colours()
        if y == 0:
            line = [Segment(heading(width), Style(color=colours["muted"]))]
            return Strip(line).adjust_cell_length(width).apply_style(self.rich_style)
        self.top = self._top()
        at = self.top + y - 1
        if at >= len(self.runs):
            return Strip.blank(width, self.rich_style)
        line = row(self.runs[at], width, wording.now(), colours)
        self._rows[y] = list(line)
        base, chosen = self.rich_style, at == self.selected
        if self.runs[at].id in self.marked:  # reversed, so that it shows without colours too
            style = Style(color=colours["accent"], bold=True, reverse=chosen)
            line[0] = Segment(MARKED, style)
        elif chosen:
            line[0] = Segment("▌", Style(color=colours["accent"]))
        if chosen:
            base = base + Style(bgcolor=colours["line"])
        return Strip(line).adjust_cell_length(width).apply_style(base)

    def _top(self) -> int:
        """The run in the first row: the selected one is always in sight."""
        body = max(1, self.size.height - 1)
        top = max(self.selected + 1 - body, min(self.top, self.selected), 0)
        return min(top, max(0, len(self.runs) - body))

    def on_click(self, event: events.Click) -> None:
        at = self.top + event.y - 1
        if event.y >= 1 and at < len(self.runs):
            if at == self.selected and event.chain > 1:
                self.post_message(self.Opened())
            self.selected = at

    def on_mouse_scroll_down(self) -> None:
        self.move(1)

    def on_mouse_scroll_up(self) -> None:
        self.move(-1)

    def _colours(self) -> dict[str, str]:
        variables = self.app.theme_variables
        names = ("muted", "line", "accent", "success", "warning", "error")
        return {name: variables[name] for name in names}
