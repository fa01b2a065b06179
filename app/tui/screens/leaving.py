"""Screens that are left once. A key that arrives later acts on no other screen."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen
from textual.widget import Widget

from app.tui.keys import bindings, written
from app.tui.screens.whole import Result, WholeScreen

Box = TypeVar("Box", bound=Widget)


class LeavingScreen(WholeScreen[Result]):
    """Gives a result when it is left, at most once."""

    @property
    def is_left(self) -> bool:
        """Has the screen left the stack? Its pending work is then dropped."""
        return self not in self.app.screen_stack

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As Textual's, but a second call does not dismiss the screen beneath."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


class Dialog(ModalScreen[Result | None]):
    """A question over another screen; None closes it without an answer. Textual takes styles from
    the first base alone, so this class derives from neither of the above."""

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
        """The box of the dialog; its last line names these keys, and the one that closes it."""
        made = kind(classes="box")
        made.border_title = title
        made.border_subtitle = " · ".join((*ways, f"{written('dialog.close')} closes"))
        return made

    def action_close(self) -> None:
        """Close without an answer."""
        self.dismiss(None)

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """As above."""
        return super().dismiss(result) if self.is_active else AwaitComplete()
