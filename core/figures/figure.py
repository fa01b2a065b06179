"""Figures as data, independent of how they are drawn.

A figure is `Lines`, a `Grid`, a `Scatter`, a `Table` or `Passages`. Screens and exporters draw
each, one way a kind. Knows no measurements and no user interface: `core.figures.layout` makes
figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.engine.measurement import Better
from core.figures.passages import Passages, TextFigure
from core.figures.rounding import p_words
from core.figures.spread import Spread

BASE = "base"
"""The name of the base among models."""

Text = str | int | float | None
"""What stands in a table: None is an empty field."""

Place = tuple[str, ...]
"""The names of a cell's place in a figure: series, x and the panel's title, if it has one; row and
column; point and axis."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured value as a figure shows it. `shown` is the value in the chosen reading.

    `q` is the p value against chance, corrected over all values tested together. `mark` highlights
    the cell; the figure's `mark_name` names the reason. A difference is `same` where both of its
    values are one measurement. `nominal`: the spread of chance is too narrow to test
    by; `control` is then the largest distance of the study's controls from chance at that place.
    `better` is the better direction of the shown value. `base` is the base's value there, where the
    difference from it is shown. `difference` is the difference of a score from another one; then
    verdicts and colours are of the difference. `own`: the model is the own one of the task's
    domain. `spread`: of further values of that place.
    """

    shown: float | None
    value: float | None
    chance: float | None = None
    chance_sd: float | None = None
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    q: float | None = None
    mark: bool = False
    same: bool = False
    nominal: bool = False
    control: float | None = None
    better: Better = "neither"
    base: float | None = None
    difference: Cell | None = None
    own: bool = False
    spread: Spread | None = None


@dataclass(frozen=True, slots=True)
class ColumnMeasure:
    """The measure of one column, in a grid whose columns have different measures."""

    words: str
    better: Better = "neither"
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its x values and cells, in order.

    `control`: a model in the role of a control, drawn as the null band. `companion`: a line
    to compare the models with, drawn faint like a control. `band`: a group of
    models, whose intervals are drawn as a band.
    """

    name: str
    xs: tuple[int, ...]
    cells: tuple[Cell, ...]
    control: bool = False
    companion: bool = False
    band: bool = False

    @property
    def faint(self) -> bool:
        """Is it drawn beneath the others and without a colour of its own?"""
        return self.control or self.companion


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a `Lines` figure. A lone panel may have no title."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A figure of curves: panels side by side with shared axes.

    `x_names` are the names of x = 0, 1, 2, ... where x counts names instead of layers. `chosen`
    is where the user's selectors stand, by coordinate. `order` has the names that series may have,
    by which each looks the same in every figure. `beside` is a figure to be held against this one:
    the axes of this one are made to hold its values too.
    """

    title: str
    measure: str
    unit: str
    x_label: str
    panels: tuple[Panel, ...]
    x_names: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    series_name: str = "model"
    panel_name: str = "module"
    signed: bool = False
    empty: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    beside: Lines | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not any(panel.series for panel in self.panels)

    @property
    def place_names(self) -> tuple[str, ...]:
        """The names of the coordinates of a place in it, in their order."""
        return self.series_name, self.x_label, self.panel_name

    def measured(self) -> Iterator[Cell]:
        """The cells that were measured."""
        return (c for panel in self.panels for series in panel.series for c in series.cells)

    def places(self) -> dict[Place, Cell]:
        """The measured cells by their place."""
        return {
            self.place(panel, series, x): cell
            for panel in self.panels
            for series in panel.series
            for x, cell in zip(series.xs, series.cells, strict=True)
        }

    def place(self, panel: Panel, series: Series, x: int) -> Place:
        """The place of a series' cell at x."""
        label = self.x_names[x] if self.x_names else str(x)
        return series.name, label, *filter(None, (panel.title,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A figure of rows and columns: a matrix, a heat map, or groups of bars.

    `cells[i][j]` is None where nothing was measured; its `shown` is None where the measure is
    undefined, which `empty` explains. `signed` asks for a diverging scale about 0. `row_name` names
    the rows in words; `row_of` is their coordinate where its name differs; columns likewise.
    `missing` says why a cell is None. `each` names the measure of each column, where columns show
    different measures; `note` is about the whole grid.
    `controls` are the models in the role of a control; `chosen` is where the user's selectors
    stand, by coordinate. `behind` has the coordinates of a cell by the names of its row and column,
    where these are no coordinates. `order`, `beside`: see `Lines`.
    """

    title: str
    measure: str
    unit: str
    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    row_of: str = ""
    column_of: str = ""
    signed: bool = False
    empty: str = ""
    order: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()
    mark_name: str = ""
    missing: str = "not measured"
    each: Mapping[str, ColumnMeasure] = field(default_factory=dict)
    note: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    behind: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    beside: Grid | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not any(True for _ in self.measured())

    @property
    def place_names(self) -> tuple[str, ...]:
        """The names of the coordinates of a place in it, in their order."""
        return self.row_name, self.column_name

    def measured(self) -> Iterator[Cell]:
        """The cells that were measured."""
        return (cell for row in self.cells for cell in row if cell is not None)

    def places(self) -> dict[Place, Cell]:
        """The measured cells by their place."""
        return {
            (row, column): cell
            for row, cells in zip(self.rows, self.cells, strict=True)
            for column, cell in zip(self.columns, cells, strict=True)
            if cell is not None
        }


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a `Scatter`: the same measure twice. A point with an undefined value is listed,
    never drawn."""

    name: str
    group: str
    x: Cell
    y: Cell

    @property
    def place(self) -> tuple[float, float] | None:
        """Where it lies, if both values are defined."""
        x, y = self.x.shown, self.y.shown
        if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
            return None
        return x, y

    @property
    def mark(self) -> bool:
        """Is it set apart?"""
        return self.x.mark or self.y.mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """A figure of points: a measure at `x_name` against the same measure at `y_name`.

    `across` is the coordinate that these two are values of, `point_name` says in words what a
    point is. `x_guides` and `y_guides` are values at which a line is drawn across the picture.
    `note` is what all points have in common; `x_unit` and `y_unit` are the units of axes that
    differ, or that the title does not say.
    `order`, `beside`: see `Lines`; where points are models their groups are, too, and `controls`
    are the models in the role of a control.
    """

    title: str
    measure: str
    unit: str
    across: str
    x_name: str
    y_name: str
    point_name: str
    points: tuple[Point, ...]
    x_guides: tuple[float, ...] = ()
    y_guides: tuple[float, ...] = ()
    order: tuple[str, ...] = ()
    controls: frozenset[str] = frozenset()
    signed: bool = False
    empty: str = ""
    mark_name: str = ""
    note: str = ""
    x_unit: str = ""
    y_unit: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    beside: Scatter | None = None

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not self.points

    @property
    def place_names(self) -> tuple[str, ...]:
        """The names of the coordinates of a place in it, in their order."""
        return self.point_name, self.across

    def measured(self) -> Iterator[Cell]:
        """The cells that were measured."""
        return (cell for point in self.points for cell in (point.x, point.y))

    def places(self) -> dict[Place, Cell]:
        """The measured cells by their place."""
        ends = ((p.name, axis, cell) for p in self.points
                for axis, cell in ((self.x_name, p.x), (self.y_name, p.y)))  # fmt: skip
        return {(name, axis): cell for name, axis, cell in ends}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """How one column of a table is read and written.

    `form` is the format of its numbers (".3f", ",d"), "p" of p values; `signed` writes the sign of
    positive ones too. `outside`: its text is somebody else's (a token, a prompt), so that spaces at
    its ends count and are made visible.
    """

    name: str
    align: Literal["left", "right"] = "left"
    form: str = ""
    signed: bool = False
    outside: bool = False

    def written(self, value: Text) -> str:
        """A value of this column as text, of any length and not yet escaped."""
        if value is None:
            return ""
        if isinstance(value, str):
            return _with_ends(value) if self.outside else value
        if self.form == "p":
            return p_words(value)
        if not value and self.form.endswith("g"):
            return "0"  # no other number looks like it
        return format(value, ("+" if self.signed else "") + self.form).removesuffix(".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(TextFigure):
    """A figure of rows of text and numbers. `keys` is how many of the first columns tell the rows
    apart and stay in sight; `results` names the columns that the table is about, the column
    that it is sorted by first. `note` is about the whole table; `chosen` has the values of the
    user's selectors, by coordinate. `records` are the facts behind the rows, one a row, as
    `core.figures.records` declares them: findings read these, never the text of a cell. `items`
    names what lies behind each row, one a row, where a text is chosen by such a name."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Text, ...], ...]
    keys: int = 1
    results: tuple[str, ...] = ()
    note: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    records: tuple[Any, ...] = ()
    items: tuple[str, ...] = ()

    @property
    def measure(self) -> str:
        """Empty: a table has several measures."""
        return ""

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not self.rows

    def matching(self, names: Mapping[str, str]) -> tuple[int, ...]:
        """The indices of the rows with these texts, by column name. Names of missing columns are
        ignored; no row matches if all are missing."""
        columns = [column.name for column in self.columns]
        wanted = [(columns.index(name), text) for name, text in names.items() if name in columns]
        return tuple(
            i
            for i, row in enumerate(self.rows)
            if wanted and all(str(row[j]) == text for j, text in wanted)
        )

    def narrowed(self, names: Mapping[str, str]) -> Table:
        """The matching rows, with a note of the texts that they share; all rows if none match."""
        places = self.matching(names)
        if not places:
            return self
        rows = tuple(self.rows[i] for i in places)
        records = tuple(self.records[i] for i in places) if self.records else ()
        items = tuple(self.items[i] for i in places) if self.items else ()
        columns = {column.name for column in self.columns}
        shared = ", ".join(f"{name} {text}" for name, text in names.items() if name in columns)
        note = f"Only {shared}. {self.note}".strip()
        return replace(self, rows=rows, records=records, items=items, note=note)


Figure = Lines | Grid | Scatter | Table | Passages


def _with_ends(text: str) -> str:
    """The text with the spaces at its ends as visible signs."""
    inner = text.strip(" ")
    if not inner:
        return "␣" * len(text)
    left = len(text) - len(text.lstrip(" "))
    return "␣" * left + inner + "␣" * (len(text) - left - len(inner))
