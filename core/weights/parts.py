"""Results of a pass over the weights for one slice, stored so that a kill loses little.

Owns when parts are handed to the sink: as often as costs next to nothing. A
unit of weights is ready only when its whole slice has been read, and so are those of all other
models and analyses; a part is what one of them takes from one matrix.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from core.engine.measurement import ResultSink, Unit, UnitPart, content_key

SHARE = 20.0
"""Parts are laid by once the work since the last time has taken this many times as long as that."""

LONGEST = 5.0
"""Seconds of work after which they are laid by in any case."""


class SliceParts:
    """The parts of the slice that a run is at, by the step that makes each."""

    def __init__(self, sink: ResultSink) -> None:
        self._sink = sink
        self._took = 0.0
        self.begin(())

    def begin(self, units: Sequence[Unit]) -> None:
        """Go on to the slice of these units, of which an earlier attempt may have left parts."""
        # A part of other units' slice may be of other models.
        self._slice = content_key({"units": sorted(unit.key for unit in units)})
        self._known, self._before = self._sink.parts(self._slice) if units else ({}, 0.0)
        self._new: dict[str, UnitPart] = {}
        self._began = self._laid = time.monotonic()

    def find(self, step: str) -> UnitPart | None:
        """A part that is known already."""
        return self._known.get(step)

    def add(self, step: str, part: UnitPart) -> None:
        """Take note of a part that was made just now."""
        self._known[step] = self._new[step] = part
        now = time.monotonic()
        if now - self._laid >= min(LONGEST, SHARE * self._took):
            self._sink.lay_by(self._slice, self._new, now - self._laid)
            self._new = {}
            self._laid = time.monotonic()
            self._took = self._laid - now

    @property
    def seconds(self) -> float:
        """What the work on the slice took, in attempts that were killed as well."""
        return self._before + time.monotonic() - self._began
