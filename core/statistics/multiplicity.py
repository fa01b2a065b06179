"""The correction of p values for the number of tests. Pure arithmetic; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg's adjusted p values, in the order given; None stays None."""
    known = sorted((p, at) for at, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    least = 1.0
    for rank in range(len(known), 0, -1):
        p, at = known[rank - 1]
        least = min(least, p * (len(known) / rank))
        found[at] = least
    return found
