"""Lines in panels, resolved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from core.figures.figure import Series
from core.figures.plots.numbers import Write
from core.figures.plots.plot import Entry, Plot, Row, Rows, beginning, value_entries
from core.figures.plots.ranges import Axis, Tick
from core.figures.plots.values import Level, Value


@dataclass(frozen=True)
class Curve:
    """A line. `index` is its place among the lines of all panels: it decides sign and colour."""

    series: Series
    index: int
    write: Write
    signed: bool = False

    @property
    def name(self) -> str:
        """The name of the series."""
        return self.series.name

    @property
    def suffix(self) -> str:
        """The words after the name in a legend or a table: a control, or a group and its band."""
        if self.series.band:
            members = max((cell.n or 0 for cell in self.series.cells), default=0)
            return f" (mean of {members}, 95 % band)"
        return " (control)" if self.series.control else ""

    @property
    def faint(self) -> bool:
        """Is it drawn beneath the others and without a colour of its own?"""
        return self.series.faint

    @property
    def xs(self) -> tuple[int, ...]:
        """The x of every point."""
        return self.series.xs

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """The value of every point."""
        return tuple(Value(cell, self.write, self.signed) for cell in self.series.cells)

    def at(self, x: int) -> Value | None:
        """The value at an x."""
        return self.values[self.xs.index(x)] if x in self.xs else None

    def edges(self) -> Iterator[list[tuple[int, float]]]:
        """Both edges of the band of a group: x and number, broken like the line."""
        for run in self.runs() if self.series.band else ():
            bounded = [(x, value.interval) for x, _, value in run if value.interval is not None]
            for end in range(2):
                yield [(x, interval[end]) for x, interval in bounded]

    def runs(self) -> Iterator[list[tuple[int, float, Value]]]:
        """Its points, broken where a value is undefined: x, number, value."""
        points = [(x, v.number, v) for x, v in zip(self.xs, self.values, strict=True)]
        for defined, run in groupby(points, key=lambda point: point[1] is not None):
            if defined:
                yield [(x, number, value) for x, number, value in run if number is not None]


@dataclass(frozen=True)
class CurvePanel:
    """One chart. `curves` are in the order of the figure."""

    title: str
    curves: tuple[Curve, ...]

    @property
    def upwards(self) -> list[Curve]:
        """The curves in the order in which they are drawn: faint ones lie beneath."""
        return sorted(self.curves, key=lambda curve: not curve.faint)

    @cached_property
    def chance(self) -> tuple[tuple[int, Level], ...]:
        """The chance level at each x: the mean of the lines' levels, all of their ranges. Nothing
        where a companion draws it already."""
        if any(curve.series.companion for curve in self.curves):
            return ()
        levels: dict[int, list[Level]] = {}
        for curve in self.curves:
            for x, value in zip(curve.xs, curve.values, strict=True):
                if (level := value.chance) is not None:
                    levels.setdefault(x, []).append(level)
        return tuple((x, _mean(here)) for x, here in sorted(levels.items()))


@dataclass(frozen=True, kw_only=True)
class CurvesPlot(Plot):
    """Panels that share their axes. `x_names` are the names of x = 0, 1, 2, … where x counts names
    instead of layers. `y_axis` covers the values, `y_axis_whole` intervals and chance too."""

    x_label: str
    x_names: tuple[str, ...]
    series_name: str
    panel_name: str
    panels: tuple[CurvePanel, ...]
    curves: tuple[Curve, ...]
    """The first curve of each name, in order: the entries of a legend."""
    x_axis: Axis
    y_axis: Axis
    y_axis_whole: Axis

    @property
    def is_drawable(self) -> bool:
        return any(curve.xs for panel in self.panels for curve in panel.curves)

    def values(self) -> Iterator[Value]:
        return (v for panel in self.panels for curve in panel.curves for v in curve.values)

    def legend(self) -> list[Entry]:
        series = [
            Entry("series", c.name, c.index, c.faint, c.series.control, c.suffix)
            for c in self.curves
        ]
        return [*series, *self._signs]

    @cached_property
    def _signs(self) -> list[Entry]:
        """The entries of the signs beside values: a terminal asks for the legend at every move."""
        entries = value_entries(self.values())
        if any(panel.chance for panel in self.panels):
            return entries
        return [entry for entry in entries if entry.symbol not in ("chance", "band")]

    def x_text(self, x: int) -> str:
        """The name of an x, or its number."""
        return self.x_names[x] if self.x_names else str(x)

    @property
    def x_title(self) -> str:
        """The name of the axis below the curves, with what its ticks leave out: as the word "rank"
        of rank-1, rank-2."""
        begin = self._begin
        if begin.endswith("-"):
            return begin[:-1]
        return f"{self.x_label} {begin}*" if begin else self.x_label

    @cached_property
    def _begin(self) -> str:
        """The common beginning of the names of x."""
        return beginning(self.x_names)

    def x_ticks(self, at_most: int) -> list[Tick]:
        """The places below the curves that are named: every name, or that many numbers."""
        if self.x_names:
            begins = len(self._begin)
            return [Tick(x, name[begins:]) for x, name in enumerate(self.x_names)]
        return self.x_axis.ticks(at_most)

    def place(self, panel: CurvePanel, curve: Curve, x: int) -> tuple[tuple[str, str], ...]:
        """The place of a value: the names of its coordinates with their values."""
        named = [(self.series_name, curve.name), (self.x_label, self.x_text(x))]
        if panel.title not in ("", curve.name):
            named.append((self.panel_name, panel.title))
        return tuple(named)

    def where(self, panel: CurvePanel, curve: Curve, x: int) -> list[str]:
        """The place of a value in words."""
        label = self.x_names[x] if self.x_names else f"{self.x_label} {x}"
        return [curve.name, label, *filter(None, [panel.title])]

    def told_at(self, x: int) -> str:
        """Where a legend's values are measured."""
        return f"legend: at {self.x_names[x] if self.x_names else f'{self.x_label} {x}'}"

    def table(self) -> Rows:
        names = [curve.name for curve in self.curves]
        rows = []
        for panel in self.panels:
            known = {c.name: dict(zip(c.xs, c.values, strict=True)) for c in panel.curves}
            for x in sorted({x for curve in panel.curves for x in curve.xs}):
                values = tuple(known.get(name, {}).get(x) for name in names)
                rows.append(Row((self.x_text(x),), values, panel.title))
        head = (self.x_label, *(c.name + c.suffix for c in self.curves))
        return Rows(head, tuple(rows), self.panel_name)


def _mean(levels: list[Level]) -> Level:
    middle = sum(each.level for each in levels) / len(levels)
    return Level(middle, min(each.low for each in levels), max(each.high for each in levels))
