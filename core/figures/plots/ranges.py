"""Ranges of values and the ticks on them. Knows no colour and no layout."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from core.engine.measurement import Better
from core.figures.plots.numbers import formatter, tick_labels

NEAR_ZERO = 0.6
"""Values whose least is below this share of their greatest are drawn from zero."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and the text at it."""

    at: float
    label: str


Ramp = Literal["sequential", "signed", "better"]
"""A ramp of colours: from little to much, from minus over zero to plus, from worse to better."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour scale: the ramp, and the values that it covers. A scale about zero includes zero;
    equal distances on both sides are equally far along the ramp. `ends` are both ends in words;
    `flipped`: the better end of the ramp stands for the lower values; `relative`: every column has
    its own largest value at an end, so that ends have no numbers."""

    low: float
    high: float
    ramp: Ramp = "sequential"
    ends: tuple[str, str] = ("", "")
    flipped: bool = False
    relative: bool = False

    def tone(self, value: float) -> float:
        """The position of a value on the ramp, 0 to 1; 0.5 is zero, or any value where all are the
        same."""
        if self.ramp == "sequential":
            return share(value, self.low, self.high)
        reach = max(abs(self.low), abs(self.high))
        fraction = share(value, -reach, reach)
        return 1 - fraction if self.flipped else fraction

    def tones(self, count: int) -> list[float]:
        """The positions of that many values from one end to the other."""
        step = (self.high - self.low) / (count - 1)
        return [self.tone(self.low + i * step) for i in range(count)]


@dataclass(frozen=True, slots=True)
class Axis:
    """The range of an axis. `whole`: its ticks are whole numbers, as those of layers are."""

    low: float
    high: float
    whole: bool = False

    def ticks(self, at_most: int) -> list[Tick]:
        """Round numbers in at most that many steps: covering the range, or within it if whole."""
        positions = ticks(self.low, self.high, at_most)
        if self.whole:
            within = [t for t in positions if self.low <= t <= self.high and t == int(t)]
            positions = within or [float(math.ceil(self.low))]
        return labelled(positions)


def scale(values: Iterable[float], *, signed: bool, better: Better = "neither") -> Scale:
    """The scale that covers these values; `better` is their better direction."""
    known = [v for v in values if math.isfinite(v)] or [0.0]
    if not signed:
        low, high = min(known), max(known)
        write = formatter([low, high])
        return Scale(low, high, ends=(write(low), write(high)))
    low, high = min(0.0, *known), max(0.0, *known)
    if low == high:
        low, high = -1.0, 1.0
    write = formatter([low, high], signed=True)
    ends = write(low), write(high)
    if better == "neither":
        return Scale(low, high, "signed", ends)
    flipped = better == "lower"
    words = ("better", "worse") if flipped else ("worse", "better")
    ends = f"{words[0]} {ends[0]}" if low else "0", f"{ends[1]} {words[1]}" if high else "0"
    return Scale(low, high, "better", ends, flipped)


def axis(values: Iterable[float], *, zero: bool = False) -> Axis:
    """The axis that covers these values; `zero`: from zero where the values are near it."""
    known = [v for v in values if math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if low == high == 0:
        high = 1.0
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
