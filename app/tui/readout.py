"""The readout of the value under the cursor: all facts of one cell, in words.

Functions over cells alone: no widget.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from app.text import plain
from core.figures.figure import Cell
from core.figures.plots.numbers import exact
from core.figures.plots.values import yardsticks
from core.figures.rounding import PROBABILITIES, p_words


@dataclass(frozen=True, slots=True)
class Spot:
    """The place of a figure's cursor: its coordinates, and the measured cell if there is one.

    `side`: is the value better or worse than zero? `missing` says why there is no cell. A figure
    with several values there provides their words (`value`), further facts (`beside`), and the
    copied text (`line`, without control characters).
    """

    coordinates: tuple[tuple[str, str], ...]
    cell: Cell | None = None
    side: str = ""
    missing: str = "not measured"
    value: str | None = None
    beside: tuple[str, ...] = ()
    line: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """The measure of a figure's values: its name, and for people its title and its unit. `empty`:
    the meaning of an undefined value."""

    name: str
    title: str = ""
    unit: str = ""
    empty: str = ""

    def value(self, spot: Spot, *, short: bool = False) -> str:
        """The value to six significant digits, or the reason of a missing one. `short`: with the
        name of the measure in place of its title."""
        if spot.value is not None:
            return spot.value
        if spot.cell is None:
            values = [value for _, value in spot.coordinates]
            return "itself: nothing to compare" if len(values) != len(set(values)) else spot.missing
        called = self.name if short else self.title or self.name
        if spot.cell.value is None:
            return f"{called} undefined{self.empty and f': {self.empty}'}"
        number = (p_words if self.name in PROBABILITIES else exact)(spot.cell.value)
        side = f" ({spot.side})" if spot.side else ""
        return f"{called} {number}{self.unit and f' {self.unit}'}{side}"


def beside(spot: Spot) -> list[str]:
    """All facts of the place besides the value."""
    return list(spot.beside) or yardsticks(spot.cell)


def in_a_row(parts: Sequence[str], width: int) -> str:
    """Harmless words side by side, with less space if they would not fit."""
    apart, close = (plain(gap.join(parts)) for gap in ("  ·  ", " · "))
    return apart if cell_len(apart) <= width else close


def copied(spot: Spot, measured: Measured) -> str:
    """The readout as one line of text without control characters."""
    if spot.line:
        return spot.line
    where = [f"{name} {value}" for name, value in spot.coordinates]
    return plain(", ".join([*where, measured.value(spot), *beside(spot)]))
