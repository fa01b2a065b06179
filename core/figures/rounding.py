"""Numbers as precise as they are: zero where rounding errors are left, p values to two digits.

Figures are made of rows without them; files keep every number as it was computed.
"""

from __future__ import annotations

import math
from dataclasses import replace

from core.engine.measurement import Measurement

NOISE = 1e-13
"""A number below this share of the numbers that it was computed with is a rounding error: some
hundreds of roundings of a double."""

_SHARES = {"drop_percent": 100.0}
"""Metrics that are computed as a difference to this number."""


PROBABILITIES = frozenset({"p_value", "q_value"})
"""The metrics that are p values."""
LEAST_P = 0.001
"""p values below this are as good as one another: no test here is exact so far out."""


def p_words(p: float) -> str:
    """A p value to two significant digits, as far as it can be trusted."""
    return f"< {LEAST_P:g}" if p < LEAST_P else f"{p:.2g}"


def denoised(number: float, scale: float) -> float:
    """The number; 0 where it is a rounding error beside numbers of this size."""
    return 0.0 if abs(number) <= NOISE * scale else number


def without_noise(row: Measurement) -> Measurement:
    """The row with 0 for each rounding error beside its other numbers."""
    numbers = (row.value, row.chance, row.chance_sd, row.low, row.high)
    sizes = [abs(n) for n in numbers if n is not None and math.isfinite(n)]
    scale = max(*sizes, _SHARES.get(row.metric, 0.0), 0.0)
    clean = tuple(None if n is None else denoised(n, scale) for n in numbers)
    if clean == numbers:
        return row
    value, chance, chance_sd, low, high = clean
    return replace(row, value=value, chance=chance, chance_sd=chance_sd, low=low, high=high)
