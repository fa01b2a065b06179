"""Lines to type into: keys that arrive together act in their order."""

from __future__ import annotations

import pytest
from textual.app import App, ComposeResult
from textual.containers import Vertical
from textual.events import Key
from textual.widgets import Input, TextArea

from app.tui.widgets.plain_input import PlainInput
from app.tui.widgets.prompt import PromptArea


class _Lines(App[None]):
    """Both kinds of lines, below something that keys go up through."""

    BINDINGS = [("down", "go_down", "")]  # noqa: RUF012
    downs = 0

    def action_go_down(self) -> None:
        """Act on a key that no line takes."""
        self.downs += 1

    def compose(self) -> ComposeResult:
        with Vertical():
            yield PlainInput("450")
            yield PromptArea("prompt", "")

    def typed(self) -> str:
        """The text of the line in focus."""
        line = self.focused
        if isinstance(line, Input):
            return line.value
        assert isinstance(line, TextArea)
        return line.text


@pytest.mark.parametrize("kind", [PlainInput, PromptArea])
async def test_keys_that_arrive_together_edit_in_their_order(
    kind: type[PlainInput | PromptArea],
) -> None:
    app = _Lines()
    async with app.run_test() as pilot:
        app.query_one(kind).focus()
        await pilot.pause()
        for key in ("ctrl+a", "ctrl+k", "3", "4", "backspace", "5", "left", "6"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert app.typed() == "365"


async def test_a_key_that_a_line_does_not_use_acts_around_it() -> None:
    app = _Lines()
    async with app.run_test() as pilot:
        app.query_one(PlainInput).focus()
        await pilot.press("down")
        assert app.downs == 1
