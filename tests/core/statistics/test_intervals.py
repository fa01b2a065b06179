"""Means and their intervals against scipy, and against how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from core.statistics import intervals


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_student_s_interval_is_scipy_s(n: int) -> None:
    x = np.random.default_rng(n).normal(5, 2, n)
    interval = intervals.of_mean(x)
    low, high = scipy.stats.t.interval(0.95, n - 1, loc=x.mean(), scale=scipy.stats.sem(x))
    assert (interval.value, interval.low, interval.high) == pytest.approx((x.mean(), low, high))


@pytest.mark.parametrize(("n", "further"), [(2, 1), (3, 1), (8, 1), (8, 40), (100, 1)])
def test_further_draws_lie_within_the_spread_of_few_draws(n: int, further: int) -> None:
    rng, within = np.random.default_rng(n), 0
    for _ in range(4000):
        draws, others = rng.normal(5, 2, n), rng.normal(5, 2, further)
        spread = intervals.of_draws(draws, further)
        assert spread is not None
        within += abs(others.mean() - draws.mean()) <= 1.96 * spread
    assert within / 4000 == pytest.approx(0.95, abs=0.015)
    assert intervals.of_draws([1.0]) is None


def test_equal_weights_are_none() -> None:
    x = np.random.default_rng(0).normal(size=7)
    weighted, plain = intervals.of_mean(x, np.full(7, 3.0)), intervals.of_mean(x)
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (plain.value, plain.low, plain.high)
    )


def test_the_size_of_weights_means_nothing_and_their_proportion_does() -> None:
    x, w = [1.0, 2.0, 4.0], [1, 2, 5]
    one, other = intervals.of_mean(x, w), intervals.of_mean(x, [10, 20, 50])
    assert one.value == pytest.approx(25 / 8)
    assert (one.low, one.high) == pytest.approx((other.low, other.high))


def test_a_single_value_has_no_interval() -> None:
    assert intervals.of_mean([3.0]) == intervals.Interval(3.0, None, None)
    assert intervals.of_jackknife(3.0, [2.0]) == intervals.Interval(3.0, None, None)
    assert intervals.of_jackknife(3.0, [2.0, np.nan]) == intervals.Interval(3.0, None, None)


def test_the_jackknife_of_a_mean_is_student_s_interval() -> None:
    x = np.random.default_rng(0).normal(size=9)
    without = (x.sum() - x) / 8
    interval, wanted = intervals.of_jackknife(x.mean(), without), intervals.of_mean(x)
    assert (interval.low, interval.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize("weighted", [False, True])
def test_intervals_hold_the_truth_in_about_95_of_100_cases(weighted: bool) -> None:
    rng, held, cases = np.random.default_rng(1), 0, 2000
    for _ in range(cases):
        w = rng.integers(50, 150, 20) if weighted else None
        interval = intervals.of_mean(rng.normal(2.0, 1.0, 20), w)
        held += (interval.low or 0) <= 2.0 <= (interval.high or 0)
    assert 0.935 <= held / cases <= 0.965


def test_quartiles() -> None:
    assert intervals.quartiles([4.0, 1.0, 3.0, 2.0, 5.0]) == (2.0, 3.0, 4.0)
