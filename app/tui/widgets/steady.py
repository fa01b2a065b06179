"""Widgets whose place is their container's business: a new size lays nothing out again.

Textual lays the screen out again, and paints anew, whenever a layout gave any widget another
size, for those that scroll. What is drawn to its size does not need it.
"""

from __future__ import annotations

from textual.containers import Horizontal
from textual.geometry import Size
from textual.reactive import Reactive
from textual.widget import Widget


class Steady(Widget):
    """A widget that is drawn to its size and does not scroll by Textual's means. Name this base
    last: Textual takes the style of the first base."""

    virtual_size: Reactive[Size] = Reactive(Size(0, 0), layout=False, repaint=False)


class Beside(Horizontal, Steady):
    """Widgets side by side."""
