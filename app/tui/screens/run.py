"""One run: a tab for each of its analyses with their pictures, and one with what else is known.

Built from what the analyses declare; knows none of them by name. Reads, never computes.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from app.results import wording
from app.results.figures import Drawn
from app.results.overview import NAME, Overview
from app.tui import run_title
from app.tui.data import Background, Contents, DataSource
from app.tui.feed import POLL, Feed, Polled
from app.tui.keys import bindings, written
from app.tui.memory import Memory, RunPosition
from app.tui.screens.run_keys import RunKeys
from app.tui.screens.run_parts import OVERVIEW
from app.tui.threads import Trouble, said
from app.tui.widgets.filter_line import FilterLine
from app.tui.widgets.pane import Pane
from app.tui.widgets.pictures import Pictures
from app.tui.widgets.tab_bar import numbered
from core.figures.filters import Filter, Names, merged
from core.figures.plots.plot import EMPTY
from core.figures.views import Choice
from storage.runs import RunSummary


class RunScreen(RunKeys):
    """Tabs of panes over one run, kept up to date while it runs."""

    PLACE = "run"
    FIRST = 0
    BINDINGS = bindings("run")
    DEFAULT_CSS = """
    RunScreen > #body { height: 1fr; }
    RunScreen Facts { height: 1fr; }
    RunScreen.-wide Pictures > Pane.-near { display: block; }
    RunScreen.-wide Pictures > Pane.-later { border-left: vkey $line; }
    RunScreen.-four Pictures { layout: grid; grid-size: 2 2; }
    RunScreen.-four Pictures.-one-row { layout: horizontal; }
    RunScreen.-four Pictures > Pane.-below { border-top: hkey $line; }
    RunScreen.-four Pictures > Pane.-last { column-span: 2; }
    RunScreen.-zoomed Pictures { layout: horizontal; }
    RunScreen.-zoomed Pictures > Pane.-near { display: none; }
    RunScreen.-zoomed Pictures > Pane.-chosen { display: block; border: none; }
    """

    def __init__(self, source: DataSource, run_id: str, before: RunPosition | None = None) -> None:
        """`before` is the last position of this screen."""
        super().__init__(source, run_id, before)
        self.feed = Feed(self, source, run_id, named=bool(before and before.filter))

    def body(self) -> ComposeResult:
        """The tabs, of which one shows, and the filter line."""
        yield from super().body()
        yield Vertical(id="body")
        yield FilterLine()

    def on_mount(self) -> None:
        self.set_interval(POLL, self.feed.poll)
        self.feed.poll()

    def on_unmount(self) -> None:
        self.gauge.stop()

    async def polled(self, polled: Polled) -> None:
        """Show the state of the run; read its pictures again once a second at most."""
        if self.is_left:
            return
        old, new = self.run, polled.run
        self.run, self.trouble = new, ""
        if polled.contents is not None:
            await self._build(polled.contents, polled.names, barren=polled.barren)
        elif polled.barren:
            await self.go(len(self.analyses))
        elif old is not None:
            counts = [(run.done, run.warnings, run.failed) for run in (old, new)]
            self._stale |= counts[0] != counts[1]
            self._stale |= new.workers > 0 and self.tab >= len(self.analyses)
            due = self._stale and not self.feed.beat and all(w.is_finished for w in self._readings)
            if old.status != new.status or due:
                self._reread()
        if not self.is_left:
            self._measure(new)
            self.renew()
            self.unveil()

    def lose(self, error: Trouble) -> None:
        """Show the error in reading the run."""
        self.trouble = said(error)
        self.renew()
        self.unveil()

    async def _build(self, contents: Contents, names: Names, *, barren: bool) -> None:
        """Take the tabs of the run's contents; each is made when it first shows.

        A run that ended without results opens on its error.
        """
        self.analyses = tuple(analysis for analysis, _ in contents)
        self.names = names
        self.feed.recall(self._before.filter, names)
        self._pictures = [Pictures(analysis, views, self._before) for analysis, views in contents]
        self._built = True
        known = [analysis.name for analysis in self.analyses]
        last, tab = self._before.tab, OVERVIEW
        if self._pressed is not None:
            groups = numbered(self.tabs())
            tab = groups[min(self._pressed, len(groups) - 1)].start + OVERVIEW
        elif barren or (self._before.stands and not last):
            tab = len(known)
        elif self._before.stands and last in known:
            tab = known.index(last)
        await self.go(tab)

    def placed(self, memory: Memory) -> Memory:
        """The memory with the position of this screen."""
        if not self._built:
            return memory
        tabs = (NAME, *(analysis.name for analysis in self.analyses), "")
        tab = tabs[self.tab - OVERVIEW]
        here = {"tab": tab, "filter": str(self.feed.filter)}
        place = self._before.model_copy(update=here)
        for pictures in self._pictures:
            place = pictures.placed(place)
        return memory.model_copy(update={"place": place, "selected": self.run_id})

    def _measure(self, run: RunSummary) -> None:
        """Show the load of this host while the run is running on it."""
        if run.status == "running" and run.host == socket.gethostname():
            self.gauge.start()
        else:
            self.gauge.stop()
        self._facts.show_load(self.gauge.reading)

    def know_overview(self, overview: Overview) -> None:
        """Show the cards and the findings; then cache the figures behind them."""
        blank = "" if self.run is None else wording.absence(self.run, written("run.resume"))
        self._overview.show(overview, blank)
        self.renew()
        self.call_after_refresh(self._read_ahead)

    def refuse_overview(self, error: Trouble) -> None:
        """Show the error in reading the overview."""
        self._overview.refuse(said(error))

    def on_overview_view_moved(self) -> None:
        """Offer the keys of the selected card or finding."""
        self.renew("keys")

    async def on_overview_view_opened(self) -> None:
        """Open the figure of the selected card or finding."""
        await self.action_drill()

    def on_pane_wanted(self, message: Pane.Wanted) -> None:
        self.feed.figure(message.pane)

    def hand_over(self, pane: Pane, asked: Choice | None, by: Filter, drawn: Drawn) -> None:
        """Hand a figure to its pane."""
        if by == self.feed.filter:
            self.names = merged(self.names, drawn.names)
            pane.blank = EMPTY
            if self.run is not None and not drawn.catalogue.values("metric"):
                pane.blank = (
                    wording.absence(self.run, written("run.resume"), pane.analysis) or EMPTY
                )
            pane.accept(asked, drawn)
            self.call_after_refresh(self._read_ahead)  # what is painted now comes first
        self.renew()

    def _read_ahead(self) -> None:
        """Once all shown pictures are read, read the next one of the tab; then prepare other tabs,
        the next one first."""
        if self.is_left:
            return
        missing = [pane for pane in self.panes() if not pane.is_of(self.feed.filter)]
        if missing and not any(pane.has_class("-near") for pane in missing):
            self.feed.figure(missing[0])
        elif not missing:
            panes: Sequence[Pane] = ()
            if self.tab + 1 < len(self._pictures):
                panes = self._pictures[self.tab + 1].gather(self.size.width, self._rows)
            self.feed.look_ahead(panes, () if self._ahead else self.analyses)
            self._ahead = True

    def know_names(self, names: Names) -> None:
        """Take more names to filter by."""
        self.names = merged(self.names, names)
        self.renew()

    def know(self, background: Background) -> None:
        """Show the details of the run."""
        if self.run is not None:
            self._facts.show(self.run, background)

    def on_resize(self) -> None:
        """Show as many pictures as have room now, and read them."""
        self._arrange()
        if self._built:
            self._reread()

    def on_descendant_focus(self) -> None:
        """A click chooses its pane."""
        pane = next((p for p in self.panes() if p.figure.has_focus), None)
        if pane is not None and not pane.has_class("-chosen"):
            self.pick(pane)

    def title_line(self, width: int) -> Content:
        """The state of the run, and how much of it the filter hides."""
        load = wording.load(self.gauge.reading)
        hidden = self.feed.filter.hidden(self.names) if self.feed.filter else None
        return run_title.title(self.run, self.trouble, width, load, hidden)
