"""Screens that take the whole terminal: a title, a body, and the keys that act on it.

Each is painted once, when it has something to show, and only while it is visible. Textual paints
more often, which costs time and bytes over the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar, cast

from textual.app import ComposeResult
from textual.content import Content
from textual.geometry import Region
from textual.messages import Update
from textual.screen import Screen

from app.tui.able import Able
from app.tui.keys import Action, Where, actions, relabelled
from app.tui.memory import Memory, Remembering
from app.tui.widgets.bar import Row, keys_line

if TYPE_CHECKING:
    from app.tui.screens.help import Topic

Result = TypeVar("Result")

SOON = 0.05
"""Seconds for which the first painting waits for figures."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A place that the palette finds by name: its words, and the way there."""

    name: str
    about: str
    go: Callable[[], object]


class WholeScreen(Screen[Result], Able):
    """One that others of its kind are laid upon."""

    DEFAULT_CSS = "WholeScreen > #title, WholeScreen > #keys { background: $panel; }"
    VEILED: ClassVar[bool] = False
    """Does the screen before stay on the terminal until `unveil` is called, or SOON has passed?"""

    def __init__(self) -> None:
        super().__init__()
        self._veiled = self.VEILED

    # What a screen overrides.

    def title_line(self, width: int) -> Content:
        """The rows above the body."""
        raise NotImplementedError

    def body(self) -> ComposeResult:
        """The widgets between the title and the keys."""
        raise NotImplementedError

    def labels(self) -> Mapping[str, str]:
        """Labels of actions that do something more special here, by action name."""
        return {}

    def topics(self) -> Sequence[Topic]:
        """How to read the shown pictures, for the help."""
        return ()

    def destinations(self) -> Iterator[Destination]:
        """The destinations that the palette finds besides actions."""
        return iter(())

    def places(self) -> tuple[Where, ...]:
        """The places whose keys act on this screen."""
        return (self.PLACE, "app")

    def placed(self, memory: Memory) -> Memory:
        """The memory with the position of this screen."""
        return memory

    # What all have in common.

    @property
    def home(self) -> Remembering:
        """The workstation, which knows the positions of screens."""
        return cast(Remembering, self.app)

    def compose(self) -> ComposeResult:
        yield Row(self.title_line, id="title")
        yield from self.body()
        yield Row(self._keys, id="keys")

    def renew(self, *ids: str) -> None:
        """Write all rows again, or these."""
        for row in self.query(Row):
            if not ids or row.id in ids:
                row.renew()

    def offered(self) -> list[Action]:
        """The actions that can act now."""
        known = actions(self.PLACE, "app")
        return [each for each in known if self.check_action(each.verb, each.parameters)]

    def _keys(self, width: int) -> Content:
        return keys_line(relabelled(self.offered(), self.labels()), width)

    def on_compose(self) -> None:
        """Take the width before the first layout, which would be repeated otherwise, and begin the
        wait for figures."""
        known = self.HORIZONTAL_BREAKPOINTS or self.app.HORIZONTAL_BREAKPOINTS or ()
        held = [name for least, name in known if self.app.size.width >= least]
        self.set_classes(held[-1:])
        if self._veiled:
            asyncio.get_running_loop().call_later(SOON, self.unveil)

    def unveil(self) -> None:
        """Paint from now on: there is something to show, or the wait was too long."""
        if self._veiled:
            self._veiled = False
            self.post_message(Update(self))

    @property
    def is_current(self) -> bool:
        """Is it visible, perhaps behind a question?"""
        if self._veiled or not super().is_current:
            return False
        return self.app.screen is self or self.app.screen.is_modal

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """As Textual's, without a second painting of the whole screen after a layout, which paints
        its own changes."""
        wanted = repaint and not layout and not self._veiled
        return super().refresh(*regions, repaint=wanted, layout=layout, recompose=recompose)
