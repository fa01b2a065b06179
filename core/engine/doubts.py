"""Warnings that arise while units compute: they become part of the finished units.

Owns their collection. Whoever computes a unit takes them when it is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from core import libraries
from core.engine.attempts import ends_run
from core.engine.measurement import Doubt


class Doubts:
    """The warnings since the last finished unit, each once, in order."""

    def __init__(self) -> None:
        self._new: dict[Doubt, None] = {}

    def add(self, subject: str, message: str) -> None:
        """Add a warning."""
        self._new[subject, message] = None

    def take(self) -> list[Doubt]:
        """Remove and return the warnings. Equal ones may come again, about the next unit."""
        taken, self._new = list(self._new), {}
        libraries.repeat()
        return taken

    @contextmanager
    def hearing(self, subject: str, tell: Callable[[str, str], None]) -> Iterator[None]:
        """Add the libraries' messages of the block. After an error, `tell` gets the warnings that
        no finished unit has; a fatal error leaves none."""
        self._new.clear()
        with libraries.heard(partial(self.add, subject)):
            try:
                yield
            except Exception as error:
                if not ends_run(error):
                    for doubt in self.take():
                        tell(*doubt)
                raise
