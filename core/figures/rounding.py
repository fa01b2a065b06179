"""Numbers that are zero to a reader: rounding errors left where larger numbers cancel.

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


def denoised(number: float, scale: float) -> float:
    """The number; 0 where it is a rounding error beside numbers of this size."""
    return 0.0 if abs(number) <= NOISE * scale else number


def without_noise(row: Measurement) -> Measurement:
    """The row with 0 for what is a rounding error beside its other numbers."""
    numbers = (row.value, row.chance, row.chance_sd, row.low, row.high)
    sizes = [abs(n) for n in numbers if n is not None and math.isfinite(n)]
    scale = max(*sizes, _SHARES.get(row.metric, 0.0), 0.0)
    clean = tuple(None if n is None else denoised(n, scale) for n in numbers)
    if clean == numbers:
        return row
    value, chance, chance_sd, low, high = clean
    return replace(row, value=value, chance=chance, chance_sd=chance_sd, low=low, high=high)
