"""Matrices, heat maps and groups of bars, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from core.engine.measurement import Better
from core.figures.figure import BASE, Cell, ColumnMeasure, Grid
from core.figures.plots.plot import (
    CONTROL_WORDS,
    OF_BASE,
    Entry,
    Name,
    Plot,
    Row,
    Rows,
    beginning,
    in_words,
    value_entries,
)
from core.figures.plots.ranges import Axis, Scale
from core.figures.plots.values import MARK, NULL_MARK, OWN, OWN_BEST, SIDES, UNDEFINED, Value

ARROWS: Mapping[Better, str] = {"higher": "↑", "lower": "↓"}
"""Stand before the metric of a column that has one of its own."""
MODELS = ("model", "reference")
"""The coordinates whose values are models."""


@dataclass(frozen=True, kw_only=True)
class GridPlot(Plot):
    """Rows × columns of values; None where nothing was measured, which `missing` explains. `scale`
    says what colours stand for. `row_of` and `column_of` are the coordinates of rows and columns,
    if they are any."""

    row_name: str
    column_name: str
    row_of: str
    column_of: str
    model: str
    rows: tuple[Name, ...]
    columns: tuple[Name, ...]
    cells: tuple[tuple[Value | None, ...], ...]
    scale: Scale
    missing: str
    note: str = ""

    @property
    def is_drawable(self) -> bool:
        return any(True for _ in self.values())

    def values(self) -> Iterator[Value]:
        return (value for row in self.cells for value in row if value is not None)

    def legend(self) -> list[Entry]:
        notes = [Entry("note", self.note)] if self.note else []
        return [*self._entries, *self._missing, *self._control, *notes]

    @property
    def axis_names(self) -> tuple[str, ...]:
        """The names of both axes, with arrows; none where they are the same."""
        if self.row_name == self.column_name:
            return ()
        return f"{self.row_name} ↓", f"{self.column_name} →"

    @property
    def corner(self) -> str:
        """The text above the names of the rows: the name of that axis, and of both axes where
        the columns are bare numbers."""
        if self.columns and all(_is_number(column.name) for column in self.columns):
            return " ".join(self.axis_names) or self.row_name
        return self.row_name

    @property
    def prefix(self) -> str:
        """The common beginning of the columns' names, which each name leaves out."""
        first = next((c for c in self.columns if c.short and c.name.endswith(c.short)), None)
        return "" if first is None else first.name.removesuffix(first.short)

    def place(self, i: int, j: int) -> tuple[tuple[str, str], ...]:
        """The place of a value: the names of both coordinates with their values, and the measure of
        a column that has one of its own."""
        across = "against" if self.row_name == self.column_name else self.column_name
        column = self.columns[j]
        measure = [("metric", column.words)] if column.words else []
        named = ((self.row_name, self.rows[i].name), (across, column.name))
        return *(each for each in named if each[1]), *measure

    def where(self, i: int, j: int) -> list[str]:
        """The place of a value in words."""
        row, column = self.rows[i].name, self.columns[j].name
        if self.row_of == "model" and self.column_of == "reference":
            return [f"{row} and {column}"]
        if self.row_of != "model":
            row = f"{self.row_name} {row}"
        return [each for each in (self.model, row, column) if each]

    def remarks(self, *, dense: bool) -> list[str]:
        """The meaning of the signs among its cells; `dense`: no cell has a number."""
        signs = {
            "null": "grey:" if dense else f"dim {NULL_MARK}",
            "better": SIDES["better"],
            "worse": SIDES["worse"],
            "undefined": UNDEFINED,
            "missing": "blank:",
            "star": MARK,
            "own": OWN,
            "own_best": OWN_BEST,
        }
        shown = (*signs, "note", "control")
        entries = [entry for entry in self.legend() if entry.symbol in shown]
        return [f"{signs.get(entry.symbol, '')} {entry.text}".strip() for entry in entries]

    def columns_from(self, first: int, count: int) -> GridPlot:
        """The plot with some of its columns, and the scale and numbers of the whole."""
        last = first + count
        cells = tuple(row[first:last] for row in self.cells)
        return replace(self, columns=self.columns[first:last], cells=cells)

    def table(self) -> Rows:
        if any(value.cell.spread for value in self.values()):
            return _spread_out(self)
        head = (f"{self.row_name} \\ {self.column_name}", *(c.name for c in self.columns))
        named = zip(self.rows, self.cells, strict=True)
        return Rows(head, tuple(Row((row.name,), cells) for row, cells in named))

    @cached_property
    def _entries(self) -> list[Entry]:
        entries = value_entries(self.values(), self.star_name)
        if self.signed and {value.cell.shown for value in self.values()} - {None} == {0.0}:
            entries.insert(0, Entry("note", "every value is 0"))
        if better := in_words(self.better):
            entries.insert(0, Entry("note", better))
        arrows = {better: arrow for better, arrow in ARROWS.items() if self._points(arrow)}
        entries += [Entry("note", f"{arrow} {in_words(way)}") for way, arrow in arrows.items()]
        return entries

    @property
    def stacked(self) -> bool:
        """Does any value have a difference below it?"""
        return any(value.below is not None for value in self.values())

    def _points(self, arrow: str) -> bool:
        return any(column.words.startswith(arrow) for column in self.columns)

    @property
    def _missing(self) -> list[Entry]:
        """Why cells are None; a model is not held against itself."""
        across = self.row_name != self.column_name
        gaps = any(
            cell is None and (across or self.rows[i].name != self.columns[j].name)
            for i, row in enumerate(self.cells)
            for j, cell in enumerate(row)
        )
        return [Entry("missing", self.missing)] if gaps else []

    @property
    def _control(self) -> list[Entry]:
        has_controls = any(name.control for name in (*self.rows, *self.columns))
        return [Entry("control", CONTROL_WORDS)] if has_controls else []


@dataclass(frozen=True, kw_only=True)
class BarsPlot(GridPlot):
    """A bar a column, in a group a row. A bar stands beside its name, in its model's colour."""

    x_axis: Axis
    """Covers values, intervals and chance levels."""
    x_axis_whole: Axis
    """Covers the ranges of chance levels too."""

    @cached_property
    def spots(self) -> tuple[tuple[int, int], ...]:
        """The row and the column of every bar; a missing value has none."""
        return tuple(
            (i, j) for i, row in enumerate(self.cells) for j, v in enumerate(row) if v is not None
        )

    def groups(self, gap: float) -> Iterator[list[tuple[int, int, float]]]:
        """The row, the column and the top of every bar, by row. Tops are counted in bars, with a
        `gap` between groups and half of it before the first."""
        for group_index, (_, group) in enumerate(
            groupby(enumerate(self.spots), lambda each: each[1][0])
        ):
            yield [(i, j, number + gap * (group_index + 0.5)) for number, (i, j) in group]

    def index(self, i: int, j: int) -> int:
        """The place that decides a bar's colour: of its model, or of its column without one."""
        indices = (self.rows[i].index, self.columns[j].index)
        return next((index for index in indices if index is not None), j)

    def faint(self, i: int, j: int) -> bool:
        """Is it the bar of a control?"""
        return self.rows[i].control or self.columns[j].control


@dataclass(frozen=True, kw_only=True)
class BoxesPlot(BarsPlot):
    """A box a column, in a group a row: the spread of several values at one place, and its own
    value among them."""

    def legend(self) -> list[Entry]:
        spreads = [spread for value in self.values() if (spread := value.cell.spread)]
        entries = []
        if spreads:
            entries = [Entry("box", f"half of the {spreads[0].of}"), Entry("median", "median"),
                       Entry("value", spreads[0].own)]  # fmt: skip
        if any(spread.least is not None for spread in spreads):
            entries.insert(0, Entry("whiskers", "least to most"))
        undrawn = ("interval", "chance", "band")
        return [*entries, *(e for e in BarsPlot.legend(self) if e.symbol not in undrawn)]


def _spread_out(plot: GridPlot) -> Rows:
    """A row for each box: its own value, then the numbers of its spread."""
    rows, head = [], dict[str, None]()
    for row, cells in zip(plot.rows, plot.cells, strict=True):
        for column, value in zip(plot.columns, cells, strict=True):
            spread = None if value is None else value.cell.spread
            if value is not None and spread is not None:
                known = spread.numbers()
                head |= dict.fromkeys((spread.own, *known))
                values = [replace(value, cell=Cell(n, n), tone=None) for n in known.values()]
                rows.append(Row((row.name, column.name), (value, *values)))
    return Rows((plot.row_name, plot.column_name, *head), tuple(rows))


def _is_number(name: str) -> bool:
    return name.lstrip("-").replace(".", "", 1).isdecimal()


def places(names: Iterable[str]) -> dict[str, int]:
    """The place of each name, which decides its sign and colour. The base has one of its own: a
    tuned model looks the same beside the base and without it, and never like the base."""
    tuned = (name for name in dict.fromkeys(names) if name != BASE)
    return {**{name: index for index, name in enumerate(tuned)}, BASE: OF_BASE}


def rows_of(grid: Grid) -> tuple[Name, ...]:
    """The names of the rows. Modules and layers are no controls, whatever their names."""
    if (grid.row_of or grid.row_name) not in MODELS:
        return tuple(map(Name, grid.rows))
    index_of = places((*grid.order, *grid.rows))
    return tuple(Name(name, name in grid.controls, index=index_of[name]) for name in grid.rows)


def columns_of(grid: Grid) -> tuple[Name, ...]:
    """The names of the columns. Tasks go without the common beginning of their names."""
    models = (grid.column_of or grid.column_name) in MODELS
    index_of = places((*grid.order, *grid.columns)) if models else {}
    tasks = [name for name in grid.columns if name not in grid.each or not grid.each[name].signed]
    shared = len(beginning(tasks)) if grid.column_of == "task" else 0

    def named(name: str) -> Name:
        short = name[shared:] if shared and name in tasks else ""
        words = _words(grid.each.get(name))
        return Name(name, models and name in grid.controls, short, words, index_of.get(name))

    return tuple(map(named, grid.columns))


def _words(measure: ColumnMeasure | None) -> str:
    """A column's measure, after the arrow of its better direction."""
    if measure is None:
        return ""
    return " ".join(filter(None, (ARROWS.get(measure.better, ""), measure.words)))
