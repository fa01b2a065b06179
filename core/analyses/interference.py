"""Interference of two tuning vectors before they are merged: opposite signs, common coordinates,
common directions.

Owns the pairs, their sums by module, and the overlap of their top directions. Imports torch only
when it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.forms import amount, count, number
from core.engine.measurement import Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters
from core.figures import pairs
from core.figures.kinds.grids import Heatmap, Matrix
from core.figures.kinds.tables import SortedTable
from core.models.naming import GROUP_OF, groups
from core.statistics import chance, overlap
from core.weights.reader import SliceReader
from core.weights.totals import Sums, of_layer, of_model, slice_state, sliced

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.weights.views import MatrixView, ModuleMoments, Pending, UpdateView

NAME, VERSION = "interference", 1
SIDES = {"subspace_overlap_write": "write", "subspace_overlap_read": "read"}


class InterferenceParameters(Parameters):
    """The limits of large coordinates and of top directions."""

    top: float = Field(
        default=0.2, gt=0, le=0.5, description="Share of coordinates that count as the largest."
    )
    rank: int = Field(default=8, ge=1, description="Top directions of each update to compare.")


def plan(subject: Subject, parameters: InterferenceParameters) -> list[Unit]:
    """A unit for each pair of models and slice, and one that sums a pair's slices."""
    family, units = subject.family, []
    for model, reference in combinations(family.tuned, 2):
        names = (model, reference)
        key = functools.partial(family.key, NAME, VERSION, parameters, list(names))
        template = Unit(
            key="", analysis=NAME, label=f"interference of {model} and {reference}", model=model,
            reference=reference, reads=names,
        )  # fmt: skip
        units += sliced(template, key, family.layers)
    return units


def compute(units: Sequence[Unit], parameters: InterferenceParameters) -> _Reader:
    """The reader that makes these units of one slice."""
    return _Reader(units, parameters)


class _Reader(SliceReader):
    name = NAME

    def __init__(self, units: Sequence[Unit], parameters: InterferenceParameters) -> None:
        from core.weights.pairs import Pairing

        self.units = units
        self.parameters = parameters
        self.moments_of = self.updates_of = tuple(dict.fromkeys(m for u in units for m in u.reads))
        self.pairing = Pairing(self.moments_of, parameters.top)
        self._modules: dict[str, ModuleMoments] = {}
        self._shared: dict[tuple[str, str], list[Measurement]] = {
            (u.model, u.reference): [] for u in units
        }
        self._piece: Piece | None = None
        self._parts: dict[str, UnitPart] = {}

    def see_module(self, module: ModuleMoments) -> None:
        self._modules[module.module] = module

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        """The update's top directions, one a column, float32: `write` [d_out, r] and `read` [d_in,
        r]; none of an update of zeros."""
        from core.models.transfers import down

        if update.is_zero:
            return UnitPart
        top = update.directions(self.parameters.rank)
        sides = {"write": down(top.left[0].float()), "read": down(top.right[0].float())}
        real, changed = down(top.real[0]), update.changed

        def part() -> UnitPart:
            if not changed:
                return UnitPart()
            return UnitPart(arrays={n: side[:, real].numpy() for n, side in sides.items()})

        return part

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        if piece is not self._piece:
            self._piece, self._parts = piece, {}
        for other, earlier in self._parts.items():
            shared = self._shared.get((other, model))
            if shared is not None and part.arrays and earlier.arrays:
                shared += _overlaps(piece, earlier, part)
        self._parts[model] = part

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            sums = {module: _sums(seen, unit) for module, seen in self._modules.items()}
            result = UnitResult(state=slice_state(unit.layer, sums))
            if unit.layer is not None:
                matrices = self._shared[unit.model, unit.reference]
                result.measurements = [
                    *_both_ways(unit, _rows(of_layer(sums, _add))),
                    *_both_ways(unit, _means(matrices)),
                ]
            yield unit, result


def _sums(seen: ModuleMoments, unit: Unit) -> Sums:
    total = seen.total
    assert total.pairs is not None
    a, b = total.row(unit.model), total.row(unit.reference)
    pair = total.pairs.of(unit.model, unit.reference)
    return {"size": total.size, "dot": float(total.gram[a, b]), **pair}


_SUMS = {
    "dot": number, **dict.fromkeys(("size", "both", "a", "b"), count),
    **dict.fromkeys(("magnitude", "square", "expected", "variance"), amount),
}  # fmt: skip


def _add(a: Sums, b: Sums) -> Sums:
    return {k: a[k] + b[k] for k in _SUMS}


def _rows(modules: dict[str, Sums]) -> list[Measurement]:
    return [row for module, sums in modules.items() for row in of_sums(module, sums)]


def of_sums(module: str, s: Sums) -> tuple[Measurement, Measurement]:
    """The sign conflict and the overlap of a module, of the sums in `Pairs.of` with `dot` Σab.

    Σ|ab| − Σab is twice the part of Σ|ab| whose signs are opposite.
    """
    weight, sizes = s["magnitude"], math.sqrt(s["a"] * s["b"])
    conflict: dict[str, Any] = {"value": None}
    common: dict[str, Any] = {"value": None}
    if weight:
        against = min(1.0, max(0.0, (1 - s["dot"] / weight) / 2))
        spread = math.sqrt(s["square"]) / (2 * weight)
        conflict = {"value": against, "chance": 0.5, "chance_sd": spread, "n": s["size"]}
    if sizes:
        expected, spread = s["expected"] / sizes, math.sqrt(s["variance"]) / sizes
        common = {"value": s["both"] / sizes, "chance": expected, "chance_sd": spread}
        common["n"] = round(sizes)
    return (
        Measurement(metric="sign_conflict", module=module, **conflict),
        Measurement(metric="overlap", module=module, **common),
    )


def _overlaps(piece: Piece, one: UnitPart, other: UnitPart) -> Iterator[Measurement]:
    """‖UᵀV‖²/r of two updates' top directions on either side of a matrix, r the smaller rank."""
    for metric, side in SIDES.items():
        a, b = one.arrays[side], other.arrays[side]
        low, high = sorted((a.shape[1], b.shape[1]))
        level = chance.one_sided(len(a), high, 1 / low)
        value = float(np.square(a.T @ b, dtype=np.float64).sum()) / low
        known = {"value": value, "chance": level.mean, "chance_sd": level.sd}
        yield Measurement(
            metric=metric, layer=piece.layer, module=piece.module,
            **({"value": None} if level.saturated else known),
        )  # fmt: skip


def _means(matrices: Iterable[Measurement]) -> list[Measurement]:
    """The plain means over the matrices of each module, and over the modules of each group."""
    modules = overlap.means(matrices, lambda row: (row.module,))
    return [*modules, *overlap.means(modules, lambda row: groups(row.module))]


def _both_ways(unit: Unit, rows: Iterable[Measurement]) -> Iterator[Measurement]:
    """Each row of a pair under both orders of its models."""
    for row in rows:
        for model, reference in ((unit.model, unit.reference), (unit.reference, unit.model)):
            yield replace(row, model=model, reference=reference, layer=unit.layer)


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """A pair's modules and groups over all slices."""
    rows = _rows(of_model((each.state for each in required), _SUMS, _add))
    matrices = [
        replace(row, layer=None)
        for each in required
        for row in each.measurements
        if row.metric in SIDES and row.model == unit.model and row.module in GROUP_OF
    ]
    return UnitResult([*_both_ways(unit, [*rows, *_means(matrices)])])


_UNCHANGED = "one of the two did not change here"
_MEASURES = ("sign_conflict", "overlap", *SIDES)

_TWO = "Pairs of tunings: the study needs two tuned models."

ANALYSIS = Analysis(
    name=NAME,
    title="Interference",
    short="Int",
    topic="weights",
    version=VERSION,
    needs="weights",
    parameters=InterferenceParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=(
        MetricSpec(
            name="sign_conflict",
            title="sign conflict",
            description="Share of Σ|τᵢτⱼ| at coordinates where the two tunings have opposite "
            "signs. 0: they agree everywhere; 1: nowhere; 1/2: their signs are unrelated. The "
            "spread of chance is nominal: tuned parameters are not independent.",
            has_chance=True,
            nominal_chance=True,
            empty=_UNCHANGED,
        ),
        MetricSpec(
            name="overlap",
            title="overlap of large coordinates",
            description="Share of the coordinates with the largest changes of one tuning that are "
            "also among the largest of the other. The spread of chance is nominal.",
            has_chance=True,
            nominal_chance=True,
            empty=_UNCHANGED,
        ),
        *(
            MetricSpec(
                name=name,
                title=f"overlap of {side} subspaces",
                description=f"‖UᵢᵀUⱼ‖²/r: the part of one update's top-r {side} directions that "
                f"lies within the other's; chance: random directions, r/d.",
                has_chance=True,
                empty=f"{_UNCHANGED}, or r directions fill the space",
            )
            for name, side in SIDES.items()
        ),
    ),
    views=(
        Matrix(
            key="matrix",
            title="Interference of two tunings",
            short="Interference",
            caption="Every pair of tuned models; the diagonal is left empty.",
            measures=_MEASURES,
            selectors=("layer", "module"),
            opens={"module": "blocks"},
            drill="modules",
            needs=_TWO,
            finding=pairs.of_matrix,
        ),
        Heatmap(
            key="modules",
            title="Interference by layer and module",
            short="By module",
            caption="One pair of models. Rows are layers, columns modules and groups.",
            measures=_MEASURES,
            selectors=("model", "reference"),
            needs=_TWO,
            finding=pairs.of_modules,
        ),
        SortedTable(
            key="table",
            title="Every pair",
            caption="Each pair once, with the part of the model that is chosen.",
            measures=_MEASURES,
            selectors=("layer", "module"),
            opens={"module": "blocks"},
            free=("model", "reference"),
            tabulate=pairs.table,
            orders=pairs.ORDERS,
            needs=_TWO,
            finding=pairs.of_table,
        ),
    ),
)
