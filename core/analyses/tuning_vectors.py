"""The size and the spread of the change in each module: method, section 3.

Owns the metrics of a single tuning vector. Imports torch only when it computes.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.forms import amount, count, maybe, number
from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters
from core.figures import findings, spectra
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Heatmap
from core.models.naming import GROUP_OF
from core.statistics import chance
from core.weights.reader import SliceReader
from core.weights.totals import Sums, of_each_model, of_layer, of_model, slice_state

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.weights.moments import Moments
    from core.weights.views import MatrixView, ModuleMoments, Pending, UpdateView

NAME, VERSION = "tuning_vectors", 1
ROUNDING_DOMINATED = 0.1
"""Largest rounding share of ‖Δ‖² that is quoted."""


_SPECTRUM = "singular values"


class TuningVectorParameters(Parameters):
    """Measures of each vector besides its size."""

    ranks: bool = Field(
        default=True, description="Also stable and effective ranks (need each spectrum)."
    )


def plan(subject: Subject, parameters: TuningVectorParameters) -> list[Unit]:
    """A unit for each model and slice, and one that sums a model's slices."""
    family = subject.family
    return of_each_model(family, NAME, VERSION, parameters, "tuning vector", family.layers)


def compute(units: Sequence[Unit], parameters: TuningVectorParameters) -> _Reader:
    """The reader that makes these units of one slice."""
    return _Reader(units, parameters)


class _Reader(SliceReader):
    name = NAME

    def __init__(self, units: Sequence[Unit], parameters: TuningVectorParameters) -> None:
        self.units = units
        self.moments_of = tuple(u.model for u in units)
        self.updates_of = self.moments_of if parameters.ranks else ()
        self._modules: dict[str, ModuleMoments] = {}
        self._spectra: dict[tuple[str, str], list[UnitPart]] = {}

    def see_module(self, module: ModuleMoments) -> None:
        self._modules[module.module] = module

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        from core.models.transfers import down

        spectrum = None if update.is_zero else update.spectrum
        levels = {
            "stable_rank": chance.stable_rank(*matrix.shape),
            "effective_rank": chance.effective_rank(*matrix.shape),
        }
        ranks, singular, changed = {}, None, update.changed
        if spectrum is not None:
            ranks = {name: down(getattr(spectrum, name)()) for name in levels}
            singular = down(spectrum.energy[0].sqrt().float())

        def part() -> UnitPart:
            known = singular is not None and bool(changed)
            rows = [
                Measurement(
                    metric=name, chance=level, model=update.model, layer=matrix.piece.layer,
                    module=matrix.piece.module, value=float(ranks[name][0]) if known else None,
                )
                for name, level in levels.items()
            ]  # fmt: skip
            if singular is None or not known:
                return UnitPart(rows)
            return UnitPart(rows, {_SPECTRUM: singular.numpy()})

        return part

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        self._spectra.setdefault((model, piece.module), []).append(part)

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            yield unit, self._result(unit)

    def _result(self, unit: Unit) -> UnitResult:
        by_module = {name: seen.of(unit.model) for name, seen in self._modules.items()}
        sums = {
            name: _sums(each, unit.model) for name, each in by_module.items() if each is not None
        }
        result = UnitResult(state=slice_state(unit.layer, sums))
        if unit.layer is not None:
            for module, total in of_layer(sums, _add).items():
                result.measurements += _rows(unit.model, unit.layer, module, total)
            result.measurements += self._ranks(unit)
        result.artifacts.append(self._tensors(unit))
        spectra = self._spectrum_arrays(unit)
        if spectra:
            result.artifacts.append(
                Artifact(name="update_spectra", arrays=spectra, model=unit.model, layer=unit.layer)
            )
        return result

    def _ranks(self, unit: Unit) -> list[Measurement]:
        return [
            row
            for (model, _), parts in self._spectra.items()
            if model == unit.model
            and len(parts) == 1  # otherwise experts: a rank belongs to one matrix
            for row in parts[0].rows
        ]

    def _spectrum_arrays(self, unit: Unit) -> dict[str, Any]:
        """Singular values of each matrix's update, by module (and expert's place)."""
        return {
            module if len(parts) == 1 else f"{module}.{i}": part.arrays[_SPECTRUM]
            for (model, module), parts in self._spectra.items()
            if model == unit.model
            for i, part in enumerate(parts)
            if _SPECTRUM in part.arrays
        }

    def _tensors(self, unit: Unit) -> Artifact:
        """Each stored tensor's piece, for modules that sum several."""
        pieces = [
            (module, piece, _sums(moments, unit.model))
            for module, seen in self._modules.items()
            for piece, moments in seen.pieces
            if (unit.model, piece.tensor) not in seen.lacking
        ]
        arrays = {
            "tensor": np.array([p.tensor for _, p, _ in pieces], dtype=np.str_),
            "module": np.array([m for m, _, _ in pieces], dtype=np.str_),
            "expert": np.array([-1 if p.expert is None else p.expert for _, p, _ in pieces]),
            "size": np.array([s["size"] for _, _, s in pieces]),
            "norm": np.sqrt([s["delta2"] for _, _, s in pieces]),
            "base_norm": np.sqrt([s["base2"] for _, _, s in pieces]),
            "changed": np.array([s["changed"] for _, _, s in pieces]),
            "largest_change": np.array([s["largest"] for _, _, s in pieces]),
        }
        return Artifact(name="tensors", arrays=arrays, model=unit.model, layer=unit.layer)


def _sums(moments: Moments, model: str) -> Sums:
    """One model's part of the moments, as JSON; all numbers add up, except `largest` (maximum)."""
    row = moments.row(model)
    rounding = float(moments.rounding[row - 1])
    return {
        "size": moments.size,
        "base2": float(moments.gram[0, 0]),
        "delta2": float(moments.gram[row, row]),
        "dot": float(moments.gram[0, row]),
        "changed": int(moments.changed[row - 1]),
        "largest": float(moments.largest[row - 1]),
        "rounding": None if math.isnan(rounding) else rounding,
        "quantisation": float(moments.quantisation[row - 1]),
    }


_SUMS = {
    **dict.fromkeys(("size", "changed"), count),
    **dict.fromkeys(("base2", "delta2", "largest"), amount),
    "dot": number,
    "rounding": maybe(amount),
    "*": amount,
}


def _add(a: Sums, b: Sums) -> Sums:
    total: Sums = {k: a[k] + b[k] for k in ("size", "base2", "delta2", "dot", "changed")}
    total["largest"] = max(a["largest"], b["largest"])
    total["quantisation"] = _quantisation(a) + _quantisation(b)
    either = None in (a["rounding"], b["rounding"])
    total["rounding"] = None if either else a["rounding"] + b["rounding"]
    return total


def _rows(model: str, layer: int | None, module: str, s: Sums) -> list[Measurement]:
    """The measurements of one module or group."""
    norm, base = math.sqrt(s["delta2"]), math.sqrt(s["base2"])
    values: dict[str, float | None] = {
        "norm": norm,
        "relative_norm": norm / base if base else None,
        "base_cosine": s["dot"] / (norm * base) if norm and base else None,
        "changed_share": s["changed"] / s["size"],
        "largest_change": s["largest"],
        "rounding_share": None,
    }
    extra: dict[str, dict[str, Any]] = {
        "base_cosine": {"chance": 0.0, "chance_sd": 1 / math.sqrt(s["size"])}
    }
    if norm and s["rounding"] is not None:
        share = s["rounding"] / s["delta2"]
        if share < ROUNDING_DOMINATED:
            values["rounding_share"] = share
        else:
            extra["rounding_share"] = {"low": ROUNDING_DOMINATED}
    return [
        Measurement(
            metric=metric, value=value, model=model, layer=layer, module=module, n=s["size"],
            **extra.get(metric, {}),
        )
        for metric, value in values.items()
    ]  # fmt: skip


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """A model's modules over all slices, its groups, and the doubts about the whole."""
    totals = of_model((r.state for r in required), _SUMS, _add)
    result = UnitResult(warnings=[(unit.model, words) for words in _doubts(totals)])
    for module, total in totals.items():
        result.measurements += _rows(unit.model, None, module, total)
    return result


def _doubts(totals: dict[str, Sums]) -> list[str]:
    # Without the norms: their weights are near 1 in any model and would make all models similar.
    matrices = [totals[group] for group in ("attention", "mlp") if group in totals]
    notes = _strangeness(functools.reduce(_add, matrices)) if matrices else []
    rounding, quantisation = totals["all"]["rounding"], _quantisation(totals["all"])
    delta2 = totals["all"]["delta2"]
    if quantisation and delta2:
        share = min(quantisation / delta2, 1.0)
        notes.append(
            f"about {share:.2g} of ‖Δ‖² is quantisation error (of its own weights or the base's), "
            "not tuning."
        )
    if rounding and delta2 and rounding - quantisation >= ROUNDING_DOMINATED * delta2:
        changed = totals["all"]["changed"] / totals["all"]["size"]
        notes.append(
            "its tuning vector is dominated by rounding to the checkpoint's dtype "
            f"({changed:.0%} of the weights changed): read its directions with care."
        )
    return notes


def _quantisation(of: Sums) -> float:
    """The energy of quantisation in a sum; sums of earlier versions have none."""
    return float(of.get("quantisation", 0.0))


def _strangeness(sums: Sums) -> list[str]:
    """The doubts about a model with matrices equal to the base's, or unlike them."""
    tuned2 = sums["base2"] + 2 * sums["dot"] + sums["delta2"]
    if sums["delta2"] == 0:
        return ["has the base's weights in all its layers: its tuning vector is zero there."]
    if sums["base2"] and tuned2 > 0:
        cosine = (sums["base2"] + sums["dot"]) / math.sqrt(sums["base2"] * tuned2)
        if cosine < 0.5:
            words = f"hardly resembles the base (cosine of their weights {cosine:.2f}): "
            return [words + "is it tuned from this base?"]
    return []


ANALYSIS = Analysis(
    name=NAME,
    title="Vectors",
    short="Vec",
    topic="weights",
    version=VERSION,
    needs="weights",
    parameters=TuningVectorParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=(
        MetricSpec(
            name="relative_norm",
            title="relative norm ‖Δ‖/‖W‖",
            description="The size of the change relative to the base's weights.",
            empty="the base's weights are all zero",
        ),
        MetricSpec(
            name="norm",
            title="norm ‖Δ‖",
            description="Frobenius norm of the change.",
        ),
        MetricSpec(
            name="base_cosine",
            title="cosine of Δ with W",
            description="Above 0 the tuning scales the base's weights up, below 0 down. The spread "
            "of chance is nominal: tuned parameters are not independent.",
            has_chance=True,
            nominal_chance=True,
            signed=True,
            empty="nothing changed, or the base's weights are all zero",
        ),
        MetricSpec(
            name="changed_share",
            title="share of weights changed",
            description="Share of elements whose stored value differs from the base's.",
        ),
        MetricSpec(
            name="largest_change",
            title="largest |Δ|",
            description="The largest change of a single weight.",
        ),
        MetricSpec(
            name="stable_rank",
            title="stable rank of Δ",
            description="‖Δ‖² over its largest singular value squared; chance: a Gaussian change "
            "of that shape.",
            has_chance=True,
            empty="nothing changed, or several matrices",
        ),
        MetricSpec(
            name="effective_rank",
            title="effective rank of Δ",
            description="exp of the entropy of the singular energies; chance: a Gaussian change "
            "of that shape.",
            has_chance=True,
            empty="nothing changed, or several matrices",
        ),
        MetricSpec(
            name="rounding_share",
            title="share of ‖Δ‖² that is rounding",
            description="Estimated energy of rounding to the checkpoint's dtype, and to the grid "
            "of quantised weights; given only below 0.1, above it the change is dominated by "
            "rounding.",
            empty="dominated by rounding (above 0.1), nothing changed, or an adapter",
        ),
    ),
    views=(
        Curves(
            key="curves",
            title="Size by layer",
            caption="One line per model; attention and MLP in separate panels.",
            measures=(
                "relative_norm", "norm", "base_cosine", "changed_share", "largest_change",
                "rounding_share",
            ),
            panels=("attention", "mlp"),
            drill="matrices",
            finding=findings.of_sizes,
        ),
        Heatmap(
            key="modules",
            title="Size by layer and module",
            short="By module",
            caption="Rows are layers, columns modules and groups.",
            measures=(
                "relative_norm", "stable_rank", "effective_rank", "changed_share", "base_cosine",
                "rounding_share",
            ),
            selectors=("model",),
            drill="spectrum",
            finding=findings.of_largest,
        ),
        Curves(
            key="matrices",
            title="Size by layer, matrix by matrix",
            short="By matrix",
            caption="One line per model; a panel for each kind of matrix, on one scale.",
            measures=(
                "relative_norm", "norm", "stable_rank", "effective_rank", "changed_share",
                "base_cosine", "rounding_share",
            ),
            panels=tuple(GROUP_OF),
            drill="spectrum",
            finding=findings.of_sizes,
        ),
        Curves(
            key="spectrum",
            title="One update by rank",
            short="By rank",
            caption="The singular values of each model's Δ and of W, and the share of their energy "
            "in the first k.",
            measures=("stable_rank",),
            selectors=("layer", "module"),
            opens={"layer": 0},
            only={"module": lambda name: name in GROUP_OF},
            tabulate=spectra.of_update,
            drill="alignment:spectrum",
            finding=findings.of_spectrum,
        ),
    ),
)  # fmt: skip
