"""Whether a value differs from chance: the one verdict, and its words.

Every painter, readout, sentence and finding asks here. Owns the thresholds. Knows no figure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from core.figures.figure import Cell

LEVEL = 0.05
"""The corrected p value (q) below which a value is significant."""

SPREADS = 2
"""How many standard deviations from chance a value must lie to be beyond it."""

WITHIN, BEYOND = "within chance", "beyond chance"
WITHIN_CONTROL, BEYOND_CONTROL = "within the control", "beyond the control"
SIGNIFICANT, NOT_SIGNIFICANT = "significant", "not significant"
UNTESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a comparison with chance. `is_null`: it is within chance or not significant.
    `words` name the comparison, `threshold` the level."""

    is_null: bool
    words: str
    threshold: str = ""

    @property
    def in_full(self) -> str:
        """The words with their threshold."""
        return f"{self.words}{self.threshold}"


def judge(cell: Cell) -> Verdict | None:
    """The verdict on the shown value of a cell; None if it has no test, chance level or interval.

    A value that was tested among others is judged by its corrected p value; a value with a chance
    level and a spread by its distance in standard deviations, unless that spread is nominal: then
    by the values of the controls; a value with a chance level alone by whether its own interval
    includes that level; a score beside another by their difference. `chance`, its spread and the
    interval are those of the raw value, whichever reading is shown. Where chance itself is shown
    there is nothing to judge.
    """
    if cell.difference is not None:
        return judge(cell.difference)
    if cell.shown is None or cell.shown not in (cell.value, cell.excess):
        return None
    if cell.q is not None:
        return tested(cell.q)
    if cell.value is None or cell.chance is None:
        return None
    if cell.nominal:
        distance = cell.value - cell.chance
        return None if cell.control is None else beside_control(distance, cell.control)
    score = z_score(cell)
    if score is not None:
        null = abs(score) < SPREADS
        return Verdict(null, WITHIN if null else BEYOND)
    if not cell.chance_sd and cell.low is not None and cell.high is not None:
        return held(cell.low, cell.high, cell.chance)
    return None


def is_null(cell: Cell) -> bool:
    """Is the shown value compatible with chance? False without a verdict."""
    verdict = judge(cell)
    return verdict is not None and verdict.is_null


def tested(q: float) -> Verdict:
    """The verdict of a test whose corrected p value is q."""
    words = SIGNIFICANT if q < LEVEL else NOT_SIGNIFICANT
    return Verdict(q >= LEVEL, words, f" at q < {LEVEL}")


def beside_control(distance: float, control: float) -> Verdict:
    """The verdict of the controls' largest distance from chance."""
    null = abs(distance) <= control
    return Verdict(null, WITHIN_CONTROL if null else BEYOND_CONTROL)


def held(low: float, high: float, level: float = 0.0) -> Verdict:
    """The verdict of an interval on a level."""
    null = low <= level <= high
    return Verdict(null, f"interval {'includes' if null else 'excludes'} {level:g}")


def excludes(low: object, high: object, level: float = 0.0) -> bool:
    """Are these the ends of an interval that excludes the level?"""
    return isinstance(low, float) and isinstance(high, float) and not held(low, high, level).is_null


def z_score(cell: Cell) -> float | None:
    """The distance of the value from chance in standard deviations; None for a nominal spread."""
    if cell.nominal or cell.value is None or cell.chance is None or not cell.chance_sd:
        return None
    score = (cell.value - cell.chance) / cell.chance_sd
    return score if math.isfinite(score) else None


def sd_words(sd: float | None, *, nominal: bool = False) -> str:
    """A spread to write after its number, such as " (sd 0.57)"."""
    return "" if sd is None else f" ({'nominal ' * nominal}sd {sd:.2g})"


def null_words(cells: Iterable[Cell], *, in_full: bool = False) -> str:
    """The words of every null verdict among the cells; empty where there is none."""
    verdicts = [v for cell in cells if (v := judge(cell)) is not None and v.is_null]
    return ", ".join(dict.fromkeys(v.in_full if in_full else v.words for v in verdicts))
