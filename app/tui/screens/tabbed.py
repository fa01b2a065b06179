"""Shared parts of the screens with figures: the rows around them, tabs, and keys of one pane.

A screen names its tabs and its panes. Knows no run and no database.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.reactive import Reactive
from textual.widget import Widget
from textual.worker import Worker

from app.tui.keys import Where
from app.tui.readout import beside
from app.tui.screens.help import Topic, pane_topics
from app.tui.screens.leaving import LeavingScreen
from app.tui.screens.whole import SOON
from app.tui.widgets.bar import Row
from app.tui.widgets.pane import Pane
from app.tui.widgets.tab_bar import Tab, numbered, tabs_line


async def soon(workers: Iterable[Worker[None]]) -> None:
    """Wait a moment for figures that are being read, so that the first painting has them."""
    begun, end = tuple(workers), time.monotonic() + SOON
    while not all(worker.is_finished for worker in begun) and time.monotonic() < end:
        await asyncio.sleep(SOON / 20)


class TabbedScreen(LeavingScreen[None]):
    """A title, tabs, a body of panes of which keys act on one, and the keys."""

    VEILED = True
    EARLY = frozenset({"tab", "back"})
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    """Like Textual's, without its painting of the whole screen whenever the focus moves."""
    AUTO_FOCUS = ""  # a pane is gone to once there is one
    FIRST: ClassVar[int] = 1
    """The number of the first tab, and the tab after it that is tab 0 of the program."""
    DEFAULT_CSS = """
    TabbedScreen > #tabs { background: $surface; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.tab = 0
        self._lasts: dict[range, int] = {}
        """The place of the tab shown last, by the places of its number."""

    # What a screen overrides.

    def tabs(self) -> list[Tab]:
        """The tabs, once they are known."""
        raise NotImplementedError

    @property
    def pane(self) -> Pane | None:
        """The pane that keys act on."""
        raise NotImplementedError

    def panes(self) -> Sequence[Pane]:
        """The panes of this tab, seen or not."""
        raise NotImplementedError

    async def go(self, tab: int) -> None:
        """Show a tab."""
        raise NotImplementedError

    def pick(self, pane: Pane) -> None:
        """Have keys act on another pane of this tab."""
        raise NotImplementedError

    def labels(self) -> dict[str, str]:
        """A table has an order where figures have a measure."""
        table = self.pane is not None and self.pane.view.kind == "table"
        return {"measure(1)": "order"} if table else {}

    # Rows

    def body(self) -> ComposeResult:
        yield Row(self._tabs, id="tabs")

    def on_resize(self) -> None:
        """After the layout in a new width, other keys may act."""
        self.call_after_refresh(self.renew)

    def _tabs(self, width: int) -> Content:
        tabs = self.tabs()
        return tabs_line(tabs, self._place, width, self.FIRST) if tabs else Content("")

    @property
    def _place(self) -> int:
        """The place of the shown tab in `tabs`."""
        return self.tab + 1 - self.FIRST

    def topics(self) -> list[Topic]:
        """How to read the picture that keys act on."""
        pane = self.pane
        if pane is None:
            return []
        note = getattr(pane.drawn.figure, "note", "") if pane.drawn is not None else ""
        spot = pane.figure.spot()
        readout = " · ".join(beside(spot)) if spot is not None and spot.cell else ""
        return pane_topics(pane.view, pane.spec, pane.analysis.title, note, readout)

    def places(self) -> tuple[Where, ...]:
        """The places whose keys act here: the screen and its figures."""
        of_one_run: tuple[Where, ...] = ("facts", "filter") if self.PLACE == "run" else ()
        return (self.PLACE, "figure", *of_one_run, "app")

    # Keys

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of pictures have anything to act on. The first parameter names a
        selector."""
        pane = self.pane
        match need:
            case "measures" | "readings":
                return pane is not None and need.removesuffix("s") in pane.offered()
            case "choices":
                return pane is not None and (not parameters or parameters[0] in pane.offered())
            case "something to choose":
                return pane is not None and bool(pane.offered())
            case "values":
                return pane is not None and pane.filled
            case "titles":
                return bool(self.tabs())
            case "tabs" | "something to write":
                return True
        return super().has(need, parameters)

    def on_key(self, event: events.Key) -> None:
        """A key that steps through values says that there is no other where it can't act."""
        pane = self.pane
        if pane is None or pane.drawn is None:
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            steps = re.match(r"select\('(\w+)'", binding.action)
            if steps is not None and steps[1] not in pane.offered():
                word = pane.view.word(steps[1])
                self.notify(f"This picture has no {word} to step through.", timeout=3, markup=False)

    async def action_tab(self, number: int) -> None:
        """Go to the tabs of a number: to the one shown last; from one of them to the next."""
        groups = numbered(self.tabs())
        if not self.FIRST <= number < self.FIRST + len(groups):
            return
        places = groups[number - self.FIRST]
        if self._place in places:
            await self.action_turn_to(places[(self._place + 1 - places.start) % len(places)])
        else:
            await self.action_turn_to(self._lasts.get(places, places.start))

    async def action_turn_to(self, place: int) -> None:
        """Go to a tab by its place in the row."""
        groups = numbered(self.tabs())
        self._lasts |= {places: self._place for places in groups if self._place in places}
        await self.go(place + self.FIRST - 1)

    async def action_next_tab(self) -> None:
        """Go to the tab after this one."""
        await self._turn(1)

    async def action_previous_tab(self) -> None:
        """Go to the tab before this one."""
        await self._turn(-1)

    async def _turn(self, by: int) -> None:
        if count := len(self.tabs()):
            await self.action_turn_to((self._place + by) % count)

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
            self.pane.next_value(selector, by)

    def action_choose(self) -> None:
        """Ask for a value of a selector, a measure or an order by typing."""
        from app.tui.screens.choose import ChooseScreen

        pane = self.pane
        if pane is not None and (offers := pane.choices()):
            self.app.push_screen(
                ChooseScreen(pane.view.title, offers), lambda c: pane.choose(c) if c else None
            )

    def action_clip(self) -> None:
        """Ask which content of this picture to copy."""
        from app.tui.screens.export import ask_to_copy

        if self.pane is not None and self.pane.drawn is not None:
            ask_to_copy(self, self.pane)

    def action_jump(self) -> None:
        """Put a letter on every tab and picture, and go to the target of the pressed letter."""
        from app.tui.screens.jump import JumpTarget, jump

        tabs = self.query_one("#tabs", Row)
        targets = [JumpTarget(x, tabs.region.y, action) for x, action in tabs.acts()]
        for index, pane in enumerate(self.panes()):
            if pane.region:
                targets.append(JumpTarget(pane.region.x, pane.region.y, f"screen.pick({index})"))
        jump(self, targets)

    def action_pick(self, number: int) -> None:
        """Have keys act on a picture of this tab, by its place."""
        panes = self.panes()
        if number < len(panes):  # else it is gone by now
            self.pick(panes[number])
