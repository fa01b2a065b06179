"""The sign test: does one side win more often than a fair coin would have it? Imports no scipy."""

from __future__ import annotations

from math import comb


def sign_test(won: int, lost: int) -> float:
    """Two-sided exact p value of `won` against `lost` under equal chances; ties are left out
    beforehand. 1 where there is nothing to count."""
    n, fewer = won + lost, min(won, lost)
    tail = sum(comb(n, k) for k in range(fewer + 1))
    return min(1.0, tail / 2 ** (n - 1)) if n else 1.0
