"""Screens that are left once. A key on its way already when its screen is left acts on no other."""

from __future__ import annotations

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

from app.tui.keys import bindings
from app.tui.screens.whole import Result, WholeScreen


class LeavingScreen(WholeScreen[Result]):
    """Gives a result when it is left, which nothing does twice."""

    @property
    def is_left(self) -> bool:
        """Is it on no stack any more? What it still had to do is then nobody's."""
        return self not in self.app.screen_stack

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As Textual's, which would take the screen beneath away next."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


class Dialog(ModalScreen[Result]):
    """A question over another screen. Textual takes styles from the first base alone, so that it
    is none of the above."""

    BINDINGS = bindings("dialog")

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As above."""
        return super().dismiss(result) if self.is_active else AwaitComplete()
