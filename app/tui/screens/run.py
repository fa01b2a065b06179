"""One run: a tab for each of its analyses with their pictures, and one with what else is known.

Built from what the analyses declare; knows none of them by name. Reads, never computes.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.worker import Worker

from app.jobs.gauge import Gauge
from app.results import wording
from app.results.figures import Drawn
from app.results.overview import NAME, Overview
from app.tui import run_title
from app.tui.data import Background, Contents, DataSource
from app.tui.feed import POLL, Feed, Polled
from app.tui.keys import Where, bindings, written
from app.tui.memory import Memory, RunPosition
from app.tui.screens.control import ask_to_cancel, called, resume, startable
from app.tui.screens.export import ask_to_write
from app.tui.screens.help import OVERVIEW_TOPIC, Topic
from app.tui.screens.tabbed import TabbedScreen, soon
from app.tui.screens.whole import Destination
from app.tui.threads import Trouble, said
from app.tui.widgets.facts import Facts
from app.tui.widgets.filter_line import FilterLine
from app.tui.widgets.overview import OverviewView
from app.tui.widgets.pane import Pane, Pointed
from app.tui.widgets.pictures import Pictures
from app.tui.widgets.tab_bar import Tab, numbered
from core.engine import registry
from core.engine.registry import Analysis
from core.figures.filters import Filter, Names, merged
from core.figures.plots.plot import EMPTY
from core.figures.views import Choice
from storage.runs import RunSummary

SHARED = ("model", "layer")
"""What is pointed at in one picture is pointed at in the others too."""
TALL = 44
"""Rows that a screen has where two rows of pictures can be read."""
OVERVIEW = -1
"""The tab before the first analysis."""


class RunScreen(TabbedScreen):
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
        """`before` is where this screen stood the last time."""
        super().__init__()
        self.source = source
        self.run_id = run_id
        self.run: RunSummary | None = None
        self.trouble = ""
        self.analyses: tuple[Analysis, ...] = ()
        self.names: Names = {}
        """What there is to filter by, as far as was seen yet."""
        self.feed = Feed(self, source, run_id, named=bool(before and before.filter))
        self.gauge = Gauge()
        self._pictures: list[Pictures] = []
        self._facts = Facts()
        self._overview = OverviewView()
        self._stale = self._built = self._ahead = False
        self._pressed: int | None = None
        """The number of a tab that was asked for before there were any."""
        self._before = before or RunPosition(run=run_id)
        self._pointed: Pointed = {}
        self._trail: list[tuple[int, Pane | None]] = []
        """The tabs and panes from which what lies behind a value was opened."""

    def body(self) -> ComposeResult:
        """The tabs, of which one shows, and the line of the filter."""
        yield from super().body()
        yield Vertical(id="body")
        yield FilterLine()

    def tabs(self) -> list[Tab]:
        """The overview, the analyses, and the details of the run."""
        if self.run is None:
            return []
        return [Tab("Overview", "Ovr"), *map(Tab.of, self.analyses), Tab("Run", "Run")]

    def on_mount(self) -> None:
        self.set_interval(POLL, self.feed.poll)
        self.feed.poll()

    def on_unmount(self) -> None:
        self.gauge.stop()

    # Reading

    async def polled(self, polled: Polled) -> None:
        """Show where the run stands; once a second at most, read its pictures anew."""
        if self.is_left:
            return
        old, new = self.run, polled.run
        self.run, self.trouble = new, ""
        if polled.contents is not None:
            await self._build(polled.contents, polled.names, barren=polled.barren)
        elif polled.barren:
            await self.go(len(self.analyses))
        elif old is not None:
            self._stale |= (old.done, old.warnings) != (new.done, new.warnings)
            self._stale |= new.workers > 0 and self.tab >= len(self.analyses)
            if old.status != new.status or (self._stale and not self.feed.beat):
                self._reread()
        if not self.is_left:
            self._measure(new)
            self.renew()
            self.unveil()

    def lose(self, error: Trouble) -> None:
        """Say why the run can't be read."""
        self.trouble = said(error)
        self.renew()
        self.unveil()

    async def _build(self, contents: Contents, names: Names, *, barren: bool) -> None:
        """Know the tabs, once it is known what the run has; they are made when they show.

        A run that ended before it had anything to show begins with why.
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
        """Where this screen stands, for the next time."""
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
        """Say how busy this host is while the run is running on it."""
        if run.status == "running" and run.host == socket.gethostname():
            self.gauge.start()
        else:
            self.gauge.stop()
        self._facts.show_load(self.gauge.reading)

    def _reread(self) -> list[Worker[None]]:
        """Read again what the tab shows."""
        self._stale = False
        if self.tab == OVERVIEW:
            reading = self.feed.overview()
            return [] if reading is None else [reading]
        if self.tab >= len(self.analyses):
            self.feed.background()
            return []
        # One that is hidden is read when it shows, or later.
        return [self.feed.figure(pane) for pane in self.panes() if pane.has_class("-near")]

    def know_overview(self, overview: Overview) -> None:
        """Show the cards and the findings; then cache the figures behind them."""
        blank = "" if self.run is None else wording.absence(self.run, written("run.resume"))
        self._overview.show(overview, blank)
        self.renew()
        self.call_after_refresh(self._read_ahead)

    def refuse_overview(self, error: Trouble) -> None:
        """Say why the overview can't be read."""
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
        """Once all that shows was read, the next of the tab that was not; then for other tabs,
        what the next one begins with first."""
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
        """More to filter by."""
        self.names = merged(self.names, names)
        self.renew()

    def know(self, background: Background) -> None:
        """Show what else is known of the run."""
        if self.run is not None:
            self._facts.show(self.run, background)

    # What is where

    @property
    def pictures(self) -> Pictures | None:
        """Those of this tab, if it has any."""
        return self._pictures[self.tab] if 0 <= self.tab < len(self._pictures) else None

    def panes(self) -> Sequence[Pane]:
        """The pictures of this tab, seen or not."""
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
        """Show the pane that keys act on, another one from now on if that is said, and others
        beside it."""
        if self.pictures is not None:
            if chosen is not None:
                self.pictures.choose(chosen)
            self.pictures.gather(self.size.width, self._rows)

    @property
    def _rows(self) -> int:
        """How many rows of pictures show."""
        return 1 + (self.has_class("-four") and self.has("room below", ()))

    def on_resize(self) -> None:
        """More or fewer pictures have room, of which some were not read for long."""
        self._arrange()
        if self._built:
            self._reread()

    def _note(self) -> None:
        """Remember what was pointed at, for the pictures that are gone to from here."""
        if self.pane is not None:
            self._pointed |= {k: v for k, v in self.pane.pointed().items() if k in SHARED}

    async def go(self, tab: int) -> None:
        """Show a tab, and there what was pointed at here."""
        self._note()
        self._trail.clear()
        await self._show(tab)
        if self.pane is not None:
            self.pane.point(self._pointed)

    async def _show(self, tab: int, chosen: Pane | None = None) -> None:
        """Have a tab on the screen, and one of its panes chosen."""
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

    def on_descendant_focus(self) -> None:
        """A click chooses its pane."""
        pane = next((p for p in self.panes() if p.figure.has_focus), None)
        if pane is not None and not pane.has_class("-chosen"):
            self.pick(pane)

    # Keys

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """What else the keys of a run act on."""
        match need:
            case "tabs":
                return not self.query_one(FilterLine).writing  # in which tab completes
            case "a picture to filter":
                return self.pane is not None and (not self.pane.barren or bool(self.feed.filter))
            case "something behind":
                return self._behind() is not None
            case "views":
                return len(self.panes()) > 1
            case "room beside":
                return len(self.panes()) > 1 and self.has_class("-wide")
            case "room below":
                tall = self.has_class("-wide") and self.size.height >= TALL
                return len(self.panes()) > 2 and tall
            case "work under way":
                return self.run is not None and self.run.status in wording.UNDER_WAY
            case "a run to start":
                return startable(self.run)
        return super().has(need, parameters)

    async def action_tab(self, number: int) -> None:
        """Go to a tab by its number; before there are any, remember it."""
        if self._built:
            await super().action_tab(number)
        else:
            self._pressed = number

    def action_view(self) -> None:
        """Go to the next picture of this tab."""
        if self.pane is not None:
            panes = self.panes()
            self.pick(panes[(panes.index(self.pane) + 1) % len(panes)])

    def action_zoom(self) -> None:
        """One picture on the whole screen, and back."""
        self.toggle_class("-zoomed")

    def action_four(self) -> None:
        """Two rows of pictures, and back to one."""
        self.remove_class("-zoomed")
        self.toggle_class("-four")
        self._arrange()
        self._reread()

    def action_cancel(self) -> None:
        """Cancel this run, once confirmed."""
        ask_to_cancel(self, self.source, self.run)

    def action_log(self) -> None:
        """Show the log of the run's worker."""
        from app.tui.screens.log import LogScreen

        self.app.push_screen(LogScreen(self.source, self.run_id))

    def action_bench(self) -> None:
        """Open the bench of this run's study, with the models and the prompt at the cursor."""
        from app.tui.bench import opening
        from app.tui.screens.benching import open_bench

        pane, find = self.pane, partial(self.source.bench, self.run_id)
        if pane is None or pane.drawn is None:
            open_bench(self, find, self.source)
        else:
            name, coordinates, figure = pane.analysis.name, pane.here(), pane.drawn.figure
            open_bench(self, find, self.source, partial(opening.given, name, coordinates, figure))

    def action_resume(self) -> None:
        """Start a worker on this run again."""
        resume(self, self.source, self.run)

    async def action_drill(self) -> None:
        """Open what lies behind the value at the cursor, with the same coordinates."""
        behind, pane, place = self._behind(), self.pane, self._overview.place
        if behind is None:
            return
        coordinates = dict(place.at) if pane is None and place is not None else {}
        coordinates = pane.here() if pane is not None else coordinates
        self._trail.append((self.tab, pane))
        self._pointed |= {k: v for k, v in coordinates.items() if k in SHARED}
        tab, target = behind
        await self._show(tab, target)
        if pane is None and place is not None:
            target.point(coordinates, measure=place.measure)
        else:
            target.point(coordinates, only=True)

    def _behind(self) -> tuple[int, Pane] | None:
        """The tab and the pane that the chosen one or the overview leads to. In place of a picture
        of another analysis that the run lacks, or that has nothing on the value at the cursor, the
        picture that it would lead to."""
        pane, place = self.pane, self._overview.place
        if self.tab == OVERVIEW and place is not None:
            return self._found(f"{place.analysis}:{place.view}")
        if pane is None:
            return None
        name, view = pane.analysis.name, pane.view
        while view.drill:
            other, _, key = view.drill.rpartition(":")
            name = other or name
            target = self._found(f"{name}:{key}")
            if target is not None and pane.leads_to(target[1]):
                return target
            if name == pane.analysis.name:
                return None
            view = next(each for each in registry.get(name).views if each.key == key)
        return None

    def _found(self, path: str) -> tuple[int, Pane] | None:
        """A pane by its path, and its tab."""
        matches = ((tab, pictures.find(path)) for tab, pictures in enumerate(self._pictures))
        return next(((tab, target) for tab, target in matches if target is not None), None)

    def action_export(self) -> None:
        """Ask what of this picture or run is wanted as a file, and where."""
        wanted = {"run": self.run_id, "filter": str(self.feed.filter)}
        ask_to_write(self, self.source, self.pane, wanted)

    async def action_back(self) -> None:
        """Go back to where the picture was opened from, else to the runs, remembering where."""
        if self._trail:
            await self._show(*self._trail.pop())
            return
        self.home.remember(self.placed(self.home.memory))
        self.dismiss(None)

    def action_filter(self) -> None:
        """Write which models, layers and modules are to be seen.

        Every letter acts, so what is seen now is gone back to as soon as the filter leaves it.
        """
        seen = self.panes()
        for pane in self.query(Pane):
            pane.hold(pane in seen)
        self.query_one(FilterLine).open(self.names, self.feed.filter)
        self.renew()

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Read all pictures anew; those that are hidden when they show."""
        self.feed.filter = message.filter
        for pane in self.panes():
            pane.refilter()
        self._reread()
        self.renew()

    def on_filter_line_closed(self) -> None:
        """Have keys act on the picture again."""
        if self.pane is not None:
            self.pane.figure.focus()
        self.renew()

    def destinations(self) -> Iterator[Destination]:
        """The analyses, figures, measures and models of this run."""
        tabs = self.tabs()
        for number, places in enumerate(numbered(tabs), self.FIRST):
            for tab in places:
                yield Destination(
                    tabs[tab].title, f"tab {number}", partial(self.go, tab + OVERVIEW)
                )
        for tab, pictures in enumerate(self._pictures):
            for pane in pictures.panes:
                where = f"figure of {pictures.analysis.title}"
                yield Destination(pane.view.title, where, partial(self._visit, tab, pane))
                for measure in pane.view.measures if pane.view.tabulate is None else ():
                    title = pictures.analysis.metric(measure).title
                    about = f"measure of {pictures.analysis.title}: {pane.view.title}"
                    yield Destination(title, about, partial(self._visit, tab, pane, measure))
        if self.run is not None and self.pane is not None:
            for model in self.run.models:
                about = "model, pointed at in every figure"
                yield Destination(model, about, partial(self._point_at, model))

    async def _visit(self, tab: int, pane: Pane, measure: str = "") -> None:
        """Go to a figure, with a measure if one is named."""
        self._note()
        self._trail.clear()
        await self._show(tab, pane)
        pane.point(self._pointed, measure=measure)

    def _point_at(self, model: str) -> None:
        """Stand at a model here, and in the figures that are gone to from here."""
        self._pointed["model"] = model
        if self.pane is not None:
            self.pane.point(self._pointed)

    def labels(self) -> dict[str, str]:
        """A run that waits is started by the key that resumes others."""
        opens = {"drill": "figure"} if self.tab == OVERVIEW else {}
        return super().labels() | called(self.run) | opens

    def topics(self) -> list[Topic]:
        """How to read the picture that keys act on, or the overview."""
        return [OVERVIEW_TOPIC] if self.tab == OVERVIEW else super().topics()

    def places(self) -> tuple[Where, ...]:
        """The places whose keys act here; in the overview there is no figure."""
        return ("run", "overview", "app") if self.tab == OVERVIEW else super().places()

    def title_line(self, width: int) -> Content:
        """Where the run stands, and how much of it the filter hides."""
        load = wording.load(self.gauge.reading)
        hidden = self.feed.filter.hidden(self.names) if self.feed.filter else None
        return run_title.title(self.run, self.trouble, width, load, hidden)
