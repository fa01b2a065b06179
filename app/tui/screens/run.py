"""One run: a tab for each of its analyses with their pictures, and one with what else is known.

Built from what the analyses declare; knows none of them by name. Reads, never computes.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Protocol, cast, runtime_checkable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from app import wording
from app.gauge import Gauge
from app.tui import standing
from app.tui.feed import POLL, Feed
from app.tui.keys import Where, actions, bindings
from app.tui.memory import Memory, Place
from app.tui.screens.control import ask_to_cancel, resume, write
from app.tui.screens.help import Topic, pane_topics
from app.tui.source import Contents, Source
from app.tui.widgets.bar import Row, keys_line, tabs_line
from app.tui.widgets.facts import Facts
from app.tui.widgets.pane import Pane, Pointed
from core.registry import Analysis
from core.views import COORDINATES, Selector
from storage.runs import RunSummary

ROOMY = 75
"""Cells across that a picture should have before another stands beside it."""

FOLDER = "tauscope-exports"
CLIPS = (
    ("v", "the value, in words", "value"),
    ("r", "its row as CSV", "row"),
    ("c", "the whole table as CSV", "csv"),
    ("m", "the whole table as Markdown", "md"),
)
FILES = (
    ("s", "this figure as SVG", "svg"),
    ("p", "this figure as PNG", "png"),
    ("t", "this figure as text", "txt"),
    ("c", "its values as CSV", "csv"),
    ("m", "its values as Markdown", "md"),
    ("a", "all of the run, in every format", "run"),
)

SHARED = ("model", "layer")
"""What is pointed at in one picture is pointed at in the others too."""

SELECTORS = (*COORDINATES, "against")


@runtime_checkable
class Remembering(Protocol):
    """An application that keeps where its screens stood."""

    memory: Memory

    def remember(self, memory: Memory) -> None: ...


class RunScreen(Screen[None]):
    """Tabs of panes over one run, kept up to date while it runs."""

    BINDINGS = bindings("run")
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """As Textual's, but for painting the whole screen whenever the focus moves."""
    DEFAULT_CSS = """
    RunScreen > #title { background: $panel; }
    RunScreen > #tabs { background: $surface; }
    RunScreen > #keys { background: $panel; }
    RunScreen ContentSwitcher { height: 1fr; }
    RunScreen .tab { height: 1fr; }
    RunScreen .tab > Pane { display: none; }
    RunScreen .tab > Pane.-chosen { display: block; }
    RunScreen.-wide .tab > Pane.-near { display: block; }
    RunScreen.-wide .tab > Pane.-later { border-left: vkey $line; }
    RunScreen.-zoomed .tab > Pane.-near { display: none; }
    RunScreen.-zoomed .tab > Pane.-chosen { display: block; border-left: none; }
    """

    def __init__(self, source: Source, run_id: str, before: Place | None = None) -> None:
        """`before` is where this screen stood the last time."""
        super().__init__()
        self.source = source
        self.run_id = run_id
        self.run: RunSummary | None = None
        self.trouble = ""
        self.analyses: tuple[Analysis, ...] = ()
        self.tab = 0
        self.feed = Feed(self, source, run_id)
        self.gauge = Gauge()
        self._stale = False
        self._built = False
        self._ahead = False
        self._panes_of: list[list[Pane]] = []
        """The panes of each tab; mounted at the first sight of it."""
        self._wanted: int | None = None
        self._before = before or Place(run=run_id)
        self._pointed: Pointed = {}
        self._trail: list[tuple[int, Pane]] = []
        """The tabs and panes from which what lies behind a value was opened."""

    def compose(self) -> ComposeResult:
        yield Row(self._title, id="title")
        yield Row(self._tabs, id="tabs")
        yield ContentSwitcher(id="body")
        yield Row(self._keys, id="keys")

    def on_mount(self) -> None:
        self.set_interval(POLL, self._poll)
        self._poll()

    def on_unmount(self) -> None:
        self.gauge.stop()

    # Reading

    def _poll(self) -> None:
        self.feed.poll(self.run)

    async def on_feed_polled(self, message: Feed.Polled) -> None:
        """Show where the run stands; once a second at most, read its pictures anew."""
        self.trouble = message.trouble
        old, new = self.run, message.run
        if new is not None:
            self.run = new
            if message.contents is not None:
                await self._build(message.contents)
            else:
                self._stale |= (old.done, old.warnings) != (new.done, new.warnings)
                if old.status != new.status or (self._stale and not self.feed.beat):
                    self._renew()
            self._measure(new)
        for row in self.query(Row):
            row.renew()

    async def _build(self, contents: Contents) -> None:
        """Make the tabs, once it is known what the run has; their panes come when they show."""
        self.analyses = tuple(analysis for analysis, _ in contents)
        tabs: list[Widget] = []
        for number, (analysis, views) in enumerate(contents):
            panes = [Pane(analysis, view, i, len(views)) for i, view in enumerate(views, 1)]
            last = self._before.chosen.get(analysis.name)
            for pane in panes:
                pane.restore(self._before.stands.get(pane.path))
            for pane in [p for p in panes if p.view.key == last][:1] or panes[:1]:
                pane.add_class("-chosen")
            self._panes_of.append(panes)
            tabs.append(Horizontal(id=f"tab-{number}", classes="tab"))
        tabs.append(Facts(id=f"tab-{len(self.analyses)}", classes="tab"))
        for tab in tabs:
            tab.display = False  # until it is gone to
        await self.query_one(ContentSwitcher).mount_all(tabs)
        self._built = True
        names = [analysis.name for analysis in self.analyses]
        if self._wanted is None and self._before.stands:
            last = self._before.tab
            self._wanted = len(names) if not last else names.index(last) if last in names else 0
        await self._go(min(self._wanted or 0, len(names)))

    def placed(self, memory: Memory) -> Memory:
        """Where this screen stands, for the next time."""
        if not self._built:
            return memory
        panes = [pane for tab in self._panes_of for pane in tab]
        place = Place(
            run=self.run_id,
            tab=self.analyses[self.tab].name if self.tab < len(self.analyses) else "",
            chosen={p.analysis.name: p.view.key for p in panes if p.has_class("-chosen")},
            stands={pane.path: pane.stand() for pane in panes},
        )
        return memory.model_copy(update={"place": place, "selected": self.run_id})

    def _measure(self, run: RunSummary) -> None:
        """Say how busy this host is while the run is running on it."""
        if run.status == "running" and run.host == socket.gethostname():
            self.gauge.start()
        else:
            self.gauge.stop()
        self.query_one(Facts).show_load(self.gauge.reading)

    def _renew(self) -> None:
        """Read again what the tab shows."""
        self._stale = False
        if self.tab < len(self.analyses):
            for pane in self._panes():
                if pane.has_class("-near"):  # one that is hidden is read when it shows, or later
                    self.feed.figure(pane)
        else:
            self.feed.background()

    def on_pane_wanted(self, message: Pane.Wanted) -> None:
        self.feed.figure(message.pane)

    def on_feed_ready(self, message: Feed.Ready) -> None:
        """Hand a figure to its pane."""
        self.trouble = message.trouble
        if message.drawn is not None:
            message.pane.accept(message.asked, message.drawn)
            self._read_ahead()
        self.query_one("#keys", Row).renew()

    def _read_ahead(self) -> None:
        """Once all that shows was read, the next of the tab that was not; then for other tabs."""
        missing = [pane for pane in self._panes() if pane.drawn is None]
        if missing and not any(pane.has_class("-near") for pane in missing):
            self.feed.figure(missing[0])
        elif not missing and not self._ahead:
            self._ahead = True
            self.feed.look_ahead(self.analyses)

    def on_feed_known(self, message: Feed.Known) -> None:
        """Show what else is known of the run."""
        if self.run is not None:
            self.query_one(Facts).show(self.run, message.background)

    # What is where

    def _panes(self) -> list[Pane]:
        return self._panes_of[self.tab] if self.tab < len(self._panes_of) else []

    @property
    def pane(self) -> Pane | None:
        """The pane that keys act on."""
        return next((pane for pane in self._panes() if pane.has_class("-chosen")), None)

    def _choose(self, pane: Pane) -> None:
        self._note()
        self._trail.clear()
        pane.point(self._pointed)
        self._mark(pane)
        self._gather()
        self._renew()
        pane.figure.focus()
        self.query_one("#keys", Row).renew()

    def _mark(self, pane: Pane) -> None:
        for other in self._panes():
            other.set_class(other is pane, "-chosen")

    def _gather(self) -> None:
        """Mark the panes that show beside the chosen one, as many as have room."""
        panes = self._panes()
        together = max(1, self.size.width // ROOMY)
        chosen = next((i for i, pane in enumerate(panes) if pane.has_class("-chosen")), 0)
        first = chosen - chosen % together
        for i, pane in enumerate(panes):
            pane.set_class(first <= i < first + together, "-near")
            pane.set_class(first < i < first + together, "-later")

    def on_resize(self) -> None:
        """More or fewer pictures have room."""
        self._gather()

    def _note(self) -> None:
        """Remember what was pointed at, for the pictures that are gone to from here."""
        if self.pane is not None:
            self._pointed |= {k: v for k, v in self.pane.pointed().items() if k in SHARED}

    async def _go(self, tab: int) -> None:
        self._note()
        self._trail.clear()
        await self._show(tab)
        if self.pane is not None:
            self.pane.point(self._pointed)

    async def _show(self, tab: int, chosen: Pane | None = None) -> None:
        """Have a tab on the screen, and one of its panes chosen."""
        self.tab = tab
        if chosen is not None:
            self._mark(chosen)
        self._gather()
        with self.app.batch_update():
            if self._panes() and not self._panes()[0].is_attached:
                await self.query_one(f"#tab-{tab}").mount_all(self._panes())
            if self.tab != tab:
                return  # a key has led elsewhere meanwhile
            self.query_one(ContentSwitcher).current = f"tab-{tab}"
        self._renew()
        pane = self.pane
        if pane is not None:
            pane.figure.focus()
        else:
            self.query_one(Facts).focus()
        for row in self.query(Row):
            row.renew()

    def on_descendant_focus(self) -> None:
        """A click chooses its pane."""
        pane = next((p for p in self._panes() if p.figure.has_focus), None)
        if pane is not None and not pane.has_class("-chosen"):
            self._choose(pane)

    def topics(self) -> list[Topic]:
        """How to read what is shown, for the help."""
        return pane_topics(self.pane.view, self.pane.spec) if self.pane is not None else []

    def places(self) -> tuple[Where, ...]:
        """Where the keys of this screen come from."""
        return ("run", "figure", "app")

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what would do something: keys that can't are not shown either."""
        run, pane = self.run, self.pane if self.is_mounted else None
        if action == "cancel":
            return run is not None and run.status in wording.UNDER_WAY
        if action == "resume":
            return run is not None and run.status in wording.ENDED_EARLY
        if action in {"measure", "reading"}:
            return pane is not None and action in pane.offered()
        if action == "select":
            return pane is not None and (not parameters or str(parameters[0]) in pane.offered())
        if action == "clip":
            return pane is not None and pane.drawn is not None
        if action == "drill":
            return self._behind() is not None if self.is_mounted else False
        if action in {"view", "zoom"} and self.is_mounted:
            several = len(self._panes()) > 1
            return several and (action == "view" or self.has_class("-wide"))
        return True

    async def action_tab(self, number: int) -> None:
        """Go to a tab by its number; before there are any, remember it."""
        if not self._built:
            self._wanted = number - 1
        elif number <= len(self.analyses) + 1:
            await self._go(number - 1)

    async def action_next_tab(self) -> None:
        """Go to the tab after this one."""
        await self.action_tab((self.tab + 1) % (len(self.analyses) + 1) + 1)

    async def action_previous_tab(self) -> None:
        """Go to the tab before this one."""
        await self.action_tab((self.tab - 1) % (len(self.analyses) + 1) + 1)

    def action_measure(self, by: int) -> None:
        """Switch the measure."""
        if self.pane is not None:
            self.pane.next_measure(by)

    def action_reading(self) -> None:
        """Switch between raw, chance and excess."""
        if self.pane is not None:
            self.pane.next_reading()

    def action_select(self, selector: str, by: int) -> None:
        """Switch the value of a coordinate."""
        if self.pane is not None:
            self.pane.next_value(cast(Selector, selector), by)

    def action_view(self) -> None:
        """Go to the next picture of this tab."""
        panes = self._panes()
        if self.pane is not None and len(panes) > 1:
            self._choose(panes[(panes.index(self.pane) + 1) % len(panes)])

    def action_zoom(self) -> None:
        """One picture on the whole screen, and back."""
        self.toggle_class("-zoomed")

    def action_cancel(self) -> None:
        """Cancel this run, once confirmed."""
        if self.run is not None:
            ask_to_cancel(self, self.source, self.run)

    def action_resume(self) -> None:
        """Start a worker on this run again."""
        if self.run is not None:
            resume(self, self.source, self.run)

    async def action_drill(self) -> None:
        """Open what lies behind the value at the cursor, with the same coordinates."""
        behind, pane = self._behind(), self.pane
        if behind is None or pane is None:
            return
        at = pane.here()
        self._trail.append((self.tab, pane))
        self._pointed |= {k: v for k, v in at.items() if k in SHARED}
        tab, target = behind
        await self._show(tab, target)
        target.point(at, only=True)

    def _behind(self) -> tuple[int, Pane] | None:
        """The tab and the pane that the chosen one leads to, if the run has it."""
        pane = self.pane
        if pane is None or not pane.view.drill:
            return None
        name, _, key = pane.view.drill.rpartition(":")
        path = f"{name or pane.analysis.name}:{key}"
        return next(
            ((tab, p) for tab, panes in enumerate(self._panes_of) for p in panes if p.path == path),
            None,
        )

    def action_jump(self) -> None:
        """Put a letter on every tab and picture, and go to the one that is pressed."""
        from app.tui.screens.jump import JumpScreen, Target

        tabs = self.query_one("#tabs", Row)
        found = [Target(x, tabs.region.y, action) for x, action in tabs.acts()]
        for at, pane in enumerate(self._panes()):
            if pane.region:
                found.append(Target(pane.region.x, pane.region.y, f"screen.pick({at})"))

        async def picked(action: str | None) -> None:
            if action is not None:
                await self.run_action(action)

        self.app.push_screen(JumpScreen(found), picked)

    def action_pick(self, number: int) -> None:
        """Go to a picture of this tab."""
        self._choose(self._panes()[number])

    def action_clip(self) -> None:
        """Ask what of this picture is wanted on the clipboard."""
        from app.tui.screens.pick import PickScreen

        pane = self.pane
        if pane is not None and pane.drawn is not None:
            self.app.push_screen(
                PickScreen("copy", CLIPS), lambda got: pane.clip(got[0]) if got else None
            )

    def action_export(self) -> None:
        """Ask what of this picture or run is wanted as a file, and where."""
        from app.tui.screens.pick import PickScreen

        pane = self.pane
        table = pane is not None and pane.view.kind == "table"
        offers = FILES if pane is not None and pane.drawn is not None else FILES[-1:]
        offers = tuple(o for o in offers if not (table and o[2] in ("svg", "png")))

        def picked(got: tuple[str, str] | None) -> None:
            if got is not None:
                write(self, self.source, self.run_id, pane, *got)

        self.app.push_screen(PickScreen("export", offers, FOLDER), picked)

    async def action_back(self) -> None:
        """Go back to where the picture was opened from, else to the runs, remembering where."""
        if self._trail:
            await self._show(*self._trail.pop())
            return
        app = self.app
        if isinstance(app, Remembering):
            app.remember(self.placed(app.memory))
        self.dismiss(None)

    # Rows

    def _title(self, width: int) -> Content:
        load = wording.load(self.gauge.reading)
        return standing.title(self.run, self.trouble, width, load)

    def _tabs(self, width: int) -> Content:
        if self.run is None:
            return Content("")
        titles = [*(analysis.title for analysis in self.analyses), "Run"]
        return tabs_line(titles, self.tab, width)

    def _keys(self, width: int) -> Content:
        shown = [a for a in actions("run", "app") if self._shown(a.name)]
        if self.pane is not None and self.pane.view.kind == "table":
            shown = [replace(a, label="order") if a.id == "run.measure-1" else a for a in shown]
        return keys_line(shown, width)

    def _shown(self, name: str) -> bool:
        action, _, rest = name.partition("(")
        parameters = tuple(s for s in SELECTORS if s in rest)
        return bool(self.check_action(action, parameters))
