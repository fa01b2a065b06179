"""Views of a series of checkpoints: a measure against the step in training.

Every analysis with a number for each model has such a view, where a run has a series: the engine
adds `BY_STEP` to the views that an analysis declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from core.engine.measurement import Coordinates, Measurement, MetricSpec
from core.figures.figure import BASE, Cell, Lines, Panel, Series
from core.figures.layout import cells, common
from core.figures.views import Catalogue, Choice, Coordinate, Kind, View
from core.models import steps


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCurves(View):
    """A line for each series of checkpoints over the steps of all, with a level line for the base
    and for each control outside of series. Steps stand at even distances, whatever lies between.
    """

    kind: ClassVar[Kind] = "curves"
    loose: ClassVar[bool] = True

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return ("model",)

    @property
    def axes_of(self) -> tuple[Coordinate, ...]:
        return ()

    def placing(self, catalogue: Catalogue) -> Callable[[Coordinates], tuple[Any, ...] | None]:
        return lambda at: steps.parted(at.model)

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Lines:
        found = cells(self, choice, spec, catalogue, rows, lambda row: row.model)
        series = steps.series_in(found)
        every = sorted({member.step for own in series.values() for member in own})
        at = {step: x for x, step in enumerate(every)}
        lines = [
            Series(
                name,
                tuple(at[member.step] for member in own),
                tuple(found[member.name] for member in own),
                control=own[0].name in catalogue.controls,
                band=own[0].name in catalogue.groups,
            )
            for name, own in series.items()
        ]
        known = [s for s in self.selectors if catalogue.values(s)]
        return Lines(
            x_label="step",
            x_names=tuple(map(str, every)),
            series_name="series",
            panels=(Panel("", (*lines, *_levels(found, len(every), catalogue))),) if lines else (),
            order=tuple(line.name for line in lines),
            **common(replace(self, selectors=tuple(known)), choice, spec),
        )


def _levels(found: Mapping[str, Cell], count: int, catalogue: Catalogue) -> list[Series]:
    """The lines of the models that have one value for all steps, to hold the others against."""
    xs = tuple(range(count))
    return [
        Series(name, xs, (cell,) * count, control=name != BASE, companion=name == BASE)
        for name, cell in found.items()
        if steps.parted(name) is None and (name == BASE or name in catalogue.controls)
    ]


def told(figure: Lines) -> str:
    """One plain sentence on the series that changed most from its first step to its last."""
    ends = [
        (abs(last - first), line.name, first, last, line)
        for panel in figure.panels
        for line in panel.series
        if not line.faint and len(line.cells) > 1
        if (first := line.cells[0].shown) is not None
        if (last := line.cells[-1].shown) is not None
    ]
    if not ends:
        return ""
    change, name, first, last, line = max(ends, key=lambda each: each[0])
    begin, end = figure.x_names[line.xs[0]], figure.x_names[line.xs[-1]]
    if change == 0:
        return f"{figure.title}: {name} has {first:.4g} at step {begin} as at step {end}."
    moves = [
        (abs(after.shown - before.shown), line.xs[i], line.xs[i + 1])
        for i, (before, after) in enumerate(zip(line.cells, line.cells[1:], strict=False))
        if before.shown is not None and after.shown is not None
    ]
    _, left, right = max(moves, default=(0.0, line.xs[0], line.xs[-1]), key=lambda m: m[0])
    words = f"{figure.title}: {name} goes from {first:.4g} at step {begin} to {last:.4g} at {end}"
    if len(moves) > 1:
        words += f", and changes most from {figure.x_names[left]} to {figure.x_names[right]}"
    return f"{words}."


BY_STEP = StepCurves(
    key="steps",
    title="By training step",
    short="By step",
    caption="A line for each series of checkpoints; faint: the base, and controls.",
    finding=told,
    selectors=("reference", "task", "metric_of", "probe", "setting", "layer", "module"),
    names={"metric_of": "score"},
    optional=True,
)
