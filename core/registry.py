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

from core.errors import StudyError, did_you_mean
from core.measurement import MetricSpec, Unit, UnitResult
from core.views import View

Needs = Literal["weights", "probe", "tasks"]

_NAMES = ("tuning_vectors", "vector_cosine", "alignment")


class Parameters(BaseModel):
    """Base of every analysis's parameters: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """A declaration: everything that views, reports and the runner need to know of an analysis.

    `plan(family, parameters)` lists its units; `compute(units, parameters)` gives the reader that
    makes those units of one slice of the weights; `reduce(unit, required)` makes the result of a
    unit with requirements out of theirs.
    """

    name: str
    title: str
    version: int
    needs: Needs
    parameters: type[Parameters]
    metrics: tuple[MetricSpec, ...]
    views: tuple[View, ...]
    plan: Callable[..., list[Unit]]
    compute: Callable[..., Any]
    reduce: Callable[[Unit, list[UnitResult]], UnitResult]

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
