"""When garbage is collected: while nobody types.

To look through all that the figures are made of halts the screen for 0.1 s, and Python does it in
the middle of whatever has just made many objects: mostly the screen that somebody is waiting for.
"""

from __future__ import annotations

import gc
import time

REST = 1.0
"""Seconds without a key after which it is looked through."""
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
        if now - self._typed < REST:
            return
        if self._typed > self._collected or now - self._collected > SELDOM:
            gc.collect()
            self._collected = time.monotonic()
