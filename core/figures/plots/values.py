"""One measured value as every painter shows it: text, sign, interval, chance level, facts.

Owns which of a cell's numbers belong to the reading that a figure shows. Knows no layout.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from core.figures import significance
from core.figures.figure import Cell
from core.figures.plots.numbers import Write, exact
from core.figures.rounding import p_words
from core.figures.significance import SPREADS, sd_words, z_score

UNDEFINED = "·"
NULL_MARK = "~"
"""Follows a number that does not differ from chance."""
MARK = "★"
"""Sets a value apart; the figure says what for."""

Side = Literal["better", "worse", ""]
OWN, OWN_BEST = "◆", "❖"
"""The signs of the own model of a task's domain, and of one that is set apart too."""
SIDES: Mapping[Side, str] = {"better": "✓", "worse": "✗", "": ""}
"""The signs of values that are better, or worse, than zero says."""


@dataclass(frozen=True, slots=True)
class Level:
    """The chance level of a value, and the range of SPREADS standard deviations around it."""

    level: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Value:
    """A measured value; `write` gives numbers the form that its figure's numbers share. `signed`:
    its side of zero counts. `tone` is the position of its colour on the ramp of its figure; None
    for a value without colour: undefined, or no different from chance."""

    cell: Cell
    write: Write
    signed: bool = False
    tone: float | None = None
    below: Value | None = None
    """Its difference from another value, which decides on verdict, side and tone."""

    @property
    def number(self) -> float | None:
        """The number that is drawn; None where it is undefined or not finite."""
        shown = self.cell.shown
        return shown if shown is not None and math.isfinite(shown) else None

    @property
    def text(self) -> str:
        """The number in the form of the figure."""
        return UNDEFINED if self.cell.shown is None else self.write(self.cell.shown)

    @property
    def is_null(self) -> bool:
        """Does it not differ from chance?"""
        return significance.is_null(self.cell)

    @property
    def side(self) -> Side:
        """Is it better or worse than zero? Neither where it does not differ from chance."""
        if self.below is not None:
            return self.below.side
        number, better = self.number, self.cell.better
        if not self.signed or better == "neither" or not number or self.is_null:
            return ""
        return "better" if (number > 0) == (better == "higher") else "worse"

    @property
    def signs(self) -> str:
        """The signs after its number: of no difference from chance, of better or worse, and of
        being set apart."""
        return NULL_MARK * self.is_null + SIDES[self.side] + self.marks_of_place

    @property
    def marks_of_place(self) -> str:
        """The sign of being set apart, and of a domain's own model."""
        if self.cell.own:
            return OWN_BEST if self.marked else OWN
        return MARK * self.marked

    @property
    def marked(self) -> bool:
        """Is it set apart?"""
        return self.cell.mark

    @property
    def interval(self) -> tuple[float, float] | None:
        """The ends of its 95 % interval, where they belong to the value shown."""
        low, high = self.cell.low, self.cell.high
        if low is None or high is None or not shows_raw(self.cell):
            return None
        return low, high

    @property
    def chance(self) -> Level | None:
        """Its chance level, where that belongs to the value shown."""
        level = self.cell.chance
        if level is None or not shows_raw(self.cell):
            return None
        spread = SPREADS * (self.cell.chance_sd or 0.0)
        return Level(level, level - spread, level + spread)

    def marks(self) -> Iterator[float]:
        """The value, the ends of its interval and its chance level, as far as they are known."""
        if self.number is None:
            return
        yield self.number
        yield from self.interval or ()
        if (level := self.chance) is not None:
            yield level.level

    def drawn(self) -> Iterator[float]:
        """Its marks and the range of its chance level."""
        yield from self.marks()
        if self.number is not None and (level := self.chance) is not None:
            yield from (level.low, level.high)

    def hover(self, places: Iterable[str]) -> str:
        """All that is known of it in a line: place, value, raw value, yardsticks."""
        cell = self.cell
        raw = [f"raw {exact(cell.value)}"] if cell.value not in (None, cell.shown) else []
        side = f" ({self.side})" if self.side else ""
        number = f"{', '.join(places)}: {exact(cell.shown)}{side}"
        return "; ".join([number, *raw, *yardsticks(cell)])


def shows_raw(cell: Cell) -> bool:
    """Does the cell show the value that its chance level and its interval belong to?"""
    return cell.shown is not None and cell.shown == cell.value


def common_level(values: Iterable[Value]) -> Level | None:
    """The chance level of values that all have the same one, with the widest of its ranges."""
    known = [level for value in values if (level := value.chance) is not None]
    if not known:
        return None
    first = known[0].level
    if max(abs(each.level - first) for each in known) > 1e-9 * max(1.0, abs(first)):
        return None
    return Level(first, min(each.low for each in known), max(each.high for each in known))


def of_difference(cell: Cell) -> Iterator[str]:
    """A difference to write beside its value."""
    if cell.value is None:
        yield "Δ undefined"
        return
    side = Value(cell, str, signed=True).side
    yield f"Δ {cell.value:+.4g}{f' ({side})' if side else ''}"
    if cell.low is not None and cell.high is not None:
        yield f"Δ 95 % {cell.low:+.4g} to {cell.high:+.4g}"


def yardsticks(cell: Cell | None) -> list[str]:
    """The facts to read a value by, to four digits: chance, test, excess, interval, count."""
    if cell is None:
        return []
    facts = [] if cell.difference is None else list(of_difference(cell.difference))
    if cell.base is not None and cell.shown is not None:
        facts.append(f"base {cell.base:.4g}, difference {cell.shown:+.4g}")
    if cell.chance is not None:
        facts.append(f"chance {cell.chance:.4g}{sd_words(cell.chance_sd, nominal=cell.nominal)}")
    score, null = z_score(cell), significance.null_words([cell])
    verdict = f" ({null})" if null else ""
    if cell.q is not None:
        facts.append(f"q {p_words(cell.q)}{verdict}")
    elif score is not None:
        facts.append(f"z {_grouped(score, '+,.1f' if abs(score) < 100 else '+,.0f')}{verdict}")
    elif cell.control is not None:
        of = " from chance" if cell.chance else ""
        facts.append(f"control {cell.control:.4g}{of}{verdict}")
    elif null:
        facts.append(null)
    if cell.excess is not None:
        facts.append(f"excess {cell.excess:+.4g}")
    if cell.spread is not None:
        facts.append(cell.spread.words)
    if cell.low is not None and cell.high is not None:
        facts.append(f"95 % {format(cell.low, '.4g')} to {format(cell.high, '.4g')}")
    if cell.n is not None:
        facts.append(f"n {_grouped(cell.n, ',')}")
    return facts


def _grouped(number: float, form: str) -> str:
    """Thousands set apart by a thin space."""
    return format(number, form).replace(",", "\u202f")
