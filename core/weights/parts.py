"""Partial results of a pass for one slice, stored so that a kill loses little.

Owns the times of saving parts to the sink: as often as the cost stays negligible. All units of a
slice are finished only when the whole slice has been read. A part is the result of one unit for one
matrix.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from core.engine.doubts import Doubts
from core.engine.measurement import Doubt, ResultSink, Unit, UnitPart, slice_key

SHARE = 20.0
"""Parts are saved once the work since the last save has taken this many times the save's
duration."""

LONGEST = 5.0
"""Seconds of work after which parts are saved in any case."""


def step_of(reader: str, model: str, matrix: object) -> str:
    """The name of a step: a reader's measurement of one matrix and model."""
    return f"{reader} {model} {matrix}"


def matrix_of(step: str) -> str:
    """The matrix of a step. Names of readers and models have no spaces."""
    return step.split(" ", 2)[-1]


class SliceParts:
    """The parts of a run's current slice, by step. `doubts`: the warnings since the last part."""

    def __init__(self, sink: ResultSink) -> None:
        self.sink = sink
        self.doubts = Doubts()
        self._took = 0.0
        self.begin(())

    def begin(self, units: Sequence[Unit]) -> None:
        """Start the slice of these units; an earlier attempt may have saved parts of it."""
        self._slice = slice_key(units)
        self._known, self._before = self.sink.parts(self._slice) if units else ({}, 0.0)
        self._new: dict[str, UnitPart] = {}
        self._began = self._laid = time.monotonic()

    def find(self, step: str) -> UnitPart | None:
        """The saved part of a step; None if there is none."""
        return self._known.get(step)

    def add(self, step: str, part: UnitPart) -> None:
        """Add a new part with the new warnings, and save it when it is time."""
        if warnings := self.doubts.take():
            part = replace(part, warnings=[*part.warnings, *warnings])
        self._known[step] = self._new[step] = part
        now = time.monotonic()
        if now - self._laid >= min(LONGEST, SHARE * self._took):
            self.sink.save_parts(self._slice, self._new, now - self._laid)
            self._new = {}
            self._laid = time.monotonic()
            self._took = self._laid - now

    def warnings(self) -> list[Doubt]:
        """The warnings about the slice, with the warnings of killed attempts."""
        of_parts = [doubt for part in self._known.values() for doubt in part.warnings]
        return [*of_parts, *self.doubts.take()]

    @property
    def seconds(self) -> float:
        """Seconds of work on the slice, including killed attempts."""
        return self._before + time.monotonic() - self._began
