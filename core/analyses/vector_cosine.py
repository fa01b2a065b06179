"""Cosines between the tuning vectors of two models: method, section 3.

Owns the cosine between tuning vectors, relative to the base and, for a model with a tuned parent,
relative to its parent. Never imports torch: it works on moments.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from core.engine.forms import amount, count, number
from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult
from core.engine.registry import Analysis, Parameters
from core.figures import findings
from core.figures.kinds.grids import Matrix
from core.figures.kinds.steps import StepCosines, told_cosines
from core.weights.reader import SliceReader
from core.weights.totals import Sums, of_layer, of_model, slice_state, sliced

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.models.family import Family
    from core.weights.views import ModuleMoments

NAME, VERSION = "vector_cosine", 1
VS_PARENT = "vs-parent"


class CosineParameters(Parameters):
    """No parameters: everything follows from the family."""


def plan(subject: Subject, parameters: CosineParameters) -> list[Unit]:
    """A unit for each pair of models and slice, and one that sums a pair's slices.

    A pair with a tuned parent in it has a second set, relative to the parents.
    """
    family, units = subject.family, []
    for model, reference in combinations(family.tuned, 2):
        units += _units(family, parameters, model, reference)
        if family.parent(model) or family.parent(reference):
            units += _units(family, parameters, model, reference, VS_PARENT)
    return units


def _units(
    family: Family, parameters: CosineParameters, model: str, reference: str, setting: str = ""
) -> list[Unit]:
    label, lineage, names = f"cosine of {model} and {reference}", {}, [model, reference]
    if setting:
        label = f"{label}, from their parents"
        lineage = {name: family.parent(name) for name in names}
        names += [parent for parent in lineage.values() if parent]
    key = functools.partial(
        family.key, NAME, VERSION, parameters, names, setting=setting, lineage=lineage
    )
    template = Unit(
        key="", analysis=NAME, label=label, model=model, reference=reference, setting=setting,
        reads=tuple(names),
    )  # fmt: skip
    return sliced(template, key, family.layers)


def compute(units: Sequence[Unit], parameters: CosineParameters) -> _Reader:
    """The reader that makes these units of one slice."""
    return _Reader(units)


class _Reader(SliceReader):
    name = NAME

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.moments_of = tuple(dict.fromkeys(name for u in units for name in u.reads))
        self._modules: dict[str, ModuleMoments] = {}

    def see_module(self, module: ModuleMoments) -> None:
        self._modules[module.module] = module

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            sums = {module: _sums(seen, unit) for module, seen in self._modules.items()}
            result = UnitResult(state=slice_state(unit.layer, sums))
            if unit.layer is not None:
                for module, total in of_layer(sums, _add).items():
                    result.measurements += _rows(unit, module, total)
            yield unit, result


def _sums(seen: ModuleMoments, unit: Unit) -> Sums:
    a, b = (seen.total.row(_row_name(seen, name, unit)) for name in (unit.model, unit.reference))
    gram = seen.total.gram
    a2, b2 = float(gram[a, a]), float(gram[b, b])
    # Parameters unchanged in one of the two models can't agree by chance: they don't count.
    size = seen.total.size if a2 and b2 else 0
    return {"size": size, "dot": float(gram[a, b]), "a2": a2, "b2": b2}


def _row_name(seen: ModuleMoments, name: str, unit: Unit) -> str:
    """The row of the moments: the vector from the parent if the setting says so and it differs."""
    relative = next((r for r in seen.total.models if r.startswith(f"{name}|")), name)
    return relative if unit.setting == VS_PARENT else name


_SUMS = {"size": count, "a2": amount, "b2": amount, "dot": number}


def _add(a: Sums, b: Sums) -> Sums:
    return {k: a[k] + b[k] for k in _SUMS}


def _rows(unit: Unit, module: str, s: Sums) -> list[Measurement]:
    norms = math.sqrt(s["a2"] * s["b2"])
    value = s["dot"] / norms if norms else None
    return [
        Measurement(
            metric="cosine", value=value, model=model, reference=reference, layer=unit.layer,
            module=module, setting=unit.setting, n=s["size"], chance=0.0,
            chance_sd=1 / math.sqrt(s["size"]) if s["size"] else None,
        )
        for model, reference in ((unit.model, unit.reference), (unit.reference, unit.model))
    ]  # fmt: skip


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """A pair's modules over all slices, and its groups."""
    totals = of_model((r.state for r in required), _SUMS, _add)
    measurements = [row for module, total in totals.items() for row in _rows(unit, module, total)]
    return UnitResult(measurements)


ANALYSIS = Analysis(
    name=NAME,
    title="Cosine",
    short="Cos",
    topic="weights",
    version=VERSION,
    needs="weights",
    parameters=CosineParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    metrics=(
        MetricSpec(
            name="cosine",
            title="cosine of tuning vectors",
            description="1: the tunings point the same way; 0: they are unrelated; -1: opposite. "
            "Chance is the spread of unrelated vectors of that length. It is nominal: tuned "
            "parameters are not independent. The cosines of a control are the better yardstick.",
            has_chance=True,
            nominal_chance=True,
            signed=True,
            empty="one of the two did not change here",
        ),
    ),
    views=(
        Matrix(
            key="matrix",
            title="Cosine of tuning vectors",
            short="Cosine",
            caption="Every pair of tuned models; the diagonal is left empty.",
            measures=("cosine",),
            selectors=("layer", "module"),
            opens={"module": "all"},
            finding=findings.of_cosines,
        ),
        Matrix(
            key="parents",
            title="Cosine, each from its parent",
            short="From parents",
            caption="Each vector relative to the model's parent; only pairs with a tuned parent.",
            measures=("cosine",),
            selectors=("layer", "module"),
            opens={"module": "all"},
            fixed={"setting": VS_PARENT},
            optional=True,
            missing="no tuned parent: the same as from the base",
            finding=findings.of_cosines,
        ),
        StepCosines(
            key="path",
            title="Path of a series",
            caption="Does each step point where training ends, and where the step before pointed? "
            "Vectors are from the model's parent, where it has one.",
            measures=("cosine",),
            selectors=("layer", "module"),
            opens={"module": "all"},
            free=("setting",),
            optional=True,
            finding=told_cosines,
        ),
    ),
)
