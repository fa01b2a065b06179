"""The tabs and pictures of one run: which of them show, and the one that keys act on.

Knows no key.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.worker import Worker

from app.jobs.gauge import Gauge
from app.tui.data import DataSource
from app.tui.feed import Feed
from app.tui.memory import RunPosition
from app.tui.screens.tabbed import TabbedScreen, soon
from app.tui.widgets.facts import Facts
from app.tui.widgets.overview import OverviewView
from app.tui.widgets.pane import Pane, Pointed
from app.tui.widgets.pictures import Pictures
from app.tui.widgets.tab_bar import Tab
from core.engine.registry import Analysis
from core.figures.filters import Names
from storage.runs import RunSummary

SHARED = ("model", "layer")
"""Coordinates that all pictures share: pointed at in one, pointed at in all."""
OVERVIEW = -1
"""The tab before the first analysis."""


class RunParts(TabbedScreen):
    """The state of a run's screen: its tabs, its panes, and the values pointed at."""

    feed: Feed

    def __init__(self, source: DataSource, run_id: str, before: RunPosition | None = None) -> None:
        """`before` is the last position of this screen."""
        super().__init__()
        self.source = source
        self.run_id = run_id
        self.run: RunSummary | None = None
        self.trouble = ""
        self.analyses: tuple[Analysis, ...] = ()
        self.names: Names = {}
        """The names to filter by, as far as they were read."""
        self.gauge = Gauge()
        self._pictures: list[Pictures] = []
        self._facts = Facts()
        self._overview = OverviewView()
        self._stale = self._built = self._ahead = False
        self._readings: list[Worker[None]] = []
        self._pressed: int | None = None
        """The number of a tab that was pressed before the tabs were known."""
        self._before = before or RunPosition(run=run_id)
        self._pointed: Pointed = {}
        self._trail: list[tuple[int, Pane | None]] = []
        """The tabs and panes from which details were opened, in order."""

    def tabs(self) -> list[Tab]:
        """The overview, the analyses, and the details of the run."""
        if self.run is None:
            return []
        return [Tab("Overview", "Ovr"), *map(Tab.of, self.analyses), Tab("Run", "Run")]

    @property
    def pictures(self) -> Pictures | None:
        """The pictures of this tab, if it has any."""
        return self._pictures[self.tab] if 0 <= self.tab < len(self._pictures) else None

    def panes(self) -> Sequence[Pane]:
        """The panes of this tab, shown or not."""
        return self.pictures.panes if self.pictures is not None else ()

    @property
    def pane(self) -> Pane | None:
        """The pane that keys act on."""
        return self.pictures.chosen if self.pictures is not None else None

    def pick(self, pane: Pane) -> None:
        """Have keys act on another picture of this tab, and show it."""
        self._note()
        self._trail.clear()
        pane.point(self._pointed)
        self._arrange(pane)
        self._reread()
        pane.figure.focus()
        self.renew()

    def _arrange(self, chosen: Pane | None = None) -> None:
        """Show the pane that keys act on, which becomes `chosen` if that is given, and others
        beside it."""
        if self.pictures is not None:
            if chosen is not None:
                self.pictures.choose(chosen)
            self.pictures.gather(self.size.width, self._rows)

    @property
    def _rows(self) -> int:
        """The number of shown rows of pictures."""
        return 1 + (self.has_class("-four") and self.has("room below", ()))

    def _reread(self) -> list[Worker[None]]:
        """Read the shown pictures again."""
        self._stale = False
        if self.tab == OVERVIEW:
            reading = self.feed.overview()
            self._readings = [] if reading is None else [reading]
        elif self.tab >= len(self.analyses):
            self._readings = [self.feed.background()]
            return []
        else:  # one that is hidden is read when it shows, or later
            near = (pane for pane in self.panes() if pane.has_class("-near"))
            self._readings = [self.feed.figure(pane) for pane in near]
        return self._readings

    def _note(self) -> None:
        """Remember the coordinates at the cursor, for pictures opened from here."""
        if self.pane is not None:
            self._pointed |= {k: v for k, v in self.pane.pointed().items() if k in SHARED}

    async def go(self, tab: int) -> None:
        """Show a tab, with its cursor at the coordinates pointed at here."""
        self._note()
        self._trail.clear()
        await self._show(tab)
        if self.pane is not None:
            self.pane.point(self._pointed)

    async def _show(self, tab: int, chosen: Pane | None = None) -> None:
        """Show a tab, with one of its panes chosen."""
        self.tab = tab
        self._arrange(chosen)
        shown = self.pictures or (self._overview if tab == OVERVIEW else self._facts)
        with self.app.batch_update():
            if not shown.is_attached and not self.is_left:
                shown.display = False
                await self.query_one("#body").mount(shown)
            if self.tab != tab or self.is_left:
                return  # a key has led elsewhere meanwhile
            for other in self.query_one("#body").children:
                other.display = other is shown
            await soon(self._reread())
            if self.tab != tab or self.is_left:
                return
        pane = self.pane
        (shown if pane is None else pane.figure).focus()
        self.renew()
