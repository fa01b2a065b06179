"""A small choice: a letter for each thing that can be had, and a folder where one is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.tui.screens.leaving import Dialog

Offer = tuple[str, str, str]
"""A letter, what it stands for, and the answer that it gives."""


class PickScreen(Dialog[tuple[str, str]]):
    """Gives the answer picked and the folder, or None."""

    AUTO_FOCUS = ""  # letters pick until the folder is gone to
    DEFAULT_CSS = """
    PickScreen > .box { width: 64; max-width: 94%; padding: 1 2; }
    PickScreen Input { margin-top: 1; }
    """

    def __init__(self, title: str, offers: Sequence[Offer], folder: str = "") -> None:
        super().__init__()
        self.called = title
        self.offers = tuple(offers)
        self.folder = folder

    def compose(self) -> ComposeResult:
        with self.box(Vertical, self.called, *["tab: folder"] * bool(self.folder)):
            for letter, words, _ in self.offers:
                yield Static(Content.assemble((letter, "bold $accent"), f"  {words}"))
            if self.folder:
                yield Input(self.folder, placeholder="folder", compact=True)

    def on_key(self, event: events.Key) -> None:
        """A letter picks, unless it is being typed into the folder."""
        if isinstance(self.focused, Input):
            return
        for letter, _, answer in self.offers:
            if event.character == letter:
                event.stop()
                typed = self.query_one(Input).value.strip() if self.folder else ""
                self.dismiss((answer, typed or self.folder))

    def on_input_submitted(self) -> None:
        self.set_focus(None)
