"""Intervals and chance levels that a drawing shows beside its values.

Owns which of them belong to the reading that a figure shows. Knows no colour and no layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.render.terminal.scales import scaled, shows_interval, shows_raw, ticks
from core.figures.figure import Cell, Figure, Panel
from core.figures.significance import SPREADS


@dataclass(frozen=True, slots=True)
class Level:
    """What chance gives at one place: its level, and the range within which it stays."""

    x: float
    level: float
    low: float
    high: float


def level_of(cell: Cell) -> tuple[float, float, float] | None:
    """The chance level of a cell and the ends of its range, where the raw value is shown."""
    if cell.chance is None or not shows_raw(cell):
        return None
    spread = SPREADS * (cell.chance_sd or 0.0)
    return cell.chance, cell.chance - spread, cell.chance + spread


def common_level(cells: Iterable[Cell]) -> tuple[float, float, float] | None:
    """The chance level of cells that all have the same one, and the widest of its ranges."""
    known = [level for cell in cells if (level := level_of(cell)) is not None]
    if not known or max(known)[0] - min(known)[0] > 1e-9 * max(1.0, abs(known[0][0])):
        return None
    return known[0][0], min(low for _, low, _ in known), max(high for _, _, high in known)


def levels(panel: Panel) -> tuple[Level, ...]:
    """What chance gives along a panel: the mean of its series' levels, all of their ranges.

    Nothing where a companion draws it already.
    """
    if any(series.companion for series in panel.series):
        return ()
    found: dict[int, list[tuple[float, float, float]]] = {}
    for series in panel.series:
        for x, cell in zip(series.xs, series.cells, strict=True):
            level = level_of(cell)
            if level is not None:
                found.setdefault(x, []).append(level)
    return tuple(
        Level(
            x,
            sum(level for level, _, _ in here) / len(here),
            min(low for _, low, _ in here),
            max(high for _, _, high in here),
        )
        for x, here in sorted(found.items())
    )


def extent(figure: Figure) -> tuple[float, float]:
    """The range of everything that a figure's axes hold: values, intervals, chance."""
    known = [value for cell in scaled(figure) for value in _drawn(cell) if math.isfinite(value)]
    return (min(known), max(known)) if known else (0.0, 1.0)


def axis_ticks(cells: Iterable[Cell], guides: Iterable[float], at_most: int) -> list[float]:
    """Ticks of one axis of a scatter: over its values, intervals, level of chance and guides."""
    known = [value for cell in cells for value in _drawn(cell) if math.isfinite(value)]
    known += guides
    return ticks(min(known), max(known), at_most) if known else [0.0, 1.0]


def value_ticks(figure: Figure, at_most: int) -> list[float]:
    """Ticks of a value axis, its two ends among them; from zero where the values are near it."""
    low, high = extent(figure)
    if 0 < low < 0.6 * high:
        low = 0.0
    return ticks(low, high, at_most)


def _drawn(cell: Cell) -> Iterator[float]:
    if cell.shown is None:
        return
    yield cell.shown
    if shows_interval(cell) and cell.low is not None and cell.high is not None:
        yield from (cell.low, cell.high)
    level = level_of(cell)
    if level is not None:
        yield from level
