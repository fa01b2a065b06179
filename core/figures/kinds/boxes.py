"""Views of several values at one place: documents, random controls, members of a group.

Their figure is a grid whose cells have a `Spread` beside their own value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from core.engine.measurement import COORDINATES, Coordinates, Measurement, MetricSpec
from core.figures import groups
from core.figures.figure import Grid
from core.figures.kinds.grids import Heatmap, Placing, Plane
from core.figures.layout import name_of
from core.figures.spread import Spread
from core.figures.views import Catalogue, Choice, Coordinate, Kind

QUARTILES = ("lower_quartile", "median", "upper_quartile")

Place = tuple[str, str]
"""A row and a column of a figure, by their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentBoxes(Heatmap):
    """A box for each model and probe set: the stored quartiles of the documents about the mean."""

    kind: ClassVar[Kind] = "boxes"
    beside: ClassVar[tuple[str, ...]] = QUARTILES
    rows: Coordinate = "model"
    columns: Coordinate = "probe"
    free: tuple[Coordinate, ...] = ("probe", "metric_of")

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Grid:
        by_place: dict[Place, dict[str, float]] = {}
        for row in rows:
            if row.metric_of == choice.measure and (value := _known(row)) is not None:
                by_place.setdefault(_named(self.place_of(row)), {})[row.metric] = value
        spreads = {
            place: Spread("documents", "mean", *(values[name] for name in QUARTILES))
            for place, values in by_place.items()
            if values.keys() >= set(QUARTILES)
        }
        return _with(Heatmap.lay_out(self, choice, rows, catalogue, spec), choice, spreads)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlBoxes(Plane):
    """A box for each place: the values of its random controls, and its own value. `control_of` is
    the setting that a setting is a control of; "" where it is none."""

    kind: ClassVar[Kind] = "boxes"
    control_of: Callable[[str], str]

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Grid:
        placing, by_place = self.place(catalogue), dict[Place, list[float]]()
        for row in rows:
            setting = self.control_of(row.setting) if row.metric == choice.measure else ""
            place = placing(replace(row, setting=setting)) if setting else None
            if place is not None and (value := _known(row)) is not None:
                by_place.setdefault(_named(place), []).append(value)
        spreads = {
            spot: _spread(values, "random controls", "chosen neurons")
            for spot, values in by_place.items()
        }
        return _with(Plane.lay_out(self, choice, rows, catalogue, spec), choice, spreads)


@dataclass(frozen=True, slots=True)
class Members:
    """The group, and where else something was measured, in words."""

    groups: groups.Groups
    names: tuple[str, str] = ("group", "where")
    of: tuple[str, str] = ("model", "")

    def __call__(self, row: Coordinates) -> tuple[str, str] | None:
        apart = (c for c in COORDINATES if c not in ("model", "reference", "layer", "module"))
        where = " · ".join(name_of(v) for c in apart if (v := getattr(row, c)) not in ("", None))
        return (row.model, where) if row.model in self.groups else None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberBoxes(Plane):
    """A box for each group of models, of its members' values; its own value is their mean."""

    kind: ClassVar[Kind] = "boxes"
    loose: ClassVar[bool] = True
    grouped: ClassVar[bool] = True
    points: Coordinate = "model"
    place: Callable[[Catalogue], Placing] = lambda catalogue: Members(catalogue.groups)

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Grid:
        placing, spreads, means = self.place(catalogue), dict[Place, Spread](), []
        for each in groups.spreads(rows, catalogue.groups):
            means.append(each.mean)
            place = placing(each.mean)
            assert place is not None, "a spread is of a group"
            spreads[_named(place)] = _spread(each.values, "members", "mean")
        return _with(Plane.lay_out(self, choice, means, catalogue, spec), choice, spreads)


def _known(row: Measurement) -> float | None:
    return row.value if row.value is not None and abs(row.value) < groups.LARGEST else None


def _spread(values: Iterable[float], of: str, centre: str) -> Spread:
    from core.statistics.intervals import quartiles

    known = list(values)
    return Spread(of, centre, *quartiles(known), least=min(known), most=max(known))


def _with(grid: Grid, choice: Choice, spreads: Mapping[Place, Spread]) -> Grid:
    """The grid with the spread at each place; unchanged if it does not show raw values."""
    if choice.reading != "raw":
        return grid
    return replace(
        grid,
        cells=tuple(
            tuple(
                cell and replace(cell, spread=spreads.get((row, column)))
                for column, cell in zip(grid.columns, cells, strict=True)
            )
            for row, cells in zip(grid.rows, grid.cells, strict=True)
        ),
    )


def _named(place: Iterable[object]) -> Place:
    row, column = map(name_of, place)
    return row, column
