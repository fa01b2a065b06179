"""Views with a value for each row and column, and how their figure is laid out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Protocol

from core.engine.measurement import Coordinates, Measurement, MetricSpec
from core.figures.figure import Cell, Grid
from core.figures.layout import cells, common, in_order, name_of
from core.figures.views import Catalogue, Choice, Coordinate, Kind, View, natural

Places = Collection[tuple[Any, Any]]
"""The row and the column of everything that was measured."""


class Axis(NamedTuple):
    """The values of one axis in order, its name for people, and its coordinate if it is one."""

    name: str
    of: Coordinate
    values: Sequence[Any]


class Placing(Protocol):
    """Rows and columns that are no coordinates but are read out of measurements."""

    @property
    def names(self) -> tuple[str, str]:
        """The names of the rows and of the columns, in words."""

    @property
    def of(self) -> tuple[Coordinate, Coordinate]:
        """The coordinates of rows and columns; "" where their values are derived from a name."""

    def __call__(self, row: Coordinates, /) -> tuple[Any, Any] | None:
        """The row and the column of a measurement; None where it has no place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gridded(View):
    """The common part of all grids."""

    def axes(self, places: Places, catalogue: Catalogue) -> tuple[Axis, Axis]:
        """The axes of rows and columns."""
        raise NotImplementedError

    def behind(
        self, rows: Sequence[Measurement], catalogue: Catalogue
    ) -> dict[tuple[str, str], dict[str, Any]]:
        """The coordinates of each cell by its names, where the names are no coordinates."""
        return {}

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Grid:
        cell_of = cells(self, choice, spec, catalogue, rows, self.placing(catalogue))
        down, across = self.axes(cell_of.keys(), catalogue)
        return Grid(
            row_name=down.name,
            column_name=across.name,
            row_of=down.of,
            column_of=across.of,
            rows=tuple(map(name_of, down.values)),
            columns=tuple(map(name_of, across.values)),
            cells=tuple(tuple(cell_of.get((r, c)) for c in across.values) for r in down.values),
            order=catalogue.models,
            controls=catalogue.controls,
            mark_name=self.mark_name,
            missing=self.missing,
            behind=self.behind(rows, catalogue),
            **common(self, choice, spec),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Heatmap(_Gridded):
    """`rows` × `columns`."""

    kind: ClassVar[Kind] = "heatmap"
    rows: Coordinate = "layer"
    columns: Coordinate = "module"

    @property
    def panelled(self) -> Coordinate:
        return self.columns

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return self.rows, self.columns

    def place_of(self, coordinates: Coordinates) -> tuple[Any, ...]:
        return getattr(coordinates, self.rows), getattr(coordinates, self.columns)

    def axes(self, places: Places, catalogue: Catalogue) -> tuple[Axis, Axis]:
        down = in_order(self.rows, (row for row, _ in places), catalogue)
        across: Sequence[Any] = self.panels_in(catalogue)
        if not self.panels:
            across = in_order(self.columns, (column for _, column in places), catalogue)
        return (
            Axis(self.word(self.rows), self.rows, down),
            Axis(self.word(self.columns), self.columns, across),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix(Heatmap):
    """Models × models: `rows` and `columns` say by which coordinates."""

    kind: ClassVar[Kind] = "matrix"
    rows: Coordinate = "model"
    columns: Coordinate = "reference"

    def axes(self, places: Places, catalogue: Catalogue) -> tuple[Axis, Axis]:
        models = catalogue.values("model")
        name = self.word(self.rows)
        return (
            Axis(name, self.rows, models),
            Axis(self.names.get(self.columns, name), self.columns, models),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars(Heatmap):
    """A bar for each value of `columns` (or of `panels`), in a group for each value of `rows`."""

    kind: ClassVar[Kind] = "bars"
    rows: Coordinate = "model"
    columns: Coordinate = "module"

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Grid:
        """Groups without any value come last: they would fill a small screen with nothing."""
        made = Heatmap.lay_out(self, choice, rows, catalogue, spec)
        groups = sorted(zip(made.rows, made.cells, strict=True), key=lambda g: not _has_any(g[1]))
        names, drawn = zip(*groups, strict=True) if groups else ((), ())
        return replace(made, rows=tuple(names), cells=tuple(drawn))


def _has_any(row: Sequence[Cell | None]) -> bool:
    return any(cell is not None and cell.shown is not None for cell in row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board(Heatmap):
    """A heat map of several measures, in one of `orders`, that `tabulate` makes."""

    together: ClassVar[bool] = True
    rows: Coordinate = "model"
    columns: Coordinate = "task"

    @property
    def axes_of(self) -> tuple[Coordinate, ...]:
        return self.laid_out


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane(_Gridded):
    """A heat map where `place`, made of the catalogue, says where a measurement lies. It takes all
    values of `points`."""

    kind: ClassVar[Kind] = "heatmap"
    placed: ClassVar[bool] = True
    place: Callable[[Catalogue], Placing]
    points: Coordinate = "setting"

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return (self.points,)

    def placing(self, catalogue: Catalogue) -> Placing:
        return self.place(catalogue)

    def behind(
        self, rows: Sequence[Measurement], catalogue: Catalogue
    ) -> dict[tuple[str, str], dict[str, Any]]:
        place, known = self.place(catalogue), (self.points, *self.free)
        placed = ((place(row), {c: getattr(row, c) for c in known}) for row in rows)
        return {
            (name_of(spot[0]), name_of(spot[1])): coordinates
            for spot, coordinates in placed
            if spot is not None
        }

    def axes(self, places: Places, catalogue: Catalogue) -> tuple[Axis, Axis]:
        placing = self.place(catalogue)

        def axis(number: int) -> Axis:
            present, of = {place[number] for place in places}, placing.of[number]
            values = in_order(of, present, catalogue) if of else _by_value(present)
            return Axis(placing.names[number], of, values)

        return axis(0), axis(1)


def _by_value(values: Collection[Any]) -> list[Any]:
    """The values of an axis: numbers by size, before texts by the numbers in them."""
    numbers = sorted(v for v in values if not isinstance(v, str))
    return [*numbers, *sorted((v for v in values if isinstance(v, str)), key=natural)]
