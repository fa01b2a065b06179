"""Ranges of values and the ticks on them. Knows no colour and no layout."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from core.figures.plots.numbers import tick_labels

NEAR_ZERO = 0.6
"""Values whose least is below this share of their greatest are drawn from zero."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and the text at it."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Scale:
    """The range of values that a ramp of colours stands for; centred on zero when signed."""

    low: float
    high: float
    signed: bool

    def share(self, value: float) -> float:
        """The position of a value within the range, 0 to 1; 0.5 in a range of no width."""
        return share(value, self.low, self.high)


@dataclass(frozen=True, slots=True)
class Axis:
    """The range of an axis. `whole`: its ticks are whole numbers, as those of layers are."""

    low: float
    high: float
    whole: bool = False

    def ticks(self, at_most: int) -> list[Tick]:
        """Round numbers in at most that many steps: covering the range, or within it if whole."""
        at = ticks(self.low, self.high, at_most)
        if self.whole:
            within = [t for t in at if self.low <= t <= self.high and t == int(t)]
            at = within or [float(math.ceil(self.low))]
        return labelled(at)


def scale(values: Iterable[float], signed: bool) -> Scale:
    """The scale that covers these values."""
    known = [v for v in values if math.isfinite(v)] or [0.0]
    if signed:
        reach = max(map(abs, known)) or 1.0
        return Scale(-reach, reach, True)
    return Scale(min(known), max(known), False)


def axis(values: Iterable[float], *, zero: bool = False) -> Axis:
    """The axis that covers these values; `zero`: from zero where the values are near it."""
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if zero and 0 < low < NEAR_ZERO * high:
        low = 0.0
    return Axis(low, high)


def ticks(low: float, high: float, at_most: int) -> list[float]:
    """Round numbers that cover the range in at most that many steps."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    rough = (high - low) / max(1, at_most - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(m * magnitude for m in (1, 2, 2.5, 5, 10, 20) if m * magnitude >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def labelled(values: list[float]) -> list[Tick]:
    """Ticks at these values."""
    return [Tick(v, label) for v, label in zip(values, tick_labels(values), strict=True)]


def share(value: float, low: float, high: float) -> float:
    """The position of a value between two others, 0 to 1; 0.5 where they are the same."""
    if high <= low:
        return 0.5
    return min(1.0, max(0.0, (value - low) / (high - low)))
