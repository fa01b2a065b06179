"""Two runs compared: the same picture of both, with the same axes, and B minus A.

A tab for each analysis that both have. Keys act on both pictures, and so does the cursor. Reads,
never computes.
"""

from __future__ import annotations

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.content import Content
from textual.worker import Worker

from app.render.terminal.lines import fitted
from app.results import wording
from app.results.comparing import CAPTION, Pair
from app.text import plain
from app.tui.data import DataSource, Shared
from app.tui.keys import bindings
from app.tui.screens.export import ask_to_write
from app.tui.screens.help import Topic
from app.tui.screens.tabbed import TabbedScreen, soon
from app.tui.threads import Trouble, busy, in_thread, said
from app.tui.widgets.bar import Piece, two_ends
from app.tui.widgets.pane import Pane
from app.tui.widgets.side import THIRD, Side
from app.tui.widgets.steady import Beside
from app.tui.widgets.tab_bar import Tab
from core.engine.registry import Analysis
from core.figures.differences import NAMES
from core.figures.views import Choice, View
from core.sizes import counted

POLL = 1.0
TOGETHER = 150
"""Cells across from which both sides show at once."""

ID = 8
"""Characters of a run's id that tell it from others of its name."""

DEPTH = " by relative depth "
"""What the title says while layers are matched so."""


class CompareScreen(TabbedScreen):
    """Tabs of two sides and their difference, kept up to date while either run runs."""

    PLACE = "compare"
    BINDINGS = bindings("compare")
    DEFAULT_CSS = """
    CompareScreen > #sides { height: 1fr; }
    CompareScreen Side { display: none; }
    CompareScreen Side.-shown { display: block; }
    CompareScreen Side.-later { border-left: vkey $line; }
    """

    def __init__(self, source: DataSource, first: str, second: str) -> None:
        super().__init__()
        self.source = source
        self.ids = first, second
        self.shared: Shared | None = None
        self.trouble = ""
        self.side = 0
        self.apart = False
        """Is the difference shown?"""
        self.by_depth = False
        self._sides: list[Side] = []
        self._views: dict[int, int] = {}
        self._choices: dict[tuple[int, int], Choice] = {}

    def body(self) -> ComposeResult:
        """Both sides and the difference."""
        yield from super().body()
        yield Beside(id="sides")

    def tabs(self) -> list[Tab]:
        """The analyses that both runs have."""
        views = self.shared.views if self.shared is not None else ()
        return [Tab.of(analysis) for analysis, _ in views]

    def on_mount(self) -> None:
        self._find()
        self.set_interval(POLL, self._poll)

    # Reading

    def _find(self) -> None:
        shared = self.source.shared
        in_thread(self, lambda: shared(*self.ids), self._found, refused=self._lost, group="runs")

    def _poll(self) -> None:
        """Read again while either run is under way, once the last reading has ended."""
        runs = self.shared.runs if self.shared is not None else ()
        if busy(self, "runs") or busy(self, "pair"):
            return
        if self.app.screen is self and any(run.status in wording.UNDER_WAY for run in runs):
            self._find()

    async def _found(self, new: Shared) -> None:
        """Show the first tab; on later calls, new results in this tab."""
        old, self.shared, self.trouble = self.shared, new, ""
        if not new.views:
            self.trouble = "The two runs have no results in common yet."
        elif old is None or _named(old) != _named(new):
            await self.go(min(self.tab, len(new.views) - 1))
        elif old.runs != new.runs:
            self._read()
        self.renew()
        self.unveil()

    def _lost(self, error: Trouble) -> None:
        """Say why they can't be compared."""
        self.trouble = said(error)
        self.renew()
        self.unveil()

    def _read(self) -> list[Worker[None]]:
        """Ask for the pair under the present choice."""
        sides = self.panes()
        if not sides:
            return []
        place, choice, by_depth = self.place, sides[0].choice, self.by_depth
        analysis, view = sides[0].analysis, sides[0].view
        return [
            in_thread(
                self,
                lambda: self.source.pair(*self.ids, analysis, view, choice, by_depth=by_depth),
                lambda pair: self._ready(place, choice, pair),
                refused=lambda error: self._refuse(place, choice, said(error)),
                group="pair",
            )
        ]

    def _ready(self, place: tuple[int, int], asked: Choice | None, pair: Pair) -> None:
        """Hand a pair to its sides."""
        if place == self.place and pair.by_depth == self.by_depth:
            for side in self.panes():
                side.show(asked, pair)
            self._choices[place] = pair.choice
            self.call_after_refresh(self._read_ahead)  # what is painted now comes first
            if self.apart and pair.difference is None:
                self.apart = False
            self._arrange()
        self.renew()

    def _refuse(self, place: tuple[int, int], asked: Choice | None, trouble: str) -> None:
        """Show in the sides why there is no pair."""
        if place == self.place:
            for side in self.panes():
                side.refuse(asked, trouble)
        self.renew()

    def _read_ahead(self) -> None:
        """Cache the pairs that are likely to be wanted next: of the next view and of the next tab,
        unless their analysis is still being computed."""
        shared, by_depth = self.shared, self.by_depth
        if (
            self.is_left
            or shared is None
            or any(run.status in wording.UNDER_WAY for run in shared.runs)
        ):
            return
        tab, view = self.place
        count = len(shared.views[tab][1])
        likely = [(tab, (view + 1) % count)] if count > 1 else []
        if tab + 1 < len(shared.views):
            likely.append((tab + 1, self._views.get(tab + 1, 0)))
        choices = [self._choices.get(place) for place in likely]

        def reading() -> None:  # whoever goes there will be told what can't be read
            for (t, v), choice in zip(likely, choices, strict=True):
                analysis, views = shared.views[t]
                self.source.pair(*self.ids, analysis, views[v], choice, by_depth=by_depth)

        in_thread(self, reading, group="ahead")

    def on_pane_wanted(self, message: Pane.Wanted) -> None:
        """Give the choice of one side to the others."""
        for side in self.panes():
            side.choice = message.pane.choice
            side.selected.renew()
        self._read()

    def on_side_followed(self, message: Side.Followed) -> None:
        """The cursor of the other side goes to the same place."""
        moved = message.side
        if moved.figure.has_focus:
            for side in self.panes():
                if side is not moved:
                    _follow(side, moved)

    # What is where

    @property
    def place(self) -> tuple[int, int]:
        """The tab, and the view in it."""
        return self.tab, self._views.get(self.tab, 0)

    @property
    def pane(self) -> Side | None:
        """The side that keys act on."""
        sides = self.panes()
        return sides[THIRD if self.apart else self.side] if sides else None

    @property
    def pair(self) -> Pair | None:
        """The pair that is shown."""
        return self.pane.pair if self.pane is not None else None

    def panes(self) -> list[Side]:
        """Both sides and the difference, seen or not."""
        return [side for side in self._sides if side.is_attached]

    def _here(self) -> tuple[Analysis, tuple[View, ...]] | None:
        views = self.shared.views if self.shared is not None else ()
        return views[self.tab] if self.tab < len(views) else None

    async def go(self, tab: int, view: int | None = None) -> None:
        """Show a tab, by default at its last view."""
        self.tab = tab
        here = self._here()
        if here is None:
            return
        analysis, views = here
        self._views[tab] = min(self._views.get(tab, 0) if view is None else view, len(views) - 1)
        index, choice = self._views[tab], self._choices.get(self.place)
        counted = index + 1, len(views)
        self._sides = [
            Side(analysis, views[index], number, counted, choice) for number in range(THIRD + 1)
        ]
        body = self.query_one("#sides")
        with self.app.batch_update():
            await body.remove_children()
            await body.mount_all(self._sides)
            self._arrange()
            await soon(self._read())
        self.renew()

    def _arrange(self) -> None:
        """Show both sides where there is room, else the one that keys act on."""
        pane = self.pane
        together = not self.apart and self.size.width >= TOGETHER
        for side in self.panes():
            shown = side is pane or (together and side.number < THIRD)
            side.set_class(shown, "-shown")
            side.set_class(shown and together and side.number == 1, "-later")
        if pane is not None and not pane.figure.has_focus:
            pane.figure.focus()

    def on_resize(self) -> None:
        """Show both sides if they have room now."""
        self._arrange()

    def on_descendant_focus(self) -> None:
        """A click chooses its side."""
        side = next((s for s in self.panes() if s.figure.has_focus), None)
        if side is not None and side.number < THIRD and not self.apart:
            self.side = side.number
            self.renew()

    def pick(self, pane: Pane) -> None:
        """Have keys act on another side."""
        if pane is not self.pane:
            self.action_side()

    def topics(self) -> list[Topic]:
        """How to read what is shown, for the help."""
        topics = super().topics()
        notes = (f"Only {name} has {', '.join(titles)}." for name, titles in self._alone())
        return [*topics, Topic("Difference", (CAPTION, *notes))] if topics else []

    # Keys

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of two runs have anything to act on."""
        pane, pair = self.pane, self.pair
        match need:
            case "views":
                here = self._here()
                return here is not None and len(here[1]) > 1
            case "a difference":
                return pair is not None and pair.difference is not None
            case "two sides":
                return pane is not None and not self.apart
            case "something to write":
                return pane is not None and pane.drawn is not None
            case "two depths":
                return pair is not None and len(set(pair.depths)) > 1
        return super().has(need, parameters)

    async def action_view(self) -> None:
        """Go to the next picture of this tab."""
        here = self._here()
        if here is not None:
            await self.go(self.tab, (self.place[1] + 1) % len(here[1]))

    def action_difference(self) -> None:
        """B minus A, or both again."""
        before = self.pane
        self.apart = not self.apart
        self._step(before)

    def action_side(self) -> None:
        """The other run."""
        before = self.pane
        self.side = 1 - self.side
        self._step(before)

    def _step(self, before: Side | None) -> None:
        """Go from one pane to another, with the cursor at the same place."""
        if before is not None and self.pane is not None:
            _follow(self.pane, before)
        self._arrange()
        self.renew()

    def action_depth(self) -> None:
        """Match layers by relative depth, or by number."""
        self.by_depth = not self.by_depth
        self._read()

    def action_export(self) -> None:
        """Ask for the content, format and folder of an export of this picture."""
        side = self.pane
        if side is not None and side.pair is not None:
            first, second = self.ids
            wanted = {
                "run": first, "against": second, "side": side.number,
                "by_depth": side.pair.by_depth,
            }  # fmt: skip
            ask_to_write(self, self.source, side, wanted)

    def action_back(self) -> None:
        """Go back to the runs."""
        self.dismiss(None)

    # Rows

    def title_line(self, width: int) -> Content:
        """The compared runs, matching by depth if it is on, and the analyses of only one run."""
        if self.trouble:
            return two_ends([(f" ! {self.trouble}", "bold $warning")], [], width)
        if self.shared is None:
            return two_ends([(" Reading…", "$muted")], [], width)
        deep = self.by_depth and self.has("two depths", ())
        notes: list[Piece] = [(DEPTH, "bold $accent")] if deep else []
        taken = len(" compare") + (len(DEPTH) if deep else 0)
        room = max(4, (width - taken) // 2 - len("  A ") - len(" ") - ID)
        pieces: list[Piece] = [(" compare", "$muted")]
        for name, run in zip(NAMES, self.shared.runs, strict=True):
            words = fitted(run.name, min(cell_len(plain(run.name)), room)).rstrip()
            pieces += [
                (f"  {name} ", "bold $accent"),
                (words, "bold"),
                (f" {run.id[:ID]}", "$muted"),
            ]
        left = width - sum(cell_len(plain(words)) for words, _ in [*pieces, *notes]) - 1
        only = [(name, ", ".join(titles), len(titles)) for name, titles in self._alone()]
        in_full = " · ".join(f"only {name} has {titles}" for name, titles, _ in only)
        in_short = " · ".join(
            f"{counted(count, 'analysis', 'analyses')} only in {name}" for name, _, count in only
        )
        fitting = [f"{words} " for words in (in_full, in_short) if cell_len(words) < left]
        return two_ends(pieces, [*notes, *((words, "$muted") for words in fitting[:1])], width)

    def _alone(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each run with analyses that the other lacks, and their titles."""
        alone = self.shared.alone if self.shared is not None else ((), ())
        return [each for each in zip(NAMES, alone, strict=True) if each[1]]


def _named(shared: Shared) -> list[tuple[str, list[str]]]:
    return [(analysis.name, [view.key for view in views]) for analysis, views in shared.views]


def _follow(side: Side, moved: Side) -> None:
    """Move the cursor of one side to the place of another's, if it has that place.

    Aligned figures have the same axes; of scatters and tables one may lack what the other has.
    """
    if all(each.drawn is not None and each.figure.filled() for each in (side, moved)):
        place = side.figure.place_of(moved.figure.at(moved.figure.cursor))
        if place is not None:
            side.figure.cursor = place
