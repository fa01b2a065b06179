"""The path of a series of checkpoints: its principal components, turns and straightness.

Owns the path's Gram matrix, made of the norms of `tuning_vectors` and the cosines of
`vector_cosine`. Reads no weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult, content_key
from core.engine.registry import Analysis, Parameters
from core.figures import paths as findings
from core.figures.kinds.curves import Curves
from core.figures.kinds.scatters import ScatterPlot
from core.figures.kinds.steps import StepCurves
from core.models import steps
from core.statistics import paths

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.statistics.paths import Array

NAME, VERSION = "trajectory", 2
NORMS, COSINES = "tuning_vectors", "vector_cosine"
BASE = "base"
MODULES = ("attention", "mlp", "all")
SHOWN, SHARES = 3, 10
"""Components with positions, and the most components with shares."""


class TrajectoryParameters(Parameters):
    """No parameters: everything follows from the series."""


def plan(subject: Subject, parameters: TrajectoryParameters) -> list[Unit]:
    """A unit for each series of at least three checkpoints; its path starts at its parent."""
    family, units = subject.family, []
    norms = {u.model: u.key for u in subject.planned[NORMS] if u.layer is None and u.requires}
    cosines = {
        frozenset((u.model, u.reference)): u.key
        for u in subject.planned[COSINES]
        if u.layer is None and u.requires and not u.setting
    }
    for series, members in steps.series_in(family.tuned).items():
        if len(members) < 3:
            continue
        names = [member.name for member in members]
        start = family.parent(names[0]) or BASE
        tuned = [name for name in (start, *names) if name != BASE]
        required = [norms[name] for name in tuned]
        required += [key for pair, key in cosines.items() if pair <= set(tuned)]
        identity = {"analysis": [NAME, VERSION], "of": [start, *names], "requires": required}
        units.append(
            Unit(
                key=content_key(identity), analysis=NAME, label=f"path of {series}",
                model=names[-1], requires=tuple(required),
                options={"series": series, "points": [start, *names]},
            )
        )  # fmt: skip
    return units


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The path of one series, by group of modules."""
    names, result = unit.options["points"], UnitResult()
    rows = [row for each in required for row in each.measurements]
    for module in MODULES:
        here = [row for row in rows if row.module == module and not row.setting]
        gram, size = _gram(names, here)
        if size:
            coordinates = {"module": module, "setting": unit.options["series"]}
            result.measurements += [
                *_components(names, gram, coordinates),
                *_moves(names, gram, size, module),
                *_turns(names, gram, _changed(here) or size, module),
            ]
    return result


def _changed(rows: Sequence[Measurement]) -> int:
    """The most parameters that two of the models both changed."""
    return max((row.n or 0 for row in rows if row.metric == "cosine"), default=0)


def _gram(names: Sequence[str], rows: Sequence[Measurement]) -> tuple[Array, int]:
    """The inner products [models, models] of the tuning vectors, and their number of parameters.
    The base's vector is zero."""
    norms = {row.model: row for row in rows if row.metric == "norm" and row.layer is None}
    cosines = {
        (row.model, row.reference): row.value or 0.0
        for row in rows
        if row.metric == "cosine" and row.layer is None
    }
    lengths = np.array([norms[n].value if n in norms else 0.0 for n in names], dtype=np.float64)
    alike = [[1.0 if a == b else cosines.get((a, b), 0.0) for b in names] for a in names]
    sizes = [row.n or 0 for name, row in norms.items() if name in names]
    return np.outer(lengths, lengths) * np.array(alike), max(sizes, default=0)


def _components(
    names: Sequence[str], gram: Array, coordinates: dict[str, Any]
) -> Iterator[Measurement]:
    components, chance = paths.components(gram), paths.components(paths.walk(gram))
    for k in range(min(SHARES, len(names) - 1)):
        of = f"PC{k + 1}"
        yield Measurement(
            metric="explained_share", metric_of=of, n=len(names),
            value=None if components is None else float(components.shares[k]),
            chance=None if chance is None else float(chance.shares[k]), **coordinates,
        )  # fmt: skip
        if components is None or k >= SHOWN:
            continue
        for name, place in zip(names, components.positions[:, k], strict=True):
            yield Measurement(
                metric="position", metric_of=of, model=name, value=float(place), **coordinates
            )


def _moves(names: Sequence[str], gram: Array, size: int, module: str) -> Iterator[Measurement]:
    """The moves to each checkpoint; `size` is the number of parameters."""
    lengths = np.sqrt(paths.squared_moves(gram))
    straight = zip(paths.straightness(gram), paths.straightness_of_walk(gram), strict=True)
    for name, length, path, (straightness, chance) in zip(
        names[1:], lengths, lengths.cumsum(), straight, strict=True
    ):
        coordinates: dict[str, Any] = {"model": name, "module": module, "n": size}
        yield Measurement(metric="move", value=float(length), **coordinates)
        yield Measurement(metric="path_length", value=float(path), **coordinates)
        yield Measurement(
            metric="straightness",
            value=_defined(straightness),
            chance=_defined(chance),
            **coordinates,
        )


def _turns(names: Sequence[str], gram: Array, size: int, module: str) -> Iterator[Measurement]:
    """The turns at each checkpoint but the last; `size` is the number of changed parameters."""
    for name, cosine in zip(names[1:-1], paths.turns(gram), strict=True):
        yield Measurement(
            metric="turning_cosine", value=_defined(cosine), chance=0.0,
            chance_sd=1 / math.sqrt(size), model=name, module=module, n=size,
        )  # fmt: skip


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


_STILL = "the checkpoint moved by no more than rounding"

ANALYSIS = Analysis(
    name=NAME,
    title="Trajectory",
    short="Trj",
    topic="weights",
    version=VERSION,
    needs="series",
    parameters=TrajectoryParameters,
    plan=plan,
    reduce=reduce,
    after=(NORMS, COSINES),
    metrics=(
        MetricSpec(
            name="position",
            title="position on the path",
            description="Where a checkpoint lies along a principal component of the path, from the "
            "mean of its points, in the unit of the norm. The sign is arbitrary: the last "
            "checkpoint's is never negative.",
            signed=True,
        ),
        MetricSpec(
            name="explained_share",
            title="share of the path's variance",
            description="Along each principal component; chance: a random walk with moves of the "
            "same lengths.",
            has_chance=True,
            empty="no checkpoint moved",
        ),
        MetricSpec(
            name="turning_cosine",
            title="cosine of successive moves",
            description="Between the moves to a checkpoint and away from it. 1: straight on; 0: "
            "independent moves; below 0: it turns back. The spread of chance is nominal: tuned "
            "parameters are not independent.",
            has_chance=True,
            nominal_chance=True,
            signed=True,
            empty=_STILL,
        ),
        MetricSpec(
            name="straightness",
            title="straightness",
            description="The distance from the start over the length of the path so far: 1 is a "
            "straight line; chance: a random walk with moves of the same lengths.",
            has_chance=True,
            empty=_STILL,
        ),
        MetricSpec(
            name="move",
            title="length of the move",
            description="From the checkpoint before, or from the start to the first one.",
        ),
        MetricSpec(
            name="path_length",
            title="length of the path",
            description="The sum of the lengths of all moves up to the checkpoint.",
        ),
    ),
    views=(
        ScatterPlot(
            key="path",
            title="Path by principal components",
            short="Path",
            caption="Each checkpoint and the start on two principal components of the path. A "
            "random walk draws smooth arcs too.",
            measures=("position",),
            selectors=("setting", "module"),
            opens={"module": "all"},
            points="model",
            across="metric_of",
            names={"setting": "series", "metric_of": "component"},
            x_guides=(0.0,),
            y_guides=(0.0,),
            finding=findings.of_path,
        ),
        Curves(
            key="shares",
            title="Path against a random walk",
            short="Components",
            caption="The share of the path's variance along each principal component, with that "
            "of a random walk whose moves have the same lengths.",
            measures=("explained_share",),
            selectors=("module",),
            opens={"module": "all"},
            x="metric_of",
            series="setting",
            names={"setting": "series", "metric_of": "component"},
            with_chance=True,
            chance_name="random walk",
            finding=findings.of_shares,
        ),
        StepCurves(
            key="turns",
            title="Turns and straightness",
            short="Turns",
            caption="Does each move go on in the direction of the one before, and how direct is "
            "the path?",
            measures=("turning_cosine", "straightness", "move", "path_length"),
            selectors=("module",),
            opens={"module": "all"},
            with_chance=True,
            chance_name="random walk",
            finding=findings.of_turns,
        ),
    ),
)
