"""Ranges of values, the ticks on them, and numbers as short text. Knows no colour and no layout."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from app.render.terminal.palette import STEPS
from core.figures.figure import Cell, Figure, Grid, Table

UNDEFINED = "·"
EMPTY = "No values to show."
"""Stands where a figure would."""
NULL_MARK = "~"
"""Follows a number that does not tell itself from chance."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The range that a figure's values are drawn over; about zero when signed."""

    low: float
    high: float
    signed: bool

    def share(self, value: float) -> float:
        """Where in the range a value lies, 0 to 1."""
        if self.high <= self.low:
            return 0.5
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def step(self, value: float) -> int:
        """The entry of a colour ramp for a value."""
        return round(self.share(value) * (STEPS - 1))


def scaled(figure: Figure) -> Iterator[Cell]:
    """The cells that a figure's axes hold: its own, and those of the figure beside it."""
    yield from figure.measured()
    if not isinstance(figure, Table) and figure.beside is not None:
        yield from figure.beside.measured()


def shown(figure: Figure) -> list[float]:
    """All values that a figure's axes hold."""
    return [c.shown for c in scaled(figure) if c.shown is not None and math.isfinite(c.shown)]


def has_undefined(figure: Figure) -> bool:
    """Is any measured cell without a value?"""
    return any(cell.shown is None for cell in figure.measured())


def shows_raw(cell: Cell) -> bool:
    """Does the cell show the value that its chance level is about?"""
    return cell.shown is not None and cell.shown == cell.value


def shows_interval(cell: Cell) -> bool:
    """Does the cell show the value that its interval is about?"""
    return cell.low is not None and cell.high is not None and cell.shown == cell.value


def scale_of(grid: Grid, *others: Grid) -> Scale:
    """The scale that fits a grid's values, and those of others to be compared with it."""
    values = [value for each in (grid, *others) for value in shown(each)] or [0.0]
    if grid.signed:
        reach = max(abs(v) for v in values) or 1.0
        return Scale(-reach, reach, True)
    return Scale(min(values), max(values), False)


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


def whole_ticks(low: float, high: float, at_most: int) -> list[int]:
    """Round whole numbers within a range: those of layers."""
    return [int(t) for t in ticks(low, high, at_most) if low <= t <= high and t == int(t)]


def formatter(values: Iterable[float], signed: bool = False) -> Callable[[float], str]:
    """One short form for all of a figure's numbers, so that they line up and compare."""
    reach = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    sign = "+" if signed else ""
    if reach == 0 or 0.01 <= reach < 100_000:
        places = 3 if reach < 10 else 2 if reach < 100 else 1 if reach < 10_000 else 0
        return lambda v: format(v, f"{sign}.{places}f")
    return lambda v: _scientific(v, sign)


def exact(value: float | None) -> str:
    """Six significant digits."""
    return "undefined" if value is None else format(value, ".6g")


def tick_labels(values: list[float]) -> list[str]:
    """The shortest form in which neighbouring ticks differ."""
    reach = max((abs(v) for v in values), default=0.0)
    if reach and not 1e-3 <= reach < 1e6:
        for places in range(1, 7):
            labels = ["0" if v == 0 else _scientific(v, "", places) for v in values]
            if len(set(labels)) == len(values):
                return labels
    for places in range(7):
        labels = [format(v, f".{places}f") for v in values]
        if all(abs(float(t) - v) <= reach * 1e-6 for t, v in zip(labels, values, strict=True)):
            return [t.lstrip("-") if float(t) == 0 else t for t in labels]
    return [format(v, ".3g") for v in values]


def _scientific(value: float, sign: str, places: int = 1) -> str:
    """1.2e-4, without the padding of the exponent."""
    mantissa, exponent = format(value, f"{sign}.{places}e").split("e")
    return f"{mantissa}e{int(exponent)}"
