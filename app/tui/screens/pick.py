"""A small choice: a letter for each thing that can be had, and a folder where one is wanted."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.tui.keys import written
from app.tui.screens.leaving import Dialog

Offer = tuple[str, str, str]
"""A letter, what it stands for, and the answer that it gives."""


class PickScreen(Dialog[tuple[str, str] | None]):
    """Gives the answer picked and the folder, or None."""

    AUTO_FOCUS = ""  # letters pick until the folder is gone to
    DEFAULT_CSS = """
    PickScreen { align: center middle; }
    PickScreen > Vertical {
        width: 64; max-width: 94%; height: auto; padding: 1 2;
        background: $surface; border: round $accent;
        border-title-color: $accent; border-subtitle-color: $muted;
    }
    PickScreen Input { border: none; height: 1; padding: 0; background: $panel; margin-top: 1; }
    PickScreen Input:focus { border: none; }
    """

    def __init__(self, title: str, offers: Sequence[Offer], folder: str = "") -> None:
        super().__init__()
        self.called = title
        self.offers = tuple(offers)
        self.folder = folder

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self.called
            closes = f"{written('dialog.close')} closes"
            box.border_subtitle = f"tab: folder · {closes}" if self.folder else closes
            for letter, words, _ in self.offers:
                yield Static(Content.assemble((letter, "bold $accent"), f"  {words}"))
            if self.folder:
                yield Input(self.folder, placeholder="folder")

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

    def action_close(self) -> None:
        """Leave without anything."""
        self.dismiss(None)
