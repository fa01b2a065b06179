"""Which analyses exist: their parameters, metrics and views. Listing them imports no torch.

An analysis is a module of `core.analyses` that holds one `Analysis` named ANALYSIS. Its computing
code lives in the same file and imports what it needs when it runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.engine.measurement import MetricSpec, Unit, UnitResult
from core.errors import StudyError, did_you_mean
from core.figures.views import View

Needs = Literal["weights", "probe", "tasks"]

_NAMES = (
    "tuning_vectors", "vector_cosine", "alignment", "activation", "edit_distance", "evaluation",
    "ablation", "arithmetic",
)  # fmt: skip


class Parameters(BaseModel):
    """Base of every analysis's parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a unit asks of a loaded model.

    `asked` are tasks and the items of each, once for every time that the task is scored; `forward`
    and `backward` are tokens of the probe set that go through the model, with a backward pass in
    the latter; `ranked` counts the items of a task on which neurons are scored; `beside` names the
    models whose weights are held in memory at the same time.
    """

    asked: tuple[tuple[str, int], ...] = ()
    forward: int = 0
    backward: int = 0
    ranked: int = 0
    beside: tuple[str, ...] = ()


def no_workload(unit: Unit, parameters: Any, subject: Any) -> Workload:
    """That of units which ask nothing of a loaded model."""
    return Workload()


def never(units: Any, *_: Any) -> Any:
    """How units are made in a way that none of an analysis's units is made."""
    raise AssertionError(units)


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A declaration: everything that views, reports and the runner need to know of an analysis.

    `plan(subject, parameters)` lists its units; it may refer to those of the analyses `after`
    which it is planned. How they are computed depends on what it needs. Over weights,
    `compute(units, parameters)` gives the reader that makes those units of one slice. Over a
    loaded model, `compute(units, parameters, session)` yields each of those units with its result.
    `reduce(unit, required)` makes the result of a unit that has requirements alone out of theirs.
    `workload(unit, parameters, subject)` says beforehand what a unit asks of a loaded model.
    `short` is the title in three letters, for a tab that has no room for the whole.
    """

    name: str
    title: str
    short: str
    version: int
    needs: Needs
    parameters: type[Parameters]
    metrics: tuple[MetricSpec, ...]
    views: tuple[View, ...]
    plan: Callable[..., list[Unit]]
    compute: Callable[..., Any] = never
    reduce: Callable[[Unit, list[UnitResult]], UnitResult] = never
    after: tuple[str, ...] = ()
    workload: Callable[..., Workload] = no_workload

    def metric(self, name: str) -> MetricSpec:
        """The declaration of the metric called `name`; a bare one for a name that a run alone
        knows, as the harness names its metrics."""
        bare = MetricSpec(name=name, title=name, description="")
        return next((m for m in self.metrics if m.name == name), bare)


def names() -> tuple[str, ...]:
    """The names of all analyses, in the order in which they run and are shown."""
    return _NAMES


@cache
def get(name: str) -> Analysis:
    """The declaration of the analysis called `name`. Raises StudyError with the nearest name."""
    if name not in _NAMES:
        raise StudyError(f"There is no analysis '{name}'.", hint=did_you_mean(name, _NAMES))
    analysis: Analysis = importlib.import_module(f"core.analyses.{name}").ANALYSIS
    return analysis
