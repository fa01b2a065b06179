"""Screens that take the whole terminal: each is painted once, when it has something to show, and
only while it can be seen. Textual paints more often, which is felt and goes over the line.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar, Self, TypeVar

from textual.geometry import Region
from textual.messages import Update
from textual.screen import Screen

Result = TypeVar("Result")

SOON = 0.05
"""Seconds for which painting waits for what is likely to be at hand."""


class WholeScreen(Screen[Result]):
    """One that others of its kind are laid upon."""

    VEILED: ClassVar[bool] = False
    """Does the screen before stay on the terminal until `unveil` is called, or SOON has passed?"""

    def __init__(self) -> None:
        super().__init__()
        self._veiled = self.VEILED

    def on_compose(self) -> None:
        """Know how wide it is before it is laid out, which would be done again otherwise; from
        here on it is waited for."""
        known = self.HORIZONTAL_BREAKPOINTS or self.app.HORIZONTAL_BREAKPOINTS or ()
        held = [name for least, name in known if self.app.size.width >= least]
        self.set_classes(held[-1:])
        if self._veiled:
            asyncio.get_running_loop().call_later(SOON, self.unveil)

    def unveil(self) -> None:
        """Be painted from now on: there is something to show, or it takes too long."""
        if self._veiled:
            self._veiled = False
            self.post_message(Update(self))

    @property
    def is_current(self) -> bool:
        """Can it be seen, be it behind a question?"""
        if self._veiled or not super().is_current:
            return False
        return self.app.screen is self or self.app.screen.is_modal

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """As Textual's, but for painting all of the screen once more behind a layout, which paints
        whatever it changed."""
        wanted = repaint and not layout and not self._veiled
        return super().refresh(*regions, repaint=wanted, layout=layout, recompose=recompose)
