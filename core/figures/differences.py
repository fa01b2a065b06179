"""The difference of two figures: cell minus cell, and a sentence on the largest difference.

Owns the interval and the spread of a difference, and its words. Knows two figures only by `NAMES`,
in this order; `core.figures.pairing` matches their places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from core.figures.common import as_number
from core.figures.figure import Cell, Figure, Grid, Lines, Place, Scatter
from core.figures.rounding import denoised
from core.figures.significance import judge
from core.sizes import counted

NAMES = ("A", "B")
DIFFERENCE = f"{NAMES[1]} − {NAMES[0]}"
ONCE = "the same measurement"
"""The words for a difference between one measurement and itself."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The second figure minus the first at every place of both; `notes` name the places of one."""

    figure: Lines | Grid | Scatter
    notes: tuple[str, ...] = ()


def minus(second: Cell, first: Cell, *, same: bool = False) -> Cell:
    """The shown value of one cell minus the other's; undefined if either is.

    The interval combines both in quadrature: each end of the difference lies as far from it as
    √(a² + b²), a and b the distances of the two estimates from their own ends on that side
    (Newcombe 1998, method 10; Zou and Donner 2008). It holds for independent estimates; two runs
    over the same texts or models are nearly independent at best. Only raw values have an interval.

    Where both have a spread by chance, or intervals, the expected difference is 0, with the spread
    √(sd² + sd²), or none.

    One measurement (`same`) differs from itself by exactly 0, without an interval and a spread.
    """
    if first.shown is None or second.shown is None:
        return Cell(None, None)
    if same:
        return Cell(0.0, 0.0, same=True)
    apart = denoised(second.shown - first.shown, max(abs(first.shown), abs(second.shown)))
    low, high = _interval(first, second, apart)
    spread = None
    by_chance = first.shown == first.chance and second.shown == second.chance
    if first.chance_sd is not None and second.chance_sd is not None and not by_chance:
        spread = math.hypot(first.chance_sd, second.chance_sd)
    chance = None if spread is None and low is None else 0.0
    nominal, better = first.nominal or second.nominal, second.better
    return Cell(apart, apart, chance, spread, low=low, high=high, nominal=nominal, better=better)


def largest(difference: Difference, first: Figure, second: Figure) -> str:
    """The largest difference, and whether it is beyond its spread, in one plain sentence."""
    apart = {place: c for place, c in difference.figure.places().items() if c.shown is not None}
    if not apart:
        return "No place has a value in both runs."
    once = sum(cell.same for cell in apart.values())
    if once == len(apart):
        return f"All {once} places are the same measurements." if once > 1 else f"It is {ONCE}."
    also = f" At {once} of the {counted(len(apart), 'place')} it is {ONCE}." if once else ""
    widest = max(apart, key=lambda place: abs(apart[place].shown or 0.0))
    most = apart[widest].shown or 0.0
    if most == 0:
        return (
            f"The two runs do not differ at the {counted(len(apart), 'place')} that they "
            f"share.{also}"
        )
    cell, other = first.places().get(widest), second.places().get(widest)
    values = ""
    if (
        cell is not None
        and other is not None
        and cell.shown is not None
        and other.shown is not None
    ):
        values = f" ({cell.shown:.4g} in {NAMES[0]}, {other.shown:.4g} in {NAMES[1]})"
    where = ", ".join(_said(difference.figure, widest))
    return f"Largest difference: {most:+.3g} at {where}{values}; {beyond(apart[widest])}.{also}"


def beyond(cell: Cell) -> str:
    """Whether a difference exceeds its spread or its interval, in words."""
    if cell.shown is None:
        return "it is undefined"
    if cell.same:
        return ONCE
    verdict = judge(cell)
    return "its spread is not known" if verdict is None else verdict.words


def _interval(first: Cell, second: Cell, apart: float) -> tuple[float | None, float | None]:
    """The ends of the interval of a difference, where both show raw values with intervals."""
    a, b = first, second
    if a.shown != a.value or b.shown != b.value or a.value is None or b.value is None:
        return None, None
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None, None
    low = apart - math.hypot(b.value - b.low, a.high - a.value)
    return low, apart + math.hypot(b.high - b.value, a.value - a.low)


def _said(figure: Figure, place: Place) -> Iterable[str]:
    """A place in words: a number after the name of its coordinate."""
    for name, value in zip(figure.place_names, place, strict=False):
        yield f"{name} {value}" if as_number(value) is not None or value == "all" else value
