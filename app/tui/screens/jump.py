"""Jump mode: a letter on everything that can be gone to, over the screen beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from app.tui.keys import bindings
from app.tui.screens.leaving import Dialog

LETTERS = "asdfghjklqwertyuiopzxcvbnm"
"""The nearest to the fingers first."""


@dataclass(frozen=True, slots=True)
class JumpTarget:
    """Where its letter stands on the screen, and the action that goes there."""

    x: int
    y: int
    action: str


class JumpScreen(Dialog[str]):
    """Gives the action whose letter was pressed; escape gives None."""

    DEFAULT_CSS = """
    JumpScreen { background: transparent; }
    JumpScreen Static {
        width: 3; height: 1; position: absolute;
        background: $warning; color: $background; text-style: bold;
    }
    """
    BINDINGS = bindings("jump")

    def __init__(self, targets: Sequence[JumpTarget]) -> None:
        super().__init__()
        self.targets = dict(zip(LETTERS, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self.targets.items():
            sign = Static(Content(f" {letter} "), markup=False)
            sign.styles.offset = target.x, target.y
            yield sign

    def on_key(self, event: events.Key) -> None:
        """Go to what the letter stands on; any other letter leaves."""
        if event.character and event.character.isalpha():
            event.stop()
            target = self.targets.get(event.character)
            self.dismiss(target.action if target else None)


def jump(screen: Screen[None], targets: Sequence[JumpTarget]) -> None:
    """Put a letter on each of the targets, and do what the one that is pressed stands for."""

    async def picked(action: str | None) -> None:
        if action is not None:
            await screen.run_action(action)

    screen.app.push_screen(JumpScreen(targets), picked)
