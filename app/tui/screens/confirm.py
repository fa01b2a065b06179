"""A question with yes or no. Owns nothing but the asking."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog


class ConfirmScreen(Dialog[bool]):
    """Answers True for yes, False for no."""

    DEFAULT_CSS = """
    ConfirmScreen > .box { width: 64; max-width: 94%; padding: 1 2; border: round $warning; }
    ConfirmScreen .answers { margin-top: 1; color: $muted; }
    """
    BINDINGS = bindings("confirm")

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Static(Content(self.question))
            answers = Content.assemble(
                (written("confirm.yes"), "bold $accent"),
                " yes    ",
                (written("confirm.no"), "bold $accent"),
                " no",
            )
            yield Static(answers, classes="answers")

    def action_yes(self) -> None:
        """Agree."""
        self.dismiss(True)

    def action_no(self) -> None:
        """Refuse."""
        self.dismiss(False)

    action_close = action_no
