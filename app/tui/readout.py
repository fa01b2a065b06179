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


def value_of(spot: Spot, measure: str, empty: str) -> str:
    """The value to six significant digits, or the reason of a missing one."""
    if spot.value is not None:
        return spot.value
    if spot.cell is None:
        values = [value for _, value in spot.coordinates]
        return "itself: nothing to compare" if len(values) != len(set(values)) else spot.missing
    if spot.cell.value is None:
        return f"{measure} undefined: {empty}" if empty else f"{measure} undefined"
    write = p_words if measure in PROBABILITIES else exact
    return f"{measure} {write(spot.cell.value)}{f' ({spot.side})' if spot.side else ''}"


def beside(spot: Spot) -> list[str]:
    """All facts of the place besides the value."""
    return list(spot.beside) or yardsticks(spot.cell)


def in_a_row(parts: Sequence[str], width: int) -> str:
    """Harmless words side by side, with less space if they would not fit."""
    apart, close = (plain(gap.join(parts)) for gap in ("  ·  ", " · "))
    return apart if cell_len(apart) <= width else close


def copied(spot: Spot, measure: str, empty: str) -> str:
    """The readout as one line of text without control characters."""
    if spot.line:
        return spot.line
    where = [f"{name} {value}" for name, value in spot.coordinates]
    return plain(", ".join([*where, value_of(spot, measure, empty), *beside(spot)]))
