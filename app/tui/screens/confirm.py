"""A question with yes or no. Owns nothing but the asking."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from app.tui.screens.leaving import Dialog


class ConfirmScreen(Dialog[bool]):
    """Asks; answers True for y or enter, False for n or escape."""

    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; }
    ConfirmScreen > Vertical {
        width: 64; max-width: 94%; height: auto; padding: 1 2;
        background: $surface; border: round $warning;
    }
    ConfirmScreen .answers { margin-top: 1; color: $muted; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape,q", "answer(False)", "No"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = question

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(Content(self.question))
            answers = Content.assemble(
                ("y", "bold $accent"), " yes    ", ("n", "bold $accent"), " no"
            )
            yield Static(answers, classes="answers")

    def action_answer(self, yes: bool) -> None:
        """Hand the answer to whoever asked."""
        self.dismiss(yes)
