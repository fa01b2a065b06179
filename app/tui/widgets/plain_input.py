"""A line to type into. Owns what becomes of pasted characters that a terminal would obey."""

from __future__ import annotations

from textual.widgets import Input

from app.text import plain


class PlainInput(Input):
    """Textual's line, which hands all that it holds to the terminal: here as visible escapes."""

    def validate_value(self, value: str) -> str:
        """The value without characters that act on a terminal."""
        return plain(value)

    def replace(self, text: str, start: int, end: int) -> None:
        """Replace a part, with the cursor behind the new text as it shows."""
        super().replace(plain(text), start, end)
