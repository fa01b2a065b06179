"""Scores of tasks as rows and arrays, and back: the stored results of evaluation, ablation and
arithmetic.

Owns the form of per-item results in an artifact. Runs no task and compares nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from core.engine import forms
from core.engine.measurement import Artifact, Measurement, UnitResult
from core.statistics import comparison
from core.statistics.comparison import Form, Items

if TYPE_CHECKING:
    from core.evaluation.evaluator import Score

ITEMS = "items"
"""The name of the artifacts that hold the results of single items."""


_STATE = {"*": {"value": forms.maybe(float), "higher": forms.maybe(bool)}}
_BETTER = {True: "higher", False: "lower", None: ""}


@dataclass(frozen=True, slots=True)
class StoredScore:
    """One stored metric of one task. `higher`: is higher better? None: unknown."""

    metric: str
    value: float | None
    higher: bool | None
    items: Items | None


def rows(
    scores: Iterable[Score], *, resamples: int, seed: int, metric: str = "", **coordinates: Any
) -> list[Measurement]:
    """A row for each score with its interval over the items.

    With `metric` the rows have that metric, and `metric_of` is the harness's name of the score.
    """
    measurements = []
    for score in scores:
        low = high = None
        if score.items is not None:
            bounds = comparison.score(score.items, resamples=resamples, seed=seed)
            low, high = bounds.low, bounds.high
        measurements.append(
            Measurement(
                metric=metric or score.metric, metric_of=score.metric if metric else "",
                value=score.value, low=low, high=high, n=score.n, **coordinates,
            )
        )  # fmt: skip
    return measurements


def state(scores: Iterable[Score]) -> dict[str, Any]:
    """The metadata of scores (all but arrays), as JSON."""
    return {s.metric: {"value": s.value, "higher": s.higher_is_better} for s in scores}


def artifact(scores: Sequence[Score], *, model: str, task: str, reference: str = "") -> Artifact:
    """The results of single items."""
    arrays: dict[str, NDArray[Any]] = {}
    for score in scores:
        if score.items is not None:
            items = score.items
            arrays |= {
                f"{score.metric}|index": items.index,
                f"{score.metric}|total": items.total,
                f"{score.metric}|weight": items.weight,
                f"{score.metric}|form": np.array(items.form),
                f"{score.metric}|better": np.array(_BETTER[score.higher_is_better]),
            }
    return Artifact(name=ITEMS, arrays=arrays, model=model, reference=reference, task=task)


def by_metric(scores: Iterable[Score]) -> dict[str, StoredScore]:
    """Scores in their stored form, by metric."""
    return {s.metric: StoredScore(s.metric, s.value, s.higher_is_better, s.items) for s in scores}


def stored(result: UnitResult, task: str = "") -> dict[str, StoredScore]:
    """The stored scores of a unit, by metric; `task` selects one of several tasks.

    Raises ResultError for a damaged state.
    """
    form = {"scores": {task: _STATE} if task else _STATE}
    by_metric = forms.state(result.state, form)["scores"]
    by_metric = by_metric[task] if task else by_metric
    arrays: Mapping[str, NDArray[Any]] = next(
        (a.arrays for a in result.artifacts if a.name == ITEMS and (not task or a.task == task)), {}
    )
    return {
        metric: StoredScore(metric, entry["value"], entry["higher"], _items(arrays, metric))
        for metric, entry in by_metric.items()
    }


def _items(arrays: Mapping[str, NDArray[Any]], metric: str) -> Items | None:
    if f"{metric}|index" not in arrays:
        return None
    return Items(
        index=arrays[f"{metric}|index"],
        total=arrays[f"{metric}|total"],
        weight=arrays[f"{metric}|weight"],
        form=cast(Form, str(arrays[f"{metric}|form"])),
    )
