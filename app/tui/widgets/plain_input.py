"""A line to type into. Owns what becomes of pasted characters that a terminal would obey."""

from __future__ import annotations

from textual.widgets import Input

from app.text import plain


class PlainInput(Input):
    """Textual's line, which hands all that it holds to the terminal: here as visible escapes."""

    def validate_value(self, value: str) -> str:
        """The value without characters that act on a terminal."""
        return plain(value)
