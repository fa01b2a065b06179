"""Garbage collection while nobody types, and no references that prevent it.

To look through all that the figures are made of halts the screen for 0.1 s, and Python does it in
the middle of whatever has just made many objects: mostly the screen that somebody is waiting for.
A screen that was left is garbage of some megabytes until then: for somebody who types on and on it
is looked through between two keys.
"""

from __future__ import annotations

import functools
import gc
import time

from textual._styles_cache import StylesCache
from textual.color import Color
from textual.style import Style

REST = 1.0
"""Seconds without a key after which it is looked through."""
BREATH = 0.1
"""Seconds without a key that are enough for one that is overdue."""
DUE, OVERDUE = 10.0, 20.0
"""Seconds of typing after which a breath is waited for no less than a rest, or nothing is."""
SELDOM = 60.0
"""Seconds after which it is looked through although no key was pressed."""
NEVER = 1_000_000


class Collector:
    """Collects what is young at any time, as Python does, and the rest at rest."""

    def __init__(self) -> None:
        self._typed = self._collected = time.monotonic()

    def begin(self) -> None:
        """Leave what is old to `look` from now on."""
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)

    def typed(self) -> None:
        """Somebody is there."""
        self._typed = time.monotonic()

    def look(self) -> None:
        """Collect everything if nobody is typing, and somebody has, or it is long ago."""
        now = time.monotonic()
        rested, waited = now - self._typed, now - self._collected
        typed = self._typed > self._collected
        calm = rested >= REST or (waited > DUE and rested >= BREATH) or waited > OVERDUE
        if calm and (typed or waited > SELDOM):
            gc.collect()
            self._collected = time.monotonic()


def forget_widgets() -> None:
    """Have Textual remember two styles for two colours, and not for the widget that asked as well:
    with each of them it keeps all that was painted of a widget, long after that is gone."""
    StylesCache.get_inner_outer = _asked  # type: ignore[method-assign, assignment]


def _asked(_: StylesCache, base: Color, inner: Color) -> tuple[Style, Style]:
    return _styles(base, inner)


@functools.lru_cache(1024)
def _styles(base: Color, inner: Color) -> tuple[Style, Style]:
    """Inside and outside of a widget's border."""
    return Style(background=base + inner), Style(background=base)
