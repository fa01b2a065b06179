"""Garbage collection while nobody types, and no references that prevent it.

A full collection halts the screen for 0.1 s, and Python runs it just after many objects were made:
mostly while somebody waits for a screen. Until then a screen that was left is garbage of some
megabytes, so during long typing a collection runs between two keys.
"""

from __future__ import annotations

import functools
import gc
import time

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.style import Style

REST = 1.0
"""Seconds without a key before a full collection."""
BREATH = 0.1
"""Seconds without a key before an overdue collection."""
DUE, OVERDUE = 10.0, 20.0
"""Seconds of typing after which a BREATH is enough, and after which no pause is needed."""
SELDOM = 60.0
"""Seconds between collections without any key."""
NEVER = 1_000_000


class Collector:
    """Collects young objects at any time, as Python does, and old ones at rest."""

    def __init__(self) -> None:
        self._typed = self._collected = time.monotonic()

    def begin(self) -> None:
        """Leave old objects to `look` from now on."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)

    def typed(self) -> None:
        """Note a pressed key."""
        self._typed = time.monotonic()

    def look(self) -> None:
        """Collect everything if nobody is typing, and a key was pressed since the last collection
        or that was long ago."""
        now = time.monotonic()
        rested, waited = now - self._typed, now - self._collected
        typed = self._typed > self._collected
        calm = rested >= REST or (waited > DUE and rested >= BREATH) or waited > OVERDUE
        if calm and (typed or waited > SELDOM):
            gc.collect()
            self._collected = time.monotonic()


def forget_widgets() -> None:
    """Make Textual cache two styles by their two colours alone, not by the widget as well: each
    entry keeps all painted strips of a widget long after its end."""
    StylesCache.get_inner_outer = _asked  # type: ignore[method-assign, assignment]


def _asked(_: StylesCache, base: Color, inner: Color) -> tuple[Style, Style]:
    return _styles(base, inner)


@functools.lru_cache(1024)
def _styles(base: Color, inner: Color) -> tuple[Style, Style]:
    """Inside and outside of a widget's border."""
    return Style(background=base + inner), Style(background=base)
