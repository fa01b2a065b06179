"""Views of one value against another, and how their figure is laid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core.engine.measurement import Coordinates, Measurement, MetricSpec
from core.figures.figure import Point, Scatter
from core.figures.layout import cells, common, in_order, name_of
from core.figures.views import Catalogue, Choice, Coordinate, Kind, Selector, Value, View


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterPlot(View):
    """A point each value of `points`: the measure at one value of `across` against that at
    another, both steppable. `group` tells kinds of points apart by their names; each model is a
    kind of its own."""

    kind: ClassVar[Kind] = "scatter"
    points: Coordinate = "setting"
    across: Coordinate = "task"
    group: Callable[[str], str] | None = None
    x_guides: tuple[float, ...] = ()
    y_guides: tuple[float, ...] = ()

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return self.points, self.across

    @property
    def steppers(self) -> tuple[Selector, ...]:
        across = (self.across,) if self.across not in self.selectors else ()
        return (*self.selectors, *across, "against")

    def coordinate(self, selector: Selector) -> Coordinate:
        return self.across if selector == "against" else selector

    def chosen(
        self, choice: Choice, coordinate: Coordinate, catalogue: Catalogue
    ) -> tuple[Value, ...]:
        values = (getattr(choice, coordinate),)
        return (*values, choice.against) if coordinate == self.across else values

    def place_of(self, coordinates: Coordinates) -> tuple[Any, ...]:
        return getattr(coordinates, self.points), getattr(coordinates, self.across)

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Scatter:
        cell_of = cells(self, choice, spec, catalogue, rows, self.place_of)
        x, y = getattr(choice, self.across), choice.against
        names = in_order(self.points, (name for name, _ in cell_of), catalogue)
        models = self.points == "model"
        group = self.group or (lambda name: name if models else "")
        return Scatter(
            across=self.word(self.across),
            x_name=name_of(x),
            y_name=name_of(y),
            point_name=self.word(self.points),
            points=tuple(
                Point(name_of(name), group(name_of(name)), cell_of[name, x], cell_of[name, y])
                for name in names
                if (name, x) in cell_of and (name, y) in cell_of
            ),
            x_guides=self.x_guides,
            y_guides=self.y_guides,
            order=catalogue.models if models else (),
            controls=catalogue.controls if models else frozenset(),
            mark_name=self.mark_name,
            **common(self, choice, spec),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoMeasures(ScatterPlot):
    """Points of one measure against another, that `tabulate` makes."""

    together: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurePairs(TwoMeasures):
    """Points of one measure against another, each measured once for a point."""

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return (self.points,)

    @property
    def steppers(self) -> tuple[Selector, ...]:
        return self.selectors
