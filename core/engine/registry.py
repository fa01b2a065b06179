"""The analyses: their parameters, metrics and views. Listing them imports no torch.

An analysis is a module of `core.analyses` with one `Analysis` named ANALYSIS. Its computing code is
in the same file and imports its dependencies when it runs.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.engine.measurement import MetricSpec, Unit, UnitResult
from core.errors import StudyError, did_you_mean
from core.figures.kinds.groups import OF_GROUPS
from core.figures.kinds.steps import BY_STEP
from core.figures.views import View

Needs = Literal["weights", "series", "probe", "texts", "tasks"]
"""`series`: the weights of a series of checkpoints. `probe`: the study's first probe
set. `texts`: all its probe sets; for a study without one, the built-in general set."""
OF_WEIGHTS: frozenset[Needs] = frozenset(("weights", "series"))
"""The needs that no loaded model is needed for."""

Topic = Literal["weights", "directions", "outputs", "states", "neurons", "scores", "mixing"]
TOPICS: Mapping[str, tuple[str, str]] = {
    "weights": ("Weights", "Wts"),
    "directions": ("Directions", "Dir"),
    "outputs": ("Outputs", "Out"),
    "states": ("States", "Sta"),
    "neurons": ("Neurons", "Neu"),
    "scores": ("Scores", "Sco"),
    "mixing": ("Mixing", "Mix"),
}
"""The title and the title in three letters of each topic. Analyses of a topic lie under one tab."""

_NAMES = (
    "tuning_vectors", "vector_cosine", "trajectory", "interference", "alignment", "directions",
    "direction_places", "spectral_regime", "divergence", "token_shift", "representation",
    "activation_difference", "activation", "edit_distance", "evaluation", "forgetting", "ablation",
    "arithmetic", "graft",
)  # fmt: skip


_SHARED: tuple[View, ...] = (BY_STEP, *OF_GROUPS)
"""Views of every analysis, where a run has something to show in them."""


class Parameters(BaseModel):
    """Base class of every analysis's parameters: frozen, refuses unknown keys and numbers that
    are not finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The work of a unit on a loaded model.

    `asked`: a task and its number of items, once for every scoring; `forward` and `backward`:
    tokens of the probe set in forward passes, and in forward and backward passes; `ranked`: the
    items of a task for scoring neurons; `beside`: further models with weights in memory at the same
    time; `stored`: bytes of states that it stores.
    """

    asked: tuple[tuple[str, int], ...] = ()
    forward: int = 0
    backward: int = 0
    ranked: int = 0
    beside: tuple[str, ...] = ()
    stored: int = 0


def no_workload(unit: Unit, parameters: Any, subject: Any) -> Workload:
    """The workload of units without a loaded model."""
    return Workload()


def shared_pass(unit: Unit, parameters: Any, subject: Any) -> Workload:
    """The share of a unit in the forward pass that the readers of its model have in common.

    A unit that only combines results has none.
    """
    if not unit.loads:
        return Workload()
    sharing = sum(get(name).reader is not None for name in subject.planned)
    ids = subject.probes[unit.options["probe"]].ids[: unit.options["documents"]]
    return Workload(forward=sum(map(len, ids)) // sharing)


def none_further(units: Sequence[Unit], subject: Any) -> dict[str, int]:
    """The bytes of analyses that read no weights beside the pass."""
    return {}


def never(units: Any, *_: Any) -> Any:
    """Default for an operation that an analysis does not support: raises."""
    raise AssertionError(units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The declaration of an analysis for views, reports and the runner.

    `plan(subject, parameters)` lists its units; it may refer to the units of the analyses in
    `after`, which are planned before it. For weights, `compute(units, parameters)` returns the
    reader of these units of one slice. For a loaded model, `compute(units, parameters, session)`
    yields each of these units with its result. An analysis of states has `reader(units, parameters,
    session)` instead: the reader of these units, of one probe set, in the forward pass that all
    such analyses share (see `core.states.forward`). Such a unit has the `options` of the
    unit of `representation` for its probe set: its name as `probe`, the number of its first
    `documents` to read, and as `stored` the key of the unit that stores the base's states on them.
    `reduce(unit, required)` computes a unit that has only requirements, from their results.
    `workload(unit, parameters, subject)` estimates a unit's work on a loaded model;
    `further(units, subject)` the bytes of each model that units read beside the pass over the
    weights. `prepares`: each call of `compute` first prepares the model at some cost, so several
    units are given to a process at once. `short` is the title in three letters, for a tab that has
    no room for the whole.
    """

    name: str
    title: str
    short: str
    topic: Topic
    version: int
    needs: Needs
    parameters: type[Parameters]
    metrics: tuple[MetricSpec, ...]
    views: tuple[View, ...]
    plan: Callable[..., list[Unit]]
    compute: Callable[..., Any] = never
    reader: Callable[..., Any] | None = None
    reduce: Callable[[Unit, list[UnitResult]], UnitResult] = never
    prepares: bool = False
    after: tuple[str, ...] = ()
    workload: Callable[..., Workload] = no_workload
    further: Callable[[Sequence[Unit], Any], dict[str, int]] = none_further

    def metric(self, name: str) -> MetricSpec:
        """The declaration of the metric `name`; a bare one for a name that only a run knows, such
        as a harness metric."""
        bare = MetricSpec(name=name, title=name, description="", better="metric")
        return next((m for m in self.metrics if m.name == name), bare)


def names() -> tuple[str, ...]:
    """The names of all analyses, in the order of running and display."""
    return _NAMES


@cache
def get(name: str) -> Analysis:
    """The declaration of the analysis `name`. Raises StudyError with the nearest name."""
    if name not in _NAMES:
        raise StudyError(f"There is no analysis '{name}'.", hint=did_you_mean(name, _NAMES))
    analysis: Analysis = importlib.import_module(f"core.analyses.{name}").ANALYSIS
    declared = tuple(metric.name for metric in analysis.metrics)
    words = {pair for view in analysis.views for pair in view.names.items()}
    often = Counter(name for name, _ in words)
    agreed = {name: word for name, word in words if often[name] == 1}
    shared = (replace(v, declared=declared, names={**v.names, **agreed}) for v in _SHARED)
    return replace(analysis, views=(*analysis.views, *shared))
