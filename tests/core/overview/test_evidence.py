"""Sizes and p values against scipy and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from core.overview.evidence import (
    Estimate,
    Evidence,
    Yardstick,
    correlation,
    error_of,
    log_scale,
)


def test_the_size_is_cohens_d_and_p_is_students_test() -> None:
    sample = np.random.default_rng(3).normal(0.4, 1.0, 25)
    test = stats.ttest_1samp(sample, 0.0)
    low, high = test.confidence_interval()
    evidence = Evidence(
        estimate=Estimate(float(sample.mean()), error_of(float(low), float(high), 25)),
        yardsticks=(Yardstick("0", 0.0),),
        n=25,
    )
    assert evidence.size == pytest.approx(abs(sample.mean()) / sample.std(ddof=1))
    assert evidence.p == pytest.approx(test.pvalue)


def test_more_items_make_a_difference_more_certain_and_no_larger() -> None:
    def of(n: int) -> Evidence:
        estimate = Estimate(0.5, 1 / math.sqrt(n))
        return Evidence(estimate=estimate, yardsticks=(Yardstick("0", 0.0),), n=n)

    few, many = of(20), of(1000)
    assert few.size == pytest.approx(0.5)
    assert many.size == pytest.approx(0.5)
    assert few.p is not None
    assert many.p is not None
    assert many.p < 1e-9 < 0.01 < few.p


def test_more_items_leave_the_scatter_of_a_yardstick_as_it_is() -> None:
    """Random neurons differ from draw to draw, however many items a task has."""

    def of(n: int) -> Evidence:
        held = (Yardstick("random neurons", 2.0, scatter=3.0),)
        return Evidence(estimate=Estimate(14.0, 4 / math.sqrt(n)), yardsticks=held, n=n)

    assert of(20).size == pytest.approx(12 / 5)
    assert of(2000).size == pytest.approx(12 / 5)
    assert of(2000).p == pytest.approx(2 * stats.norm.sf(12 / math.hypot(3, 4 / math.sqrt(2000))))


def test_a_value_is_held_against_the_yardstick_that_is_hardest_to_exceed() -> None:
    held = (Yardstick("0", 0.0), Yardstick("control", 0.3, 0.1))

    def of(value: float) -> Evidence:
        return Evidence(estimate=Estimate(value, 0.1), yardsticks=held, n=400)

    beyond, within = of(0.5), of(0.2)
    assert beyond.nearest == held[1]
    z = (0.5 - 0.3) / math.hypot(0.1, 0.1)
    assert beyond.size == pytest.approx(z / 20)
    assert beyond.p == pytest.approx(2 * stats.norm.sf(z))
    assert within.nearest is None
    assert within.size is None
    assert within.p == 1.0
    assert of(-0.2).nearest == held[0]


def test_a_test_of_the_analysis_is_never_made_stronger() -> None:
    estimate, held = Estimate(0.5, 0.01), (Yardstick("0", 0.0),)
    assert Evidence(estimate=estimate, yardsticks=held, n=9, given=0.2).p == 0.2
    exact = Evidence(estimate=Estimate(0.5, 0.0), yardsticks=held, n=9, given=0.03)
    assert (exact.p, exact.size) == (0.03, None), "no spread, no size"


def test_values_without_an_error_are_compared_on_their_scale() -> None:
    sizes = Evidence(
        estimate=Estimate(0.2), yardsticks=(Yardstick("control", 0.05),), scale=log_scale
    )
    assert sizes.size == pytest.approx(math.log(4))
    cosines = Evidence(
        estimate=Estimate(0.4), yardsticks=(Yardstick("control", 0.1),), scale=correlation
    )
    assert cosines.size == pytest.approx(2 * (np.arctanh(0.4) - np.arctanh(0.1)))
    assert sizes.p is None


@pytest.mark.parametrize(("scale", "value"), [(correlation, 1.0), (log_scale, 0.0)])
def test_the_end_of_a_scale_has_no_size(scale: object, value: float) -> None:
    held = (Yardstick("control", 0.5),)
    assert Evidence(estimate=Estimate(value), yardsticks=held, scale=scale).size is None  # type: ignore[arg-type]


def test_no_interval_and_one_item_have_no_error() -> None:
    assert error_of(None, 1.0, 5) is None
    assert error_of(0.0, 1.0, 1) is None
    assert error_of(-1.96, 1.96, None) == pytest.approx(1.0, abs=1e-4)
