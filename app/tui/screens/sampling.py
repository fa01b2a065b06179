"""A form for how texts are generated on the bench."""

from __future__ import annotations

from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.text import plain
from app.tui.bench import settings
from app.tui.bench.settings import FIELDS, Settings
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.widgets.plain_input import PlainInput
from core.errors import StudyError


class SettingsScreen(Dialog[Settings]):
    """Gives the settings, or None."""

    DEFAULT_CSS = """
    SettingsScreen > .box { width: 76; padding: 0 1; }
    SettingsScreen Horizontal { height: 1; }
    SettingsScreen .name { width: 14; color: $muted; }
    SettingsScreen Input { width: 1fr; padding: 0 1; }
    SettingsScreen #about { height: 2; margin-top: 1; color: $muted; }
    SettingsScreen #about.-trouble { color: $error; }
    """
    BINDINGS = bindings("models")

    def __init__(self, held: Settings) -> None:
        super().__init__()
        self.held = held

    def compose(self) -> ComposeResult:
        keys = f"{written('models.move--1')}{written('models.move-1')}"
        words = settings.typed(self.held)
        with self.box(Vertical, "how texts are generated", f"{keys} moves", "enter accepts all"):
            for name, (label, _) in FIELDS.items():
                with Horizontal():
                    yield Static(label, classes="name", markup=False)
                    yield PlainInput(words[name], id=name, compact=True)
            yield Static("", id="about", markup=False)

    def on_descendant_focus(self) -> None:
        name = self.focused.id if self.focused is not None else None
        if name in FIELDS:
            self._say(FIELDS[name or ""][1])

    def on_input_submitted(self) -> None:
        words = {box.id or "": box.value for box in self.query(Input)}
        shown = settings.typed(self.held)
        # A text from a file may have signs that a field shows otherwise.
        same = {n: getattr(self.held, n) for n in FIELDS if words[n] == plain(shown[n])}
        try:
            typed = settings.read(words)
        except StudyError as error:
            self._say(error.title, trouble=True)
        else:
            self.dismiss(replace(typed, **same))

    def action_move(self, by: int) -> None:
        """Go to the field above or below."""
        boxes = list(self.query(Input))
        index = next((n for n, box in enumerate(boxes) if box is self.focused), 0)
        self.set_focus(boxes[(index + by) % len(boxes)])

    def action_page(self, way: int) -> None:
        """Go to the first or the last field."""
        boxes = list(self.query(Input))
        self.set_focus(boxes[0 if way < 0 else -1])

    def _say(self, words: str, *, trouble: bool = False) -> None:
        line = self.query_one("#about", Static)
        line.set_class(trouble, "-trouble")
        line.update(Content(plain(words)))
