"""Alignment of the updates with the base's singular directions: method, section 6.

Owns the choice of measured matrices and heads, and their averaging; core.statistics measures one
matrix. Imports torch only when it computes.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters
from core.figures import findings, spectra
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Bars, Heatmap
from core.models.naming import GROUP_OF, groups
from core.statistics import overlap
from core.weights.reader import SliceReader
from core.weights.totals import of_each_model

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.weights.views import MatrixView, Pending, UpdateView

NAME, VERSION = "alignment", 1


class AlignmentParameters(Parameters):
    """The base's top directions, and the settings of measures relative to them."""

    energy: float = Field(
        default=0.9, gt=0, le=1, description="Share of ‖W‖² in the top-k subspace."
    )
    rank: int | None = Field(
        default=None, ge=1, description="A fixed k for the top-k subspace, instead of the energy."
    )
    intruders_of: int = Field(
        default=10, ge=1, description="Leading tuned directions to look up in the base."
    )
    match: float = Field(
        default=0.5, gt=0, le=1, description="Least |cosine| of a matching direction."
    )
    amplified: int = Field(default=4, ge=1, description="r of the amplification factor.")
    heads: bool = Field(default=True, description="Also compute alignment for each head.")


def plan(subject: Subject, parameters: AlignmentParameters) -> list[Unit]:
    """A unit for each model and layer, and one that averages a model's layers."""
    layers = range(subject.family.anatomy.layers)
    return of_each_model(subject.family, NAME, VERSION, parameters, "alignment", layers)


def compute(units: Sequence[Unit], parameters: AlignmentParameters) -> _Reader:
    """The reader that makes these units of one layer."""
    return _Reader(units, parameters)


class _Reader(SliceReader):
    name = NAME

    def __init__(self, units: Sequence[Unit], parameters: AlignmentParameters) -> None:
        self.units = units
        self.parameters = p = parameters
        self._measure = functools.partial(
            overlap.measure, amplified=p.amplified, intruders_of=p.intruders_of, match=p.match
        )
        self.updates_of = tuple(u.model for u in units)
        self._rows: dict[str, list[Measurement]] = {u.model: [] for u in units}
        self._arrays: dict[str, dict[str, Any]] = {u.model: {} for u in units}
        self._heads: Counter[tuple[str, str, int | None]] = Counter()

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        p, piece = self.parameters, matrix.piece
        place: dict[str, Any] = {
            "model": update.model, "layer": piece.layer, "module": piece.module
        }  # fmt: skip
        basis = matrix.basis(p.energy, p.rank)
        whole = self._measure(basis, update.working, update.gram, directions=update.directions)
        by_head = None
        if p.heads and matrix.has_heads:
            from core.weights import linalg

            blocks = linalg.working(matrix.by_head(update.delta))
            bases = matrix.basis(p.energy, p.rank, by_head=True)
            by_head = self._measure(bases, blocks, linalg.gram(blocks))

        def part() -> UnitPart:
            of_matrix, curves = whole()
            rows = [replace(row, expert=piece.expert, **place) for row in of_matrix[0]]
            for head, measured in enumerate(by_head()[0] if by_head else ()):
                rows += [replace(row, head=head, **place) for row in measured]
            return UnitPart(rows, curves)

        return part

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        name = piece.module if piece.expert is None else f"{piece.module}.{piece.expert}"
        arrays = self._arrays[model]
        while any(f"{name}.{k}" in arrays for k in part.arrays):
            name += "~"  # a further matrix of the same module
        arrays |= {f"{name}.{k}": v for k, v in part.arrays.items()}
        # The heads of a second attention in the layer are numbered after the first.
        place = model, piece.module, piece.expert
        first, heads = self._heads[place], {row.head for row in part.rows} - {None}
        self._heads[place] += len(heads)
        self._rows[model] += [
            row if row.head is None else replace(row, head=first + row.head) for row in part.rows
        ]

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            rows = overlap.one_each(self._rows[unit.model])
            matrices = [row for row in rows if row.head is None]
            of_experts = [row for row in matrices if row.expert is not None]
            means = [
                *overlap.means(of_experts, lambda r: (r.module,)),
                *overlap.means(matrices, lambda r: groups(r.module)),
            ]
            arrays = self._arrays[unit.model]
            artifact = Artifact(
                name="alignment_curves", arrays=arrays, model=unit.model, layer=unit.layer
            )
            yield unit, UnitResult([*rows, *means], [artifact] if arrays else [])


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The plain mean over a model's matrices, by module and by group."""
    matrices = [
        replace(row, layer=None) for result in required for row in _of_matrices(result.measurements)
    ]
    return UnitResult(overlap.means(matrices, lambda r: (r.module, *groups(r.module))))


def _of_matrices(rows: Sequence[Measurement]) -> list[Measurement]:
    """The rows of whole matrices: no heads, no groups, no means of experts beside their rows."""
    experts = {row.module for row in rows if row.expert is not None}
    return [
        row
        for row in rows
        if row.head is None
        and row.module in GROUP_OF
        and (row.expert is not None or row.module not in experts)
    ]


_EXCESS = {name: f"{name}_excess" for name in overlap.SHARES}
_SATURATED = "saturated: the top-k subspace is the whole space; or nothing changed"
_UNCHANGED = "nothing changed, or the base's matrix is zero"

METRICS = (
    MetricSpec(
        name="two_sided",
        title="two-sided alignment",
        description="‖UₖᵀΔVₖ‖/‖Δ‖: the share of the update that reads and writes along the base's "
        "top-k directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="write",
        title="write alignment",
        description="‖UₖᵀΔ‖/‖Δ‖: the share of the update that writes into the base's top-k "
        "directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="read",
        title="read alignment",
        description="‖ΔVₖ‖/‖Δ‖: the share of the update that reads from the base's top-k "
        "directions.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    *(
        MetricSpec(
            name=f"{name}_excess",
            title=f"{title} beyond chance",
            description="Energy beyond that of a random update of this shape and spectrum. 1: all "
            "inside; 0: chance; below 0: the update avoids the base's directions.",
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
        description="‖Δ‖/‖AᵀWB‖ over the update's own top directions A, B: large if it "
        "strengthens directions that the base hardly uses.",
        has_chance=True,
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="intruders",
        title="intruder dimensions",
        description="The number of the tuned matrix's leading output directions without a match "
        "in the base.",
        empty=_UNCHANGED,
    ),
    MetricSpec(
        name="rank_k",
        title="rank k",
        description="The number of directions with a share of the base matrix's energy (0.9 by "
        "default).",
        empty="a group has no rank",
    ),
)

ANALYSIS = Analysis(
    name=NAME,
    title="Alignment",
    short="Aln",
    topic="directions",
    version=VERSION,
    needs="weights",
    parameters=AlignmentParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=METRICS,
    views=(
        Heatmap(
            key="heat",
            title="Alignment by layer and module",
            short="Alignment",
            caption="Positive: the update keeps to the base's own directions more than chance; "
            "negative: it avoids them.",
            measures=(
                "two_sided", "write", "read", "new_energy", "gain", "diagonal_energy",
                "amplification", "intruders", "rank_k",
            ),
            excess=_EXCESS,
            reading="excess",
            selectors=("model",),
            drill="directions:tokens",
            finding=findings.of_alignment,
        ),
        Bars(
            key="summary",
            title="Attention against MLP",
            short="Attn/MLP",
            caption="Plain means over matrices, with their spread.",
            measures=("two_sided_excess", "write_excess", "read_excess", "gain", "new_energy"),
            panels=("attention", "mlp"),
            drill="heat",
            finding=findings.of_attention_against_mlp,
        ),
        Curves(
            key="spectrum",
            title="One matrix by rank",
            short="By rank",
            caption="The singular values of W and of each model's Δ, and the share of each Δ in "
            "the first k directions of W.",
            measures=("two_sided",),
            selectors=("layer", "module"),
            opens={"layer": 0},
            only={"module": lambda name: name in GROUP_OF},
            tabulate=spectra.of_matrix,
            drill="heads",
            finding=findings.of_spectrum,
        ),
        Heatmap(
            key="heads",
            title="Alignment by head",
            short="By head",
            caption="Rows are layers, columns heads; of k and v the heads of keys and values. The "
            "parameter heads = false leaves it empty.",
            measures=(
                "two_sided", "write", "read", "new_energy", "gain", "diagonal_energy",
                "amplification", "intruders", "rank_k",
            ),
            excess=_EXCESS,
            reading="excess",
            columns="head",
            selectors=("model", "module"),
            only={"module": lambda name: GROUP_OF.get(name) == "attention"},
            finding=findings.of_heads,
        ),
    ),
)  # fmt: skip
