"""Views of a series of checkpoints: a measure against the step in training.

Every analysis with a number for each model has such a view, where a run has a series: the engine
adds `BY_STEP` to the views that an analysis declares.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar

from core.engine.measurement import Coordinates, Measurement, MetricSpec
from core.figures.figure import BASE, Cell, Lines, Panel, Series
from core.figures.kinds.curves import chance_beside
from core.figures.layout import cells, common
from core.figures.views import Catalogue, Choice, Coordinate, Kind, View
from core.models import steps
from core.models.steps import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCurves(View):
    """A line for each series of checkpoints over the steps of all, with a level line for the base
    and for each control outside of series. Steps are evenly spaced, whatever their
    numbers.
    `with_chance` and `chance_name`: see `Curves`.
    """

    kind: ClassVar[Kind] = "curves"
    loose: ClassVar[bool] = True
    chance_name: str = "chance"

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return ("model",)

    @property
    def axes_of(self) -> tuple[Coordinate, ...]:
        return ()

    def placing(self, catalogue: Catalogue) -> Callable[[Coordinates], tuple[Any, ...] | None]:
        return lambda coordinates: steps.parted(coordinates.model)

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Lines:
        cell_of = cells(self, choice, spec, catalogue, rows, lambda row: row.model)
        series = steps.series_in(cell_of)
        every = sorted({member.step for members in series.values() for member in members})
        x_of = {step: x for x, step in enumerate(every)}
        lines = [
            Series(
                name,
                tuple(x_of[member.step] for member in members),
                tuple(cell_of[member.name] for member in members),
                control=members[0].name in catalogue.controls,
                band=members[0].name in catalogue.groups,
            )
            for name, members in series.items()
        ]
        if self.with_chance:
            alone = len(lines) == 1
            lines += [
                s for line in lines for s in chance_beside(line, self.chance_name, alone=alone)
            ]
        known = [s for s in self.selectors if catalogue.values(s)]
        return Lines(
            x_label="step",
            x_names=tuple(map(str, every)),
            series_name="series",
            panels=(Panel("", (*lines, *_levels(cell_of, len(every), catalogue))),)
            if lines
            else (),
            order=tuple(line.name for line in lines),
            **common(replace(self, selectors=tuple(known)), choice, spec),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCosines(View):
    """The cosines of each step's tuning vector with the last step's, and with the step before, in a
    panel each; a faint line for a random walk: √(s/t) at steps s < t.

    A walk starts where training did: where there are cosines of vectors from the parent (with a
    setting), they stand in for those from the base."""

    kind: ClassVar[Kind] = "curves"
    loose: ClassVar[bool] = True

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        return ("model", "reference")

    @property
    def axes_of(self) -> tuple[Coordinate, ...]:
        return ()

    def placing(self, catalogue: Catalogue) -> Callable[[Coordinates], tuple[Any, ...] | None]:
        return _pair

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Lines:
        cell_of: dict[tuple[Checkpoint, Checkpoint], Cell]
        from_parents_last = sorted(rows, key=lambda row: bool(row.setting))
        cell_of = cells(self, choice, spec, catalogue, from_parents_last, _pair)
        series = steps.series_in(member.name for pair in cell_of for member in pair)
        every = sorted({member.step for members in series.values() for member in members})
        x_of = {step: x for x, step in enumerate(every)}
        pairs = {
            LAST: [(m, members[-1], m) for members in series.values() for m in members[:-1]],
            BEFORE: [(m, n, n) for members in series.values() for m, n in pairwise(members)],
        }
        panels = []
        for title, asked in pairs.items():
            lines: list[Series] = []
            for name in series:
                known = [
                    (x_of[x.step], cell_of[m, n], m.step / n.step)
                    for m, n, x in asked
                    if m.series == name and (m, n) in cell_of
                ]
                if known:
                    xs, cosines, shares = zip(*known, strict=True)
                    walk = tuple(Cell(share**0.5, share**0.5) for share in shares)
                    lines += [Series(name, xs, cosines)]
                    called = WALK if len(series) == 1 else f"{WALK} of {name}"
                    lines += [Series(called, xs, walk, companion=True)]
            panels += [Panel(title, tuple(lines))] if lines else []
        return Lines(
            x_label="step",
            x_names=tuple(map(str, every)),
            series_name="series",
            panel_name="cosine",
            panels=tuple(panels),
            order=tuple(series),
            **common(self, choice, spec),
        )


LAST, BEFORE = "with the last step", "with the step before"
WALK = "random walk"


def _pair(coordinates: Coordinates) -> tuple[Checkpoint, Checkpoint] | None:
    """An earlier and a later member of one series; None for any other two models."""
    model, reference = steps.parted(coordinates.model), steps.parted(coordinates.reference)
    if model is None or reference is None or model.series != reference.series:
        return None
    return (model, reference) if model.step < reference.step else None


def _levels(cell_of: Mapping[str, Cell], count: int, catalogue: Catalogue) -> list[Series]:
    """Level lines of the models with one value for all steps, for comparison."""
    xs = tuple(range(count))
    return [
        Series(name, xs, (cell,) * count, control=name != BASE, companion=name == BASE)
        for name, cell in cell_of.items()
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


def told_cosines(figure: Lines) -> str:
    """One plain sentence on the path of a series: the cosine of its first step with its last."""
    panel = next((panel for panel in figure.panels if panel.title == LAST), None)
    if panel is None:
        return ""
    (line, walk, *_) = panel.series
    first, level = line.cells[0].value, walk.cells[0].value
    if first is None or level is None:
        return ""
    straight = "straighter than" if first > level else "no straighter than"
    return (
        f"{figure.title}: {line.name} at step {figure.x_names[line.xs[0]]} has {first:+.3f} with "
        f"its last step, {straight} a random walk ({level:+.3f})."
    )


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
