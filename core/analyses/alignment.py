"""How the updates lie to the directions that the base already uses: method, section 6.

Owns the measures of alignment with their chance levels, whole matrices and single heads. Imports
torch only when it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.measurement import Artifact, Measurement, MetricSpec, Unit, UnitResult
from core.naming import GROUP_OF, groups
from core.pictures import findings, spectra
from core.registry import Analysis, Parameters
from core.statistics import chance, intervals
from core.totals import sliced
from core.views import View

if TYPE_CHECKING:
    from torch import Tensor

    from core.linalg import Alignment, Basis
    from core.subject import Subject
    from core.weights import MatrixView, ModuleMoments, UpdateView

NAME, VERSION = "alignment", 1


class AlignmentParameters(Parameters):
    """Which directions of the base count as its own, and what is looked up among them."""

    energy: float = Field(
        default=0.9, gt=0, le=1, description="Share of ‖W‖² that the top-k subspace holds."
    )
    rank: int | None = Field(
        default=None, ge=1, description="A fixed k for the top-k subspace, instead of the energy."
    )
    intruders_of: int = Field(
        default=10, ge=1, description="Leading directions of the tuned looked up in the base's."
    )
    match: float = Field(
        default=0.5, gt=0, le=1, description="The |cosine| at which a direction counts as found."
    )
    amplified: int = Field(default=4, ge=1, description="r of the amplification factor.")
    heads: bool = Field(default=True, description="Also head by head.")


def plan(subject: Subject, parameters: AlignmentParameters) -> list[Unit]:
    """A unit for each model and layer, and one that averages a model's layers."""
    family, units = subject.family, []
    for model in family.tuned:
        key = functools.partial(family.key, NAME, VERSION, parameters, [model])
        template = Unit(key="", analysis=NAME, label=f"alignment of {model}", model=model)
        units += sliced(template, key, [layer for layer in family.layers if layer is not None])
    return units


def compute(units: Sequence[Unit], parameters: AlignmentParameters) -> _Reader:
    """The reader that makes these units of one layer."""
    return _Reader(units, parameters)


class _Reader:
    moments_of: tuple[str, ...] = ()

    def __init__(self, units: Sequence[Unit], parameters: AlignmentParameters) -> None:
        self.units = units
        self.parameters = parameters
        self.updates_of = tuple(u.model for u in units)
        self._rows: dict[str, list[Measurement]] = {u.model: [] for u in units}
        self._arrays: dict[str, dict[str, Any]] = {u.model: {} for u in units}

    def wants_updates(self, module: str) -> bool:
        return module in GROUP_OF

    def see_module(self, module: ModuleMoments) -> None:
        """Nothing: alignment is of whole matrices."""

    def see_update(self, matrix: MatrixView, update: UpdateView) -> None:
        p, piece = self.parameters, matrix.piece
        at: dict[str, Any] = {
            "model": update.model, "layer": piece.layer, "module": piece.module
        }  # fmt: skip
        basis = matrix.basis(p.energy, p.rank)
        found, curves = _measure(basis, update.working, update.gram, p)
        rows = self._rows[update.model]
        rows += [replace(row, expert=piece.expert, **at) for row in found[0]]
        name = piece.module if piece.expert is None else f"{piece.module}.{piece.expert}"
        self._arrays[update.model] |= {f"{name}.{k}": v for k, v in curves.items()}
        if p.heads and matrix.is_attention:
            from core import linalg

            blocks = linalg.working(matrix.by_head(update.delta))
            by_head, _ = _measure(
                matrix.basis(p.energy, p.rank, by_head=True), blocks, linalg.gram(blocks), p
            )
            for head, measured in enumerate(by_head):
                rows += [replace(row, head=head, **at) for row in measured]

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            rows = self._rows[unit.model]
            matrices = [row for row in rows if row.head is None]
            means = [
                *_means((r for r in matrices if r.expert is not None), lambda r: (r.module,)),
                *_means(matrices, lambda r: groups(r.module)),
            ]
            arrays = self._arrays[unit.model]
            artifact = Artifact(
                name="alignment_curves", arrays=arrays, model=unit.model, layer=unit.layer
            )
            yield unit, UnitResult([*rows, *means], [artifact] if arrays else [])


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The plain mean over a model's matrices, by module and by group."""
    matrices = [
        replace(row, layer=None)
        for result in required
        for row in result.measurements
        if row.head is None and row.module in GROUP_OF and not _is_expert_mean(row, result)
    ]
    return UnitResult([*_means(matrices, lambda r: (r.module, *groups(r.module)))])


def _is_expert_mean(row: Measurement, result: UnitResult) -> bool:
    """Is this the mean of a module over its experts, whose own rows stand beside it?"""
    return row.expert is None and any(
        r.module == row.module and r.expert is not None for r in result.measurements
    )


def _measure(
    basis: Basis, update: Tensor, gram: Tensor, p: AlignmentParameters
) -> tuple[list[list[Measurement]], dict[str, Any]]:
    """The measurements of each matrix of a batch, and the first one's curves over k."""
    from core import linalg

    shape = (int(update.shape[-2]), int(update.shape[-1]))
    if not basis.kmax or not bool(update.any()):
        return [_rows(shape, k, {"norm": 0.0}, None, 0, p) for k in basis.ranks], {}
    found = linalg.align(basis, update, gram)
    factor, directions = linalg.amplification(basis.matrix, update, gram, rank=p.amplified)
    columns = {
        "concentration": linalg.concentration(gram).tolist(),
        "amplification": factor.tolist(),
        "directions": directions.tolist(),
        "intruders": linalg.intruders(
            basis, update, top=p.intruders_of, threshold=p.match
        ).tolist(),
        "norm": linalg.energy(gram).sqrt().tolist(),
        "base": basis.energy.double().sum(-1).sqrt().tolist(),
    }
    rows = [
        _rows(shape, k, {name: values[i] for name, values in columns.items()}, found, i, p)
        for i, k in enumerate(basis.ranks)
    ]
    return rows, _curves(basis, found)


def _rows(
    shape: tuple[int, int],
    k: int,
    scalars: dict[str, float],
    found: Alignment | None,
    i: int,
    p: AlignmentParameters,
) -> list[Measurement]:
    """The measurements of one matrix, without coordinates."""
    d_out, d_in = shape
    rank = Measurement(metric="rank_k", value=k)
    if found is None or k == 0 or scalars["norm"] == 0:
        return [rank, *(Measurement(metric=metric, value=None) for metric in _MEASURES)]
    spread = scalars["concentration"]
    null = {
        "write": chance.one_sided(d_out, k, spread),
        "read": chance.one_sided(d_in, k, spread),
        "two_sided": chance.two_sided(d_out, d_in, k, spread),
    }
    shares = {
        "write": float(found.write[i]),
        "read": float(found.read[i]),
        "two_sided": float(found.both[i]),
    }
    rows = [rank]
    for name, share in shares.items():
        level = null[name]
        rows.append(
            Measurement(
                metric=name, value=math.sqrt(share), chance=level.measure,
                chance_sd=level.measure_sd,
            )
        )  # fmt: skip
        excess = level.excess(share)
        rows.append(
            Measurement(metric=f"{name}_excess", value=excess)
            if excess is None
            else Measurement(
                metric=f"{name}_excess", value=excess, chance=0.0, chance_sd=level.excess_sd
            )
        )
    both = null["two_sided"]
    size = d_out * d_in
    gain_sd = scalars["norm"] / math.sqrt(size) / float(found.gain_scale[i])
    return [
        *rows,
        Measurement(
            metric="new_energy", value=1 - shares["two_sided"], chance=1 - both.mean,
            chance_sd=both.sd,
        ),
        Measurement(metric="gain", value=float(found.gain[i]), chance=0.0, chance_sd=gain_sd),
        Measurement(
            metric="diagonal_energy", value=float(found.diagonal[i]), chance=k / size
        ),
        Measurement(
            metric="amplification", value=_known(scalars["amplification"]),
            chance=scalars["norm"] * math.sqrt(size) / (scalars["directions"] * scalars["base"]),
        ),
        Measurement(metric="intruders", value=scalars["intruders"], n=min(p.intruders_of, *shape)),
    ]  # fmt: skip


def _curves(basis: Basis, found: Alignment) -> dict[str, Any]:
    """Spectrum of W, and the shares of the update's energy for every k, of a batch's first."""
    return {
        "singular_values": basis.energy[0].sqrt().float().cpu().numpy(),
        "write": found.write_curve[0].float().cpu().numpy(),
        "read": found.read_curve[0].float().cpu().numpy(),
        "two_sided": found.both_curve[0].float().cpu().numpy(),
    }


def _means(rows: Iterable[Measurement], places: Any) -> list[Measurement]:
    """The plain mean of each metric over matrices, at each place that a row counts to.

    `n` counts the matrices that have a value, `low` and `high` bound the mean by Student's 95 %
    interval over them (as if a model's matrices were independent draws); a rank has no mean.
    """
    found: dict[tuple[str, str], list[Measurement]] = {}
    for row in rows:
        for place in places(row):
            if row.metric != "rank_k":
                found.setdefault((place, row.metric), []).append(row)
    return [_mean(place, metric, own) for (place, metric), own in found.items()]


def _mean(place: str, metric: str, rows: list[Measurement]) -> Measurement:
    own = [row for row in rows if row.value is not None]
    first = rows[0]
    at: dict[str, Any] = {
        "metric": metric, "model": first.model, "layer": first.layer, "module": place
    }  # fmt: skip
    if not own:
        return Measurement(value=None, n=0, **at)
    n = len(own)
    values = [row.value or 0.0 for row in own]
    mean = intervals.of_mean(values)
    levels = [row.chance for row in own if row.chance is not None]
    spreads = [row.chance_sd for row in own if row.chance_sd is not None]
    return Measurement(
        value=mean.value,
        n=n,
        low=mean.low,
        high=mean.high,
        chance=sum(levels) / n if len(levels) == n else None,
        chance_sd=math.sqrt(sum(s * s for s in spreads)) / n if len(spreads) == n else None,
        **at,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


_EXCESS = {name: f"{name}_excess" for name in ("write", "read", "two_sided")}
_SATURATED = "saturated: the top-k subspace is the whole space; or nothing changed"
_UNCHANGED = "nothing changed, or the base's matrix is zero"

METRICS = (
    MetricSpec(
        name="two_sided",
        title="two-sided alignment",
        description="‖UₖᵀΔVₖ‖/‖Δ‖: how much of the update reads and writes where the base does.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="write",
        title="write alignment",
        description="‖UₖᵀΔ‖/‖Δ‖: how much of the update writes into the base's top-k directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="read",
        title="read alignment",
        description="‖ΔVₖ‖/‖Δ‖: how much of the update reads from the base's top-k directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    *(
        MetricSpec(
            name=f"{name}_excess",
            title=f"{title} beyond chance",
            description="Energy beyond what a random update of that shape and spectrum has: 1 all "
            "inside, 0 chance, below 0 avoids the base's directions.",
            has_chance=True,
            signed=True,
            empty=_SATURATED,
        )
        for name, title in (
            ("two_sided", "two-sided alignment"),
            ("write", "write alignment"),
            ("read", "read alignment"),
        )
    ),
    MetricSpec(
        name="new_energy",
        title="new energy",
        description="1 − two_sided²: the share of the update outside the base's directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="gain",
        title="gain",
        description="Above 0 the update amplifies the base's own directions, below 0 it "
        "attenuates them; 0.05 means 5 %.",
        has_chance=True,
        signed=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="diagonal_energy",
        title="diagonal energy",
        description="The share of the update that only rescales existing direction pairs.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="amplification",
        title="amplification factor",
        description="‖Δ‖/‖AᵀWB‖ over the update's own top directions A, B: large when it "
        "strengthens what the base hardly uses.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="intruders",
        title="intruder dimensions",
        description="Of the tuned matrix's leading output directions, those that match none of "
        "the base's.",
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="rank_k",
        title="rank k",
        description="How many directions hold the base matrix's energy (0.9 of it by default).",
        empty="a group has no rank",
    ),
)
_MEASURES = tuple(m.name for m in METRICS if m.name != "rank_k")

ANALYSIS = Analysis(
    name=NAME,
    title="Alignment",
    version=VERSION,
    needs="weights",
    parameters=AlignmentParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=METRICS,
    views=(
        View(
            key="heat",
            kind="heatmap",
            title="Alignment by layer and module",
            caption="Positive: the update keeps to the base's own directions more than chance; "
            "negative: it avoids them.",
            measures=(
                "two_sided", "write", "read", "new_energy", "gain", "diagonal_energy",
                "amplification", "intruders", "rank_k",
            ),
            excess=_EXCESS,
            reading="excess",
            selectors=("model",),
            drill="spectrum",
            finding=findings.of_alignment,
        ),
        View(
            key="summary",
            kind="bars",
            title="Attention against MLP",
            caption="Plain means over matrices, with their spread.",
            measures=("two_sided_excess", "write_excess", "read_excess", "gain", "new_energy"),
            panels=("attention", "mlp"),
            finding=findings.of_attention_against_mlp,
        ),
        View(
            key="spectrum",
            kind="curves",
            title="One matrix by rank",
            caption="The base's singular values, and how much of Δ lies in its first k directions.",
            measures=("two_sided",),
            selectors=("model", "layer", "module"),
            opens={"layer": 0},
            only={"module": lambda name: name in GROUP_OF},
            tabulate=spectra.of_alignment,
            finding=findings.of_spectrum,
        ),
    ),
)  # fmt: skip
