"""The parts that plots of every kind share: names, legends, and rows of values.

Knows no kind of plot.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Literal

from core.engine.measurement import Better
from core.figures.figure import Cell
from core.figures.plots.numbers import Write
from core.figures.plots.values import MARK, OWN, OWN_BEST, Value
from core.figures.significance import SPREADS, null_words

EMPTY = "No values to show."
"""The text in place of a plot without values."""

_ENDS = "_-/:."
_SHORTEST = 4
"""The least characters of a common beginning that is stated once."""

OF_BASE = -1
"""The place of the base among models: it has the last sign, and the colour of text."""
CONTROL_WORDS = "(name) a control"
OWN_WORDS = "own domain"

Symbol = Literal[
    "series", "interval", "chance", "band", "control", "null", "better", "worse", "undefined",
    "missing", "star", "own", "own_best", "note", "box", "median", "whiskers", "value",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a legend. `index` is the place of a series among all, which decides its sign and
    colour; a `faint` series has the colour of controls. `after` follows the text, even a cut
    one. A painter leaves out the symbols that it does not draw.
    """

    symbol: Symbol
    text: str
    index: int = 0
    faint: bool = False
    control: bool = False
    after: str = ""


def beginning(texts: Sequence[str]) -> str:
    """The common beginning of several texts, up to a sign that separates words; "" if it is too
    short to be worth stating once, or if nothing of a text would be left."""
    if len(texts) < 2:
        return ""
    begin: str = commonprefix([min(texts), max(texts)])  # noqa: RUF071 - of words, not of paths
    begin = begin[: 1 + max(begin.rfind(end) for end in _ENDS)]
    return begin if len(begin) >= _SHORTEST and all(len(t) > len(begin) for t in texts) else ""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a row or column; `control`: of a model in the role of a control. `short` is the
    name without the beginning that its neighbours share, `words` the text below it. `index` is the
    model's place in the study, which decides its sign and colour."""

    name: str
    control: bool = False
    short: str = ""
    words: str = ""
    index: int | None = None

    @property
    def text(self) -> str:
        """The name as it is written: brackets need no colour."""
        name = self.short or self.name
        return f"({name})" if self.control else name


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a plot as a table: the names of its place, then a value (or none) a column.
    `part` is the panel that it belongs to."""

    names: tuple[str, ...]
    values: tuple[Value | None, ...]
    part: str = ""


@dataclass(frozen=True, slots=True)
class Rows:
    """A plot as a table. `head` names the columns, the columns of names first; `part_name` names
    the parts, where there are any."""

    head: tuple[str, ...]
    rows: tuple[Row, ...]
    part_name: str = ""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A figure with every decision made. `write` gives its numbers one form."""

    title: str
    measure: str
    unit: str
    signed: bool
    empty: str
    star_name: str = ""
    write: Write
    longest: int
    """The length of the longest number."""

    @property
    def better(self) -> Better:
        """The better direction of its values, if they share one."""
        return shared_direction(value.cell for value in self.values())

    @property
    def aside(self) -> str:
        """The unit and the better direction in words, to write in brackets."""
        return ", ".join(filter(None, (self.unit, in_words(self.better))))

    @property
    def heading(self) -> str:
        """The title with the unit and the better direction."""
        measure, dot, where = self.title.partition(" · ")
        unit = f" [{self.unit}]" if self.unit else ""
        better = in_words(self.better)
        suffix = f" ({better})" if better else ""
        return f"{measure}{unit}{suffix}{dot}{where}"  # a place may end in a unit: top-1%

    @property
    def room(self) -> int:
        """The length of the longest number with its signs."""
        return self.longest + max((len(value.signs) for value in self.values()), default=0)

    @property
    def measure_words(self) -> str:
        """The measure with its unit, as an axis is called."""
        return self.heading.partition(" · ")[0]

    @property
    def undefined(self) -> str:
        """The reason for undefined values, in words."""
        return f"undefined: {self.empty or 'no value'}"

    @property
    def is_drawable(self) -> bool:
        """Is there anything to draw?"""
        raise NotImplementedError

    def values(self) -> Iterable[Value]:
        """Every measured value."""
        raise NotImplementedError

    def legend(self) -> Sequence[Entry]:
        """The meaning of every sign in it."""
        raise NotImplementedError

    def table(self) -> Rows:
        """Its values as a table."""
        raise NotImplementedError


def shared_direction(cells: Iterable[Cell]) -> Better:
    """The better direction that all cells have."""
    directions = {cell.better for cell in cells}
    return directions.pop() if len(directions) == 1 else "neither"


def in_words(better: Better) -> str:
    """A better direction in words; nothing where there is none."""
    return "" if better == "neither" else f"{better} is better"


def value_entries(values: Iterable[Value], star_name: str = "") -> list[Entry]:
    """The legend of the signs beside values: intervals, chance, verdicts, stars."""
    listed = list(values)
    entries = []
    if any(value.interval for value in listed):
        entries.append(Entry("interval", "95 % interval"))
    levels = [level for value in listed if (level := value.chance) is not None]
    if levels:
        entries.append(Entry("chance", "chance"))
        if any(level.high > level.low for level in levels):
            entries.append(Entry("band", f"chance ± {SPREADS} sd"))
    null = null_words((value.cell for value in listed), in_full=True)
    if null:
        entries.append(Entry("null", null))
    sides = {value.side for value in listed}
    entries += [Entry(side, side) for side in ("better", "worse") if side in sides]
    if any(value.cell.shown is None for value in listed):
        entries.append(Entry("undefined", "undefined"))
    marks = {value.marks_of_place for value in listed}
    places: dict[str, Entry] = {
        MARK: Entry("star", star_name),
        OWN: Entry("own", OWN_WORDS),
        OWN_BEST: Entry("own_best", f"{OWN_WORDS}, {star_name}"),
    }
    return [*entries, *(entry for mark, entry in places.items() if mark in marks)]
