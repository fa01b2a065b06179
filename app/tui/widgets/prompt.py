"""Where a prompt is typed: several lines, and earlier prompts above the first one.

The text is kept to the character; control characters show as pictures of themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from app.text import ALONE, plain
from app.tui.able import Able
from app.tui.keys import bindings
from app.tui.widgets.plain_input import act_in_order

MOST = 100
"""Prompts that are remembered."""
_STRANGE = "�"


class PromptArea(TextArea, Able):
    """A text of several lines that enter sends."""

    PLACE = "prompt"
    BINDINGS = bindings("prompt")
    DEFAULT_CSS = """
    PromptArea {
        width: 1fr; height: auto; min-height: 1; max-height: 2; padding: 0 1; border: none;
        background: $background; scrollbar-size-vertical: 1;
    }
    PromptArea:focus { border: none; background: $panel; max-height: 5; }
    .-wide PromptArea { max-height: 5; }
    PromptArea .text-area--cursor-line { background: transparent; }
    """

    class Sent(Message):
        """Enter was pressed."""

    @dataclass
    class Left(Message):
        """The cursor was moved out of the text, upwards or downwards."""

        by: int

    @dataclass
    class Escaped(Message):
        """Escape was pressed, and this key at once after it."""

        key: Key

    def __init__(self, id: str, placeholder: str) -> None:
        super().__init__(id=id, placeholder=placeholder, compact=True)
        self.past: list[str] = []
        self._back = 0
        self._typed = ""

    def get_line(self, line_index: int) -> Text:
        """A line as it shows: a picture for each character that would act on a terminal."""
        shown = "".join(map(_pictured, self.document.get_line(line_index)))
        return Text(ALONE.sub(_STRANGE, shown), end="")

    async def on_key(self, event: Key) -> None:
        """Edit in the order of the keys, and take a key with alt apart: a terminal sends escape and
        the next key like that."""
        await act_in_order(self, event)
        if event.key.startswith("alt+") and event.is_printable:
            event.stop()
            event.prevent_default()
            self.post_message(self.Escaped(Key(event.character or "", event.character)))

    def action_send(self) -> None:
        """Have the prompt answered, once the letters before it are there: keys that act overtake
        typed ones."""
        self.post_message(self.Sent())

    def on_prompt_area_sent(self) -> None:
        """Remember the prompt; the message then goes to the screen."""
        if self.text and self.past[-1:] != [self.text]:
            self.past = [*self.past, self.text][-MOST:]
        self._back = 0

    def action_line(self) -> None:
        """A new line."""
        self.insert("\n")

    def action_past(self, by: int) -> None:
        """A line up or down; beyond the first or the last one, an earlier or a later prompt."""
        at_end = self.cursor_at_first_line if by < 0 else self.cursor_at_last_line
        if not at_end:
            (self.action_cursor_up if by < 0 else self.action_cursor_down)()
        elif not self._recall(-by):
            self.post_message(self.Left(by))

    def _recall(self, by: int) -> bool:
        """So many prompts back; False where there is none."""
        back = self._back + by
        if not 0 <= back <= len(self.past):
            return False
        if self._back == 0:
            self._typed = self.text
        self._back = back
        self.text = self.past[-back] if back else self._typed
        self.move_cursor(self.document.end)
        return True


def _pictured(sign: str) -> str:
    if plain(sign) == sign or sign in "\t\u200d":
        return sign
    code = ord(sign)
    return chr(0x2400 + code) if code < 0x20 else _STRANGE
