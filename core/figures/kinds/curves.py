"""Views of lines over an axis, in panels, and how their figure is laid out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from core.engine.measurement import Coordinates, Measurement, MetricSpec
from core.figures.figure import BASE, Cell, Lines, Panel, Series
from core.figures.layout import cells, common, in_order, less, name_of
from core.figures.views import Catalogue, Choice, Coordinate, Kind, View


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves(View):
    """A line each value of `series` over `x`, in a panel for each of `panels` (values of
    `panel_by`; none: one panel).

    `with_chance` adds to each line its chance level, as a faint line that `chance_name` names; one
    for all lines of a panel if their levels are equal.
    Curves too may be made by `tabulate`, where their values are in arrays.
    """

    kind: ClassVar[Kind] = "curves"
    x: Coordinate = "layer"
    series: Coordinate = "model"
    panel_by: Coordinate = "module"
    chance_name: str = "chance"

    @property
    def panelled(self) -> Coordinate:
        return self.panel_by

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return (self.x, self.series, *((self.panel_by,) if self.panels else ()))

    def has_base(self, measure: str, catalogue: Catalogue) -> bool:
        if self.series != "model" or self.tabulate is not None:
            return False
        known = catalogue.combinations
        measured = (
            any((combination.metric, combination.model) == (measure, BASE) for combination in known)
            or not known
        )
        return measured and BASE in catalogue.values("model")

    def place_of(self, coordinates: Coordinates) -> tuple[Any, ...]:
        panel = getattr(coordinates, self.panel_by) if self.panels else ""
        return panel, getattr(coordinates, self.series), getattr(coordinates, self.x)

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Lines:
        cell_of = cells(self, choice, spec, catalogue, rows, self.place_of)
        if choice.reading == "difference":
            cell_of = {
                (panel, name, x): less(cell, cell_of[panel, BASE, x])
                for (panel, name, x), cell in cell_of.items()
                if name != BASE and (panel, BASE, x) in cell_of
            }
        xs = in_order(self.x, (x for _, _, x in cell_of), catalogue)
        counted = xs if self.x == "layer" else range(len(xs))
        position = dict(zip(xs, counted, strict=True))
        names = in_order(self.series, (name for _, name, _ in cell_of), catalogue)
        panels = []
        for panel in self.panels_in(catalogue) if self.panels else ("",):
            series: list[Series] = []
            for name in names:
                points = [
                    (position[x], cell_of[panel, name, x])
                    for x in xs
                    if (panel, name, x) in cell_of
                ]
                if points:
                    series += self._series(choice, name, points, catalogue, alone=len(names) == 1)
            panels += [Panel(panel, self._told_once(series))] if series else []
        return Lines(
            x_label=self.word(self.x),
            order=catalogue.models if self.series in ("model", "reference") else (),
            x_names=() if self.x == "layer" else tuple(map(name_of, xs)),
            series_name=self.word(self.series),
            panel_name=self.word(self.panel_by),
            panels=tuple(panels),
            **common(self, choice, spec),
        )

    def _told_once(self, series: list[Series]) -> tuple[Series, ...]:
        """The lines with a single chance level after them, if all have the same."""
        lines = [each for each in series if not each.companion]
        levels = [each for each in series if each.companion]
        alike = len({(level.xs, level.cells) for level in levels}) == 1
        if not alike or len(levels) < len(lines):
            return tuple(series)
        return (*lines, replace(levels[0], name=self.chance_name))

    def _series(
        self,
        choice: Choice,
        name: Any,
        points: list[tuple[int, Cell]],
        catalogue: Catalogue,
        *,
        alone: bool,
    ) -> list[Series]:
        """A line, and its chance level beside it where the view asks for that."""
        xs, values = zip(*points, strict=True)
        control = self.series in ("model", "reference") and name in catalogue.controls
        band = self.series == "model" and name in catalogue.groups
        line = Series(name_of(name), xs, values, control, band=band)
        beside = self.with_chance and choice.reading == "raw"
        return [line, *(chance_beside(line, self.chance_name, alone=alone) if beside else ())]


def chance_beside(line: Series, called: str, *, alone: bool) -> tuple[Series, ...]:
    """The chance level of a line as a faint line, named after the line unless that is `alone`; none
    if no value has one."""
    levels = tuple(Cell(cell.chance, cell.chance) for cell in line.cells)
    if all(level.value is None for level in levels):
        return ()
    return (Series(called if alone else f"{line.name} {called}", line.xs, levels, companion=True),)
