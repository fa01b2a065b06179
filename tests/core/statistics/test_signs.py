"""The sign test against scipy's exact binomial test."""

from __future__ import annotations

import pytest
from scipy import stats

from core.statistics.signs import sign_test


@pytest.mark.parametrize(("won", "lost"), [(1, 0), (3, 9), (9, 3), (5, 5), (0, 12), (40, 61)])
def test_the_sign_test(won: int, lost: int) -> None:
    assert sign_test(won, lost) == pytest.approx(stats.binomtest(won, won + lost).pvalue)


def test_nothing_to_count() -> None:
    assert sign_test(0, 0) == 1
