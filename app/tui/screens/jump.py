"""Jump mode: a letter on every target, over the screen beneath."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from app.tui.keys import actions, bindings
from app.tui.screens.leaving import Dialog


@dataclass(frozen=True, slots=True)
class JumpTarget:
    """The place of a letter on the screen, and its action."""

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
        self.letters = [a.key for a in actions("jump") if a.name.startswith("go(")]
        self.targets = dict(zip(self.letters, targets, strict=False))

    def compose(self) -> ComposeResult:
        for letter, target in self.targets.items():
            sign = Static(Content(f" {letter} "), markup=False)
            sign.styles.offset = target.x, target.y
            yield sign

    def on_key(self, event: events.Key) -> None:
        """Take letters here, in their order: later letters act on no other screen."""
        if event.character in self.letters:
            event.stop()
            self.action_go(self.letters.index(event.character) + 1)

    def action_go(self, number: int) -> None:
        """Go to the target of the letter of that number; leave if it has none."""
        known = [*self.targets.values()]
        self.dismiss(known[number - 1].action if number <= len(known) else None)


def jump(screen: Screen[None], targets: Sequence[JumpTarget]) -> None:
    """Put a letter on each target, and do the action of the pressed letter."""

    async def picked(action: str | None) -> None:
        if action is not None:
            await screen.run_action(action)

    screen.app.push_screen(JumpScreen(targets), picked)
