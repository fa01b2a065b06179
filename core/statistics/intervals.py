"""Means over documents, matrices or items with their 95 % intervals, and quartiles.

Owns small statistics on plain numbers. Knows no analysis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.975
"""The quantile that bounds a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with the ends of its 95 % interval; the ends are None if they are unknown."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Welch(Interval):
    """The difference of two means, its 95 % interval, and the p value of no difference."""

    p: float | None


def of_mean(values: ArrayLike, weights: ArrayLike | None = None) -> Interval:
    """The weighted mean of independent values, with Student's interval.

    The variance is that of a ratio of sums, Σ w²(x − m)² · n / (n − 1) with Σ w = 1 (Cochran 1977,
    section 2.11); with equal weights it is the ordinary one.
    """
    mean, error, n = _mean(values, weights)
    return Interval(mean, None, None) if error is None else _around(mean, error, n)


def of_share(shares: ArrayLike, weights: ArrayLike | None = None) -> Interval:
    """The weighted mean of independent shares, with an interval cut to the shares that there can
    be, 0 to 1."""
    interval = of_mean(shares, weights)
    if interval.low is None or interval.high is None:
        return interval
    return Interval(interval.value, max(0.0, interval.low), min(1.0, interval.high))


def p_of_mean(values: ArrayLike, weights: ArrayLike | None = None) -> float | None:
    """The two-sided p value of a weighted mean of 0, by the interval of `of_mean`; None for a
    single value."""
    from scipy.special import stdtr

    mean, error, n = _mean(values, weights)
    if error is None:
        return None
    if error == 0:
        return float(mean == 0)
    return float(2 * stdtr(n - 1, -abs(mean) / error))


def of_jackknife(value: float, left_out: ArrayLike) -> Interval:
    """A statistic with its jackknife interval; `left_out` are its values without each item in turn
    (Efron and Tibshirani 1993, chapter 11)."""
    without = np.asarray(left_out, dtype=np.float64)
    n = len(without)
    if n < 2 or not np.isfinite(without).all():
        return Interval(value, None, None)
    error = math.sqrt((n - 1) / n * float(np.square(without - without.mean()).sum()))
    return _around(value, error, n)


def welch(first: Sequence[float], second: Sequence[float]) -> Welch:
    """The mean of the second less that of the first, with Welch's interval and two-sided test:
    the samples may have unlike variances (Welch 1947). Only the difference is known where a sample
    has one value, or neither varies."""
    from scipy.special import stdtr, stdtrit

    a, b = (np.asarray(values, dtype=np.float64) for values in (first, second))
    difference = float(b.mean() - a.mean())
    if min(len(a), len(b)) < 2:
        return Welch(difference, None, None, None)
    errors = [float(each.var(ddof=1)) / len(each) for each in (a, b)]
    error = math.sqrt(sum(errors))
    if error == 0:
        return Welch(difference, None, None, None)
    parts = (e**2 / (len(each) - 1) for e, each in zip(errors, (a, b), strict=True))
    freedom = sum(errors) ** 2 / sum(parts)
    half = float(stdtrit(freedom, LEVEL)) * error
    p = 2 * float(stdtr(freedom, -abs(difference) / error))
    return Welch(difference, difference - half, difference + half, p)


def of_draws(values: Sequence[float] | NDArray[np.float64], further: int = 1) -> float | None:
    """The spread of a level that is the mean of some draws: within 1.96 of it lie 95 % of the means
    of `further` draws, by Student's distribution. None for a single draw; of many draws, the
    standard deviation of such a mean."""
    from scipy.special import ndtri, stdtrit

    n, spread = len(values), deviation(values)
    if spread is None:
        return None
    wider = float(stdtrit(n - 1, LEVEL)) / float(ndtri(LEVEL))
    return spread * math.sqrt(1 / further + 1 / n) * wider


def deviation(values: Sequence[float] | NDArray[np.float64]) -> float | None:
    """The standard deviation of a sample; None for a single value."""
    return float(np.std(np.asarray(values), ddof=1)) if len(values) > 1 else None


def quartiles(values: Sequence[float] | NDArray[np.float64]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = np.quantile(np.asarray(values, dtype=np.float64), (0.25, 0.5, 0.75))
    return float(low), float(middle), float(high)


def _mean(values: ArrayLike, weights: ArrayLike | None) -> tuple[float, float | None, int]:
    """The weighted mean, its standard error (None if it is unknown) and the number of values."""
    x = np.asarray(values, dtype=np.float64)
    w = np.full(len(x), 1 / len(x)) if weights is None else _shares(weights)
    mean = float(w @ x)
    if len(x) < 2:
        return mean, None, len(x)
    error = math.sqrt(float(np.square(w * (x - mean)).sum()) * len(x) / (len(x) - 1))
    return mean, error, len(x)


def _shares(weights: ArrayLike) -> NDArray[np.float64]:
    w = np.asarray(weights, dtype=np.float64)
    shares: NDArray[np.float64] = w / w.sum()
    return shares


def _around(value: float, error: float, n: int) -> Interval:
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, LEVEL)) * error
    return Interval(value, value - half, value + half)
