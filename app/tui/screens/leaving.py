"""Screens that are left once. A key on its way already when its screen is left acts on no other."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen
from textual.widget import Widget

from app.tui.keys import bindings, written
from app.tui.screens.whole import Result, WholeScreen

Box = TypeVar("Box", bound=Widget)


class LeavingScreen(WholeScreen[Result]):
    """Gives a result when it is left, which nothing does twice."""

    @property
    def is_left(self) -> bool:
        """Is it on no stack any more? What it still had to do is then nobody's."""
        return self not in self.app.screen_stack

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As Textual's, which would take the screen beneath away next."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


class Dialog(ModalScreen[Result | None]):
    """A question over another screen, closed without an answer by None. Textual takes styles from
    the first base alone, so that it is none of the above."""

    BINDINGS = bindings("dialog")
    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog > .box {
        max-width: 96%; height: auto; max-height: 96%; padding: 0 2; border: round $accent;
        background: $surface; border-title-color: $accent; border-subtitle-color: $muted;
    }
    Dialog Input { background: $panel; }
    """

    def box(self, kind: type[Box], title: str, *ways: str) -> Box:
        """What the dialog stands in. Below it stands how it is used: these ways, and closing it."""
        made = kind(classes="box")
        made.border_title = title
        made.border_subtitle = " · ".join((*ways, f"{written('dialog.close')} closes"))
        return made

    def action_close(self) -> None:
        """Leave it as it was."""
        self.dismiss(None)

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As above."""
        return super().dismiss(result) if self.is_active else AwaitComplete()
