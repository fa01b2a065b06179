"""A line to type into. Owns what becomes of pasted characters that a terminal would obey, and the
order of keys that arrive together.
"""

from __future__ import annotations

from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from app.text import plain


async def act_in_order(widget: Widget, event: Key) -> None:
    """Run the widget's own action of a key at once, such as deleting a character.

    Textual runs it once the key has gone up to the app, but takes letters here: of keys that arrive
    together, as over a slow line, letters typed behind the key would come before it. An action that
    the widget skips, such as scrolling in one line, leaves the key to the widgets around it.
    """
    active = widget.screen.active_bindings.get(event.key)
    own = active is not None and active.node is widget and active.enabled
    if active is not None and own and await widget.app.run_action(active.binding.action, widget):
        event.stop()
        event.prevent_default()


class PlainInput(Input):
    """Textual's line, which hands all that it holds to the terminal: here as visible escapes."""

    async def on_key(self, event: Key) -> None:
        """Edit in the order of the keys."""
        await act_in_order(self, event)

    def validate_value(self, value: str) -> str:
        """The value without characters that act on a terminal."""
        return plain(value)

    def replace(self, text: str, start: int, end: int) -> None:
        """Replace a part, with the cursor behind the new text as it shows."""
        super().replace(plain(text), start, end)
