"""How far a value must lie from its random controls before its test can find it."""

from __future__ import annotations

import pytest
from scipy import stats

from core.statistics.multiplicity import adjusted, reach


@pytest.mark.parametrize(("controls", "tests", "expected"), [(3, 40, 23.1), (8, 40, 4.9)])
def test_a_lone_value_at_its_reach_is_just_significant(
    controls: int, tests: int, expected: float
) -> None:
    distance = reach(controls, tests, 0.05)
    assert distance == pytest.approx(expected, abs=0.05)
    t = distance / (1 + 1 / controls) ** 0.5
    p = float(stats.t.sf(t, controls - 1))
    assert adjusted([p, *[1.0] * (tests - 1)])[0] == pytest.approx(0.05)
