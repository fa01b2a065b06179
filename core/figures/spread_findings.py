"""Figures of spreads in one plain sentence each. Reads figures alone."""

from __future__ import annotations

from collections.abc import Iterator

from core.figures.figure import Cell, Grid
from core.figures.spread import Spread
from core.sizes import among


def of_spread(figure: Grid) -> str:
    """The place whose documents, or members, differ most."""
    known = [
        (spread.upper - spread.lower, place, spread)
        for place, cell, spread in _placed(figure)
        if cell.n is None or cell.n > 1
    ]
    if not known:
        return ""
    apart, place, spread = max(known, key=lambda each: each[0])
    if apart == 0:
        return f"Half of the {spread.of} are alike everywhere."
    unit = f" {figure.unit}" if figure.unit else ""
    return (
        f"{spread.of.capitalize()} differ most for {place}: half of them lie between "
        f"{spread.lower:.3g} and {spread.upper:.3g}{unit}."
    )


def of_controls(figure: Grid) -> str:
    """The number of drops that are larger than all their random controls."""
    known = [
        cell.value > spread.most
        for _, cell, spread in _placed(figure)
        if cell.value is not None and spread.most is not None
    ]
    if not known:
        return ""
    larger = among(sum(known), len(known), "drop", "is", "are")
    return f"{larger} larger than each random control."


def _placed(figure: Grid) -> Iterator[tuple[str, Cell, Spread]]:
    for row, cells in zip(figure.rows, figure.cells, strict=True):
        for column, cell in zip(figure.columns, cells, strict=True):
            if cell is not None and cell.spread is not None:
                yield f"{row} ({column})" if column else row, cell, cell.spread
