"""Comparison of scores with chance and with one another, on the same items.

Owns the intervals and tests of evaluation: the bootstrap over items, paired differences and drops,
and McNemar's test. Works on arrays of per-item results. Knows no task, no model and no harness.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from core.statistics import intervals
from core.statistics.signs import sign_test

VERSION = 3
"""The version of stored intervals and p values, for their units' keys: since 2, intervals fit few
items, and p values have a lower bound; since 3, intervals end where scores do."""

Form = Literal["mean", "perplexity", "bits_per_byte"]
"""The form of a score in r = Σ total / Σ weight: r itself, exp(−r), or −r / ln 2."""

Floats = NDArray[np.float64]

FEW = 8
"""Below so many items intervals are Student's: draws lie within the items' range, which holds the
mean of no more than 1 − 2^(1 − n) of symmetric samples."""

_AT_ONCE = 1 << 20
"""Drawn items in memory at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """Each item's contribution to a score, so that the score of any subset can be computed.

    `index` (n,): the documents of the task, ascending; `total` (n,) and `weight` (n,): their
    contributions to numerator and denominator: the value and 1 for a mean, the log-likelihood in
    nats and the bytes or words of a text for bits per byte or perplexity.
    """

    index: NDArray[np.int64]
    total: Floats
    weight: Floats
    form: Form = "mean"

    def value(self) -> float | None:
        """The score over all items; None if it is undefined."""
        return _finite(_score(self.total.sum(), self.weight.sum(), self.form))

    def binary(self) -> bool:
        """Is every item either right or wrong?"""
        whole = bool(np.isin(self.total, (0.0, 1.0)).all() and (self.weight == 1).all())
        return self.form == "mean" and whole

    def within(self) -> tuple[float, float]:
        """The least and the largest score that there can be, as far as they are known."""
        if self.form == "mean":
            return (0.0, 1.0) if self.binary() else (-math.inf, math.inf)
        return (1.0 if self.form == "perplexity" else 0.0), math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval over the items; None if it is undefined."""

    value: float | None
    low: float | None = None
    high: float | None = None


def score(
    items: Items, *, resamples: int, seed: int, within: tuple[float, float] | None = None
) -> Estimate:
    """The score with its interval, from `resamples` draws of as many items. `within`: the
    smallest and the largest possible value; None: the bounds of the items' scores. The interval of
    a perplexity is that of its logarithm."""
    if items.form == "perplexity":
        means = replace(items, form="mean")
        logs = score(means, resamples=resamples, seed=seed, within=(-math.inf, 0.0))
        ends = [
            None if end is None else _finite(_score(end, 1.0, items.form))
            for end in (logs.high, logs.low)
        ]
        low, high = ends if None not in ends else (None, None)
        return Estimate(value=items.value(), low=low, high=high)
    estimate = _made([items], lambda s: s[0], resamples, seed)
    if estimate.low is None or estimate.high is None:
        return estimate
    least, most = items.within() if within is None else within
    return replace(estimate, low=max(least, estimate.low), high=min(most, estimate.high))


def difference(a: Items, b: Items, *, resamples: int, seed: int) -> Estimate:
    """Score of `b` minus score of `a`, with its paired interval: both use the same draws.

    Raises ValueError where the two are not over the same items.
    """
    _check_pair(a, b)
    return _made([a, b], lambda s: s[1] - s[0], resamples, seed)


def drop(
    before: Items, after: Items, *, higher_is_better: bool, resamples: int, seed: int
) -> Estimate:
    """Loss in per cent, 100·(M₀ − M₁)/|M₀|, with the opposite sign if lower is better.

    A positive drop is always a loss. None if M₀ = 0; such draws are left out of the paired
    interval. Raises ValueError if the items of the two differ.
    """
    _check_pair(before, after)
    sign = 1.0 if higher_is_better else -1.0
    return _made([before, after], lambda s: sign * _percent(s[0], s[1]), resamples, seed)


def percent_lost(
    before: float | None, after: float | None, *, higher_is_better: bool
) -> float | None:
    """The loss in per cent of a score without per-item results; see `drop`."""
    if not before or after is None:
        return None
    lost = before - after if higher_is_better else after - before
    return 100 * lost / abs(before)


def share_of(
    reference: float | None, value: float | None, *, higher_is_better: bool
) -> float | None:
    """The share of a score without per-item results; see `ratio`."""
    above, below = (value, reference) if higher_is_better else (reference, value)
    return None if above is None or not below else above / below


def share_regained(base: float | None, tuned: float | None, value: float | None) -> float | None:
    """The share regained of a score without per-item results; see `regained`."""
    if base is None or tuned is None or value is None or tuned == base:
        return None
    return (value - base) / (tuned - base)


def ratio(
    reference: Items, items: Items, *, higher_is_better: bool, resamples: int, seed: int
) -> Estimate:
    """Share of the reference's score, M/M_ref, inverted if lower is better (Ilharco 2023).

    None if the denominator is 0. Raises ValueError if the items of the two differ.
    """
    _check_pair(reference, items)
    above, below = (items, reference) if higher_is_better else (reference, items)
    return _made([above, below], lambda s: s[0] / s[1], resamples, seed)


def regained(base: Items, tuned: Items, items: Items, *, resamples: int, seed: int) -> Estimate:
    """Share of the way from the base's score to the tuned model's, (M − M_base)/(M_tuned − M_base).

    None if M_tuned = M_base. Raises ValueError if the items of the three differ.
    """
    for other in (tuned, items):
        _check_pair(base, other)
    made = [base, tuned, items]
    return _made(made, lambda s: (s[2] - s[0]) / (s[1] - s[0]), resamples, seed)


def mcnemar(a: Items, b: Items) -> float:
    """Two-sided p value of McNemar's exact test for equal numbers of errors of a and b.

    Counts only items with one right and one wrong result. Raises ValueError unless both are
    right-or-wrong results over the same items.
    """
    _check_pair(a, b)
    if not (a.binary() and b.binary()):
        raise ValueError("McNemar's test is for items that are either right or wrong")
    lost = int(((a.total == 1) & (b.total == 0)).sum())
    won = int(((a.total == 0) & (b.total == 1)).sum())
    return sign_test(won, lost)


def beyond_controls(
    before: Items,
    after: Items,
    controls: Sequence[Items],
    *,
    higher_is_better: bool,
    resamples: int,
    seed: int,
) -> float | None:
    """One-sided p value of the hypothesis that a drop is not larger than its random controls.

    It combines two sources of chance: the choice of items, by the paired bootstrap variance B of
    the drop minus the controls' mean; and the draw of controls, by their variance A = s²(1 + 1/k).
    t = excess/√(A + B) is read with Welch and Satterthwaite's degrees of freedom, k − 1 for A and n
    − 1 for B. The controls' variance includes some of the items' chance too, so p errs upwards.
    It is at least 2^−m, the smallest p value of a sign test over m items, where m items differ from
    the controls' mean: where no right answer is left, every draw loses 100 %, and B is 0.
    None with fewer than two controls or items, or if a drop is undefined.
    """
    for other in (after, *controls):
        _check_pair(before, other)
    n, k = len(before.index), len(controls)
    sign = 1.0 if higher_is_better else -1.0
    drops = [_drop(before, other, sign) for other in (after, *controls)]
    known = [value for value in drops if value is not None]
    if k < 2 or n < 2 or len(known) < len(drops):
        return None
    values = np.concatenate(
        [
            _excess(t, w, before.form, sign)
            for t, w in _stacked([before, after, *controls], resamples, seed)
        ]
    )
    excess = known[0] - float(np.mean(known[1:]))
    a = float(np.var(known[1:], ddof=1)) * (1 + 1 / k)
    b = float(np.var(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
    least = 0.5 ** _differing(after, controls)
    if a + b == 0:
        return 1.0 if excess <= 0 else max(least, 1 / (resamples + 1))
    from scipy.special import stdtr

    freedom = (a + b) ** 2 / (a * a / (k - 1) + b * b / (n - 1))
    return max(least, float(stdtr(freedom, -excess / math.sqrt(a + b))))


def _differing(after: Items, controls: Sequence[Items]) -> int:
    """The number of items with another contribution to the score than in the controls' mean."""
    mean = np.mean([control.total for control in controls], axis=0)
    return int((~np.isclose(after.total, mean, rtol=1e-12, atol=0.0)).sum())


def _check_pair(a: Items, b: Items) -> None:
    if not np.array_equal(a.index, b.index) or a.form != b.form:
        raise ValueError("scores can be compared only over the same items and the same metric")


def _made(
    items: Sequence[Items], make: Callable[[Floats], Floats], resamples: int, seed: int
) -> Estimate:
    """A function of several scores (results, draws), with its paired interval.

    Between expanded percentiles of the draws (Hesterberg 2015, The American Statistician 69: 371):
    of a mean, they are as wide as Student's interval, where plain ones are too narrow. Of few items
    it is Student's with the jackknife's error, and unknown if it does not depend on the items.
    """
    form, n = items[0].form, len(items[0].index)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = _finite(make(_score(*_totals(items), form)))
        if value is None or n < 2:
            return Estimate(value=value)
        if n < FEW:
            return _of_few(value, make(_score(*_left_out(items), form)))
        draws = [make(_score(t, w, form)) for t, w in _stacked(items, resamples, seed)]
    drawn = np.concatenate(draws)
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Estimate(value=value)
    tail = _tail(n)
    low, high = np.quantile(known, (tail, 1 - tail))
    return Estimate(value=value, low=float(low), high=float(high))


def _of_few(value: float, left_out: Floats) -> Estimate:
    if np.ptp(left_out) <= 1e-12 * abs(value):
        return Estimate(value=value)
    bounds = intervals.of_jackknife(value, left_out)
    return Estimate(value=value, low=bounds.low, high=bounds.high)


def _tail(n: int) -> float:
    """The share of draws beyond each end of an expanded percentile interval over n items."""
    from scipy.special import ndtr, stdtrit

    return float(ndtr(-math.sqrt(n / (n - 1)) * stdtrit(n - 1, intervals.LEVEL)))


def _totals(items: Sequence[Items]) -> tuple[Floats, Floats]:
    """Σ total and Σ weight of each of several results."""
    return np.array([i.total.sum() for i in items]), np.array([i.weight.sum() for i in items])


def _left_out(items: Sequence[Items]) -> tuple[Floats, Floats]:
    """Σ total and Σ weight of each of several results without each item: (results, items)."""
    return (
        np.stack([i.total.sum() - i.total for i in items]),
        np.stack([i.weight.sum() - i.weight for i in items]),
    )


def _stacked(
    all_items: Sequence[Items], resamples: int, seed: int
) -> Iterator[tuple[Floats, Floats]]:
    """Σ total and Σ weight of each of several results over the same draws: (results, draws)."""
    n = len(all_items[0].index)
    columns = np.stack([c for items in all_items for c in (items.total, items.weight)], axis=1)
    rng = np.random.default_rng(seed)
    rows = max(1, _AT_ONCE // max(1, n * columns.shape[1]))
    for first in range(0, resamples, rows):
        draws = rng.integers(n, size=(min(rows, resamples - first), n))
        sums = columns[draws].sum(axis=1).T  # (2·results, draws)
        yield sums[0::2], sums[1::2]


def _score(total: Floats | float, weight: Floats | float, form: Form) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.asarray(total, dtype=np.float64) / np.asarray(weight, dtype=np.float64)
        if form == "perplexity":
            return np.exp(-ratio)
        return -ratio / math.log(2) if form == "bits_per_byte" else ratio


def _percent(before: Floats, after: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(before == 0, np.nan, 100 * (before - after) / np.abs(before))


def _drop(before: Items, after: Items, sign: float) -> float | None:
    whole = [_score(x.total.sum(), x.weight.sum(), x.form) for x in (before, after)]
    return _finite(sign * _percent(whole[0], whole[1]))


def _excess(totals: Floats, weights: Floats, form: Form, sign: float) -> Floats:
    """The drop minus the controls' mean drop in every draw; row 0 is before, row 1 after."""
    scores = _score(totals, weights, form)
    drops = sign * _percent(scores[0], scores[1:])
    return np.asarray(drops[0] - drops[1:].mean(axis=0))


def _finite(value: Floats) -> float | None:
    return float(value) if np.isfinite(value) else None
