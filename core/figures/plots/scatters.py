"""Points in a plane, resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from core.figures.plots.plot import Entry, Plot, Row, Rows, value_entries
from core.figures.plots.ranges import Axis, share
from core.figures.plots.values import Level, Value, common_level

NAMED = 12
"""The most points that all have their names beside them; of more, only those set apart have."""
OF_WIDTH, OF_HEIGHT = 0.018, 0.05
"""The share of a plot's width that a character beside a point takes, and of its height a line."""
LONGEST_NAME = 28

Ends = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """A point at two values. `index` is the place of its group among all, which decides sign and
    colour; a `control` has the colour of controls."""

    name: str
    group: str
    index: int
    x: Value
    y: Value
    control: bool = False

    @property
    def place(self) -> tuple[float, float] | None:
        """Its position, if both values are defined."""
        x, y = self.x.number, self.y.number
        return None if x is None or y is None else (x, y)

    @property
    def marked(self) -> bool:
        """Is it set apart?"""
        return self.x.marked or self.y.marked


@dataclass(frozen=True, kw_only=True)
class PointsPlot(Plot):
    """Points; those without a position are listed, never drawn. `x_axis` and `y_axis` cover values
    and guides, those named `whole` intervals and chance too. `note` is what all points have in
    common."""

    note: str
    across: str
    x_name: str
    y_name: str
    x_unit: str
    y_unit: str
    point_name: str
    every: tuple[PlotPoint, ...]
    x_guides: tuple[float, ...]
    y_guides: tuple[float, ...]
    x_axis: Axis
    y_axis: Axis
    x_axis_whole: Axis
    y_axis_whole: Axis

    @property
    def is_drawable(self) -> bool:
        return bool(self.points)

    @property
    def x_label(self) -> str:
        """The name of the horizontal axis with its unit."""
        return f"{self.x_name} [{self.x_unit}]" if self.x_unit else self.x_name

    @property
    def y_label(self) -> str:
        """The name of the vertical axis with its unit."""
        return f"{self.y_name} [{self.y_unit}]" if self.y_unit else self.y_name

    @cached_property
    def points(self) -> tuple[PlotPoint, ...]:
        """The points that have a position."""
        return tuple(point for point in self.every if point.place is not None)

    @property
    def upwards(self) -> list[PlotPoint]:
        """The points in the order in which they are drawn: marked ones lie on the others, and the
        base on all: a removal that leads back to the base would hide it."""
        return sorted(self.points, key=lambda point: (point.name == "base", point.marked))

    @property
    def x_chance(self) -> Level | None:
        """The chance level that every point has along x."""
        return common_level(point.x for point in self.points)

    @property
    def y_chance(self) -> Level | None:
        """The chance level that every point has along y."""
        return common_level(point.y for point in self.points)

    def values(self) -> Iterator[Value]:
        return (value for point in self.points for value in (point.x, point.y))

    def legend(self) -> list[Entry]:
        firsts = {point.group: point for point in reversed(self.every) if point.group}
        groups = [
            Entry("series", p.group, p.index, p.control, p.control, " (control)" * p.control)
            for p in self.every
            if firsts.get(p.group) is p
        ]
        left_out = {"null", "undefined", "band"}
        if self.x_chance is None and self.y_chance is None:
            left_out.add("chance")
        beside = value_entries(self.values(), self.star_name)
        entries = [*groups, *(entry for entry in beside if entry.symbol not in left_out)]
        missing = len(self.every) - len(self.points)
        if missing:
            reason = f": {self.empty}" if self.empty else ""
            entries.append(Entry("undefined", f"{missing} undefined, not drawn{reason}"))
        return [*entries, *([Entry("note", self.note)] if self.note else [])]

    def hover(self, point: PlotPoint) -> str:
        """All that is known of a point, in two lines."""
        axes = ((self.x_name, point.x), (self.y_name, point.y))
        return "\n".join(value.hover((point.name, name)) for name, value in axes)

    def names_beside(
        self,
        x_axis: Ends,
        y_axis: Ends,
        size: tuple[float, float] = (OF_WIDTH, OF_HEIGHT),
        most: int = NAMED,
    ) -> dict[PlotPoint, bool]:
        """The points that have room for a name, between these ends of the axes; True where the name
        is on the left. A name that would lie on another is left out, names of points that are set
        apart come first. `size`: shares of width and height that a character takes; `most`: of how
        many points all may have names."""
        of_width, of_height = size
        named: dict[PlotPoint, bool] = {}
        taken: list[tuple[float, float, float]] = []
        for point in sorted(self.points, key=lambda point: not point.marked):
            if point.place is None:
                continue
            x, y = share(point.place[0], *x_axis), share(point.place[1], *y_axis)
            long = (min(len(point.name), LONGEST_NAME) + 2) * of_width
            first = x - long if x > 0.5 else x
            if all(
                abs(y - other) > of_height or first + long < left or right < first
                for left, right, other in taken
            ):
                taken.append((first, first + long, y))
                if point.marked or len(self.points) <= most:
                    named[point] = x > 0.5
        return named

    def table(self) -> Rows:
        kinds = any(point.group not in ("", point.name) for point in self.every)
        head = (self.point_name, *("kind",) * kinds, self.x_name, self.y_name)
        rows = (Row((p.name, *(p.group,) * kinds), (p.x, p.y)) for p in self.every)
        return Rows(head, tuple(rows))
