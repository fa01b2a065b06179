"""The keys of one run: tabs, pictures, the filter, details of a value, export, cancel, resume."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from app.results import wording
from app.text import plain
from app.tui.keys import Where
from app.tui.screens.control import ask_to_cancel, called, resume, startable
from app.tui.screens.export import ask_to_write
from app.tui.screens.help import OVERVIEW_TOPIC, Topic
from app.tui.screens.run_parts import OVERVIEW, SHARED, RunParts
from app.tui.screens.whole import Destination
from app.tui.threads import Trouble, in_thread, said
from app.tui.widgets.filter_line import FilterLine
from app.tui.widgets.pane import Pane
from app.tui.widgets.tab_bar import numbered
from core.bench.columns import Mixed
from core.engine import registry
from core.study.study import Study

TALL = 44
"""The least height of a screen with two rows of pictures."""


class RunKeys(RunParts):
    """The actions of a run's screen."""

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of a run have anything to act on."""
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
            case "a mix":
                return self._mix() is not None
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
            given = partial(opening.given, name, coordinates, pane.row(), figure)
            open_bench(self, find, self.source, given)

    def action_write(self) -> None:
        """Ask for a folder, and write the merge of the point at the cursor there."""
        from app.tui.screens.mixing import ask_to_write_mix

        mix = self._mix()

        def read(study: Study) -> None:
            if mix is not None and self.is_current:
                ask_to_write_mix(self, self.source, study, mix)

        def refused(error: Trouble) -> None:
            self.notify(plain(said(error)), severity="error", markup=False)

        in_thread(self, partial(self.source.study, self.run_id), read, refused=refused, group="mix")

    def _mix(self) -> Mixed | None:
        """The point of arithmetic at the cursor."""
        from app.tui.bench import opening

        pane, run = self.pane, self.run
        if pane is None or run is None or pane.drawn is None or pane.analysis.name != "arithmetic":
            return None
        return opening.mix(pane.here(), run.models)

    def action_resume(self) -> None:
        """Start a worker on this run again."""
        resume(self, self.source, self.run)

    async def action_drill(self) -> None:
        """Open the details behind the value at the cursor, with the same coordinates."""
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
        """The tab and the pane behind the chosen pane or the overview. A picture that the run
        lacks, or that has nothing on the value at the cursor, is replaced by the picture behind it.
        """
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
        """Ask for the content, format and folder of an export."""
        wanted = {"run": self.run_id, "filter": str(self.feed.filter)}
        ask_to_write(self, self.source, self.pane, wanted)

    async def action_back(self) -> None:
        """Go back to the origin of the picture, else to the runs; remember the position."""
        if self._trail:
            await self._show(*self._trail.pop())
            return
        self.home.remember(self.placed(self.home.memory))
        self.dismiss(None)

    def action_filter(self) -> None:
        """Open the filter line: the models, layers and modules to show.

        Every letter acts, so the shown panes return to their places as soon as the filter leaves
        those.
        """
        seen = self.panes()
        for pane in self.query(Pane):
            pane.hold(pane in seen)
        self.query_one(FilterLine).open(self.names, self.feed.filter)
        self.renew()

    def on_filter_line_changed(self, message: FilterLine.Changed) -> None:
        """Read all pictures again; hidden ones when they show."""
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
        """Move the cursor to a model here, and in figures opened from here."""
        self._pointed["model"] = model
        if self.pane is not None:
            self.pane.point(self._pointed)

    def labels(self) -> dict[str, str]:
        """Label the key that resumes a run as the one that starts a queued run."""
        opens = {"drill": "figure"} if self.tab == OVERVIEW else {}
        return super().labels() | called(self.run) | opens

    def topics(self) -> list[Topic]:
        """How to read the picture that keys act on, or the overview."""
        return [OVERVIEW_TOPIC] if self.tab == OVERVIEW else super().topics()

    def places(self) -> tuple[Where, ...]:
        """The places whose keys act here; in the overview there is no figure."""
        return ("run", "overview", "app") if self.tab == OVERVIEW else super().places()
