"""Whether an update turns a matrix's top directions and changes its spectrum: method, section 8.

Owns the choice of matrices and their averaging; core.weights.regime measures one matrix. Imports
torch only when it computes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pydantic import Field

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters
from core.figures import findings
from core.figures.kinds.grids import Heatmap
from core.models.naming import GROUP_OF, groups
from core.statistics import intervals, overlap
from core.weights.reader import SliceReader
from core.weights.totals import of_each_model

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.weights.regime import Before
    from core.weights.views import MatrixView, Pending, UpdateView

NAME, VERSION = "spectral_regime", 3
SEVERAL = 8
"""Random updates of a matrix that is small enough for float64."""


class SpectralRegimeParameters(Parameters):
    """The compared directions, the visible changes, and the random updates."""

    rank: int = Field(default=16, ge=1, description="Top directions of W and of W + Δ to compare.")
    threshold: float = Field(
        default=1e-3, gt=0, lt=1, description="Least relative change of a visible weight."
    )
    draws: int = Field(
        default=1, ge=0, description="Random updates of each large matrix; small ones have 8."
    )


def plan(subject: Subject, parameters: SpectralRegimeParameters) -> list[Unit]:
    """A unit for each tuned model and layer, and one that averages a model's layers."""
    layers = range(subject.family.anatomy.layers)
    return of_each_model(subject.family, NAME, VERSION, parameters, "spectral regime", layers)


def compute(units: Sequence[Unit], parameters: SpectralRegimeParameters) -> _Reader:
    """The reader that makes these units of one layer."""
    return _Reader(units, parameters)


class _Reader(SliceReader):
    name = NAME

    def __init__(self, units: Sequence[Unit], parameters: SpectralRegimeParameters) -> None:
        self.units = units
        self.parameters = parameters
        self.updates_of = tuple(u.model for u in units)
        self._rows: dict[str, list[Measurement]] = {u.model: [] for u in units}
        self._before: tuple[MatrixView, Before] | None = None

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        from core.weights import linalg, regime

        unchanged = UnitPart([Measurement(metric=name, value=0.0) for name in regime.MEASURES])
        if update.is_zero:
            return lambda: unchanged
        p = self.parameters
        if self._before is None or self._before[0] is not matrix:
            self._before = (
                matrix,
                regime.Before.of(matrix.matrix, p.rank, matrix.known, matrix.terms),
            )
        before, changed = self._before[1], update.changed
        if not before.sides[0].shape[1]:  # a matrix of zeros
            rows = [Measurement(metric=name, value=None) for name in regime.MEASURES]
            return lambda: UnitPart(rows) if changed else unchanged
        small = matrix.matrix.numel() <= linalg.EXACT_ELEMENTS
        draws = max(p.draws, SEVERAL) if small else p.draws
        measured = regime.measure(
            before, update.delta, threshold=p.threshold, draws=draws, narrow=update.narrow
        )

        def part() -> UnitPart:
            if not changed:
                return unchanged
            return UnitPart([_row(name, *values) for name, values in measured().items()])

        return part

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        self._before = None
        coordinates = {"model": model, "layer": piece.layer, "module": piece.module}
        self._rows[model] += [replace(row, **coordinates) for row in part.rows]  # type: ignore[arg-type]

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            modules = _by_module(self._rows[unit.model])
            in_groups = overlap.means(modules, lambda row: groups(row.module))
            yield unit, UnitResult([*modules, *in_groups])


def _row(name: str, value: float | None, drawn: Sequence[float | None]) -> Measurement:
    """A value beside the values of random updates; one draw has no spread."""
    known = [each for each in drawn if each is not None]
    if value is None or not known:
        return Measurement(metric=name, value=value)
    return Measurement(
        metric=name, value=value, chance=statistics.fmean(known),
        chance_sd=intervals.of_draws(known),
    )  # fmt: skip


def _by_module(matrices: Sequence[Measurement]) -> list[Measurement]:
    """The row of each module; of several matrices, as experts, their plain mean."""
    by_metric: dict[tuple[str, str], list[Measurement]] = {}
    for row in matrices:
        by_metric.setdefault((row.module, row.metric), []).append(row)
    return [
        row
        for rows in by_metric.values()
        for row in (rows if len(rows) == 1 else overlap.means(rows, lambda r: (r.module,)))
    ]


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The plain mean over the layers' modules, by module and by group."""
    rows = [
        replace(row, layer=None)
        for each in required
        for row in each.measurements
        if row.module in GROUP_OF
    ]
    return UnitResult(overlap.means(rows, lambda row: (row.module, *groups(row.module))))


_EMPTY = "the base's matrix is zero"
_ANGLE = "the top directions fill the space, or the base's matrix is zero"

ANALYSIS = Analysis(
    name=NAME,
    title="Spectral regime",
    short="Spe",
    topic="directions",
    version=VERSION,
    needs="weights",
    parameters=SpectralRegimeParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=(
        *(
            MetricSpec(
                name=f"{side}_rotation",
                title=f"rotation of {side} directions",
                description=f"Mean principal angle between the top {side} directions of W and of "
                "W + Δ, in degrees. Chance: a random update of the same size.",
                has_chance=True,
                empty=_ANGLE,
            )
            for side in ("write", "read")
        ),
        MetricSpec(
            name="spectrum_change",
            title="change of the spectrum",
            description="‖σ⁺ − σ‖/‖σ‖ of the singular values. Chance: a random update of the same "
            "size.",
            has_chance=True,
            empty=_EMPTY,
        ),
        MetricSpec(
            name="visible_share",
            title="share of visible changes",
            description="Share of weights that changed by more than 0.001 of the larger of the two "
            "values (`threshold`). Chance: a random update of the same size.",
            has_chance=True,
            empty=_EMPTY,
        ),
    ),
    views=(
        Heatmap(
            key="heat",
            title="Spectral regime by layer and module",
            short="Regime",
            caption="How far the update turns W's top directions and changes its singular values, "
            "beside a random update of the same size.",
            measures=("write_rotation", "read_rotation", "spectrum_change", "visible_share"),
            selectors=("model",),
            drill="alignment:spectrum",
            finding=findings.of_regime,
        ),
    ),
)
