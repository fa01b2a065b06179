"""The correction of p values for the number of tests. Pure arithmetic; imports nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence

VERSION = 2
"""The version of stored q values, for their units' keys: since 2, `n` counts the tests with a p
value alone."""


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's adjusted p values, in the order given; None stays None."""
    known = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    q_values: list[float | None] = [None] * len(p_values)
    least = 1.0
    for rank in range(len(known), 0, -1):
        p, index = known[rank - 1]
        least = min(least, p * (len(known) / rank))
        q_values[index] = least
    return q_values


def reach(controls: int, tests: int, level: float) -> float:
    """The number of standard deviations of its random controls (two or more) by which a value must
    exceed their mean for an adjusted p below `level`, if no other of the tests is significant.

    Student's distribution with controls − 1 degrees of freedom: no other chance is counted.
    """
    from scipy.special import stdtrit

    return float(stdtrit(controls - 1, 1 - level / tests)) * math.sqrt(1 + 1 / controls)
