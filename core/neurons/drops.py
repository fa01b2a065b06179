"""The drop in a model's score when neurons are ablated, compared with random controls.

Owns these rows: scores before and after, the drop in per cent with its paired interval, the
controls as chance level, the p value, and its correction for the number of tests. Works on stored
scores; runs no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.engine.measurement import Measurement
from core.evaluation.scores import StoredScore
from core.statistics import comparison, multiplicity
from core.statistics.comparison import Estimate


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Number of bootstrap resamples, and their seed."""

    resamples: int
    seed: int


def rows(
    whole: Mapping[str, StoredScore],
    after: Mapping[str, StoredScore],
    controls: Mapping[str, Mapping[str, StoredScore]],
    setting: str,
    how: Bootstrap,
    **coordinates: Any,
) -> list[Measurement]:
    """The rows of every metric under `setting`, and the rows of its controls under their
    settings."""
    measurements = []
    for metric, before in whole.items():
        place = {"metric_of": metric, "setting": setting, **coordinates}
        random = {name: scores[metric] for name, scores in controls.items()}
        measurements += [
            _score("score", before, how, place),
            _score("ablated_score", after[metric], how, place),
            _drop_row(before, after[metric], how, place, _level(before, random, how)),
            _test(before, after[metric], list(random.values()), how, place),
        ]
        for name, control in random.items():
            there = {**place, "setting": name}
            measurements += [
                _score("ablated_score", control, how, there),
                _drop_row(before, control, how, there, (None, None)),
            ]
    return measurements


def corrected(rows: Iterable[Measurement]) -> list[Measurement]:
    """The rows of q values for the p values among these rows: by Benjamini and Hochberg, over all
    tests of a metric. `n` counts them; a row without a p value is no test."""
    tests = [row for row in rows if row.metric == "p_value"]
    result = []
    for metric in dict.fromkeys(row.metric_of for row in tests):
        same_metric = [row for row in tests if row.metric_of == metric]
        adjusted = multiplicity.adjusted([row.value for row in same_metric])
        made = sum(row.value is not None for row in same_metric)
        result += [
            replace(row, metric="q_value", value=q, n=made)
            for row, q in zip(same_metric, adjusted, strict=True)
        ]
    return result


def _drop(before: StoredScore, after: StoredScore, how: Bootstrap) -> Estimate:
    if before.higher is None:
        return Estimate(value=None)
    if before.items is None or after.items is None:  # a score such as BLEU, without an interval
        value = comparison.percent_lost(
            before.value, after.value, higher_is_better=before.higher
        )  # fmt: skip
        return Estimate(value=value)
    return comparison.drop(
        before.items, after.items, higher_is_better=before.higher, resamples=how.resamples,
        seed=how.seed,
    )  # fmt: skip


def _drop_row(
    before: StoredScore,
    after: StoredScore,
    how: Bootstrap,
    coordinates: Mapping[str, Any],
    level: tuple[float | None, float | None],
) -> Measurement:
    drop = _drop(before, after, how)
    return Measurement(
        metric="drop_percent", value=drop.value, low=drop.low, high=drop.high, n=_count(before),
        chance=level[0], chance_sd=level[1], **coordinates,
    )  # fmt: skip


def _level(
    before: StoredScore, controls: Mapping[str, StoredScore], how: Bootstrap
) -> tuple[float | None, float | None]:
    """The mean drop of the controls and its standard deviation."""
    drops = [_drop(before, control, how).value for control in controls.values()]
    known = [drop for drop in drops if drop is not None]
    if len(known) < len(drops) or len(known) < 2:
        return None, None
    return float(np.mean(known)), float(np.std(known, ddof=1))


def _test(
    before: StoredScore,
    after: StoredScore,
    controls: list[StoredScore],
    how: Bootstrap,
    coordinates: Mapping[str, Any],
) -> Measurement:
    items = [score.items for score in (before, after, *controls) if score.items is not None]
    p = None
    if before.higher is not None and len(items) == len(controls) + 2:
        p = comparison.beyond_controls(
            items[0], items[1], items[2:], higher_is_better=before.higher,
            resamples=how.resamples, seed=how.seed,
        )  # fmt: skip
    return Measurement(metric="p_value", value=p, **coordinates)


def _score(
    metric: str, score: StoredScore, how: Bootstrap, coordinates: Mapping[str, Any]
) -> Measurement:
    if score.items is None:
        return Measurement(metric=metric, value=score.value, **coordinates)
    estimate = comparison.score(score.items, resamples=how.resamples, seed=how.seed)
    return Measurement(
        metric=metric,
        value=score.value,
        low=estimate.low,
        high=estimate.high,
        n=_count(score),
        **coordinates,
    )


def _count(score: StoredScore) -> int | None:
    return None if score.items is None else len(score.items.index)
