"""What is a rounding error beside the numbers that it was computed with, and what is small."""

from __future__ import annotations

import math

import pytest

from core.engine.measurement import Measurement
from core.figures.rounding import without_noise


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        # The mean of drops that cancel, beside their spread.
        (Measurement(metric="m", value=0.0, chance=-7.105e-15, chance_sd=33.3), (0.0, 0.0, 33.3)),
        # A drop is a difference to 100 %, also where nothing beside it says so.
        (Measurement(metric="drop_percent", value=1.4e-14), (0.0, None, None)),
        (Measurement(metric="drop_percent", value=1e-9), (1e-9, None, None)),
        # Small numbers that stand alone, or among small ones, are what they are.
        (Measurement(metric="m", value=7.105e-15), (7.105e-15, None, None)),
        (Measurement(metric="m", value=2e-15, chance=1e-15), (2e-15, 1e-15, None)),
        (Measurement(metric="p_value", value=1e-30), (1e-30, None, None)),
        (Measurement(metric="m", value=1.0, chance=1e-9), (1.0, 1e-9, None)),
        (Measurement(metric="m", value=math.inf, chance=1.0), (math.inf, 1.0, None)),
        (Measurement(metric="m", value=None, chance=1e-15, chance_sd=1.0), (None, 0.0, 1.0)),
    ],
)
def test_noise_is_zero_by_the_scale_of_its_row(
    row: Measurement, shown: tuple[float | None, ...]
) -> None:
    clean = without_noise(row)
    assert (clean.value, clean.chance, clean.chance_sd) == shown
    assert (clean is row) == (shown == (row.value, row.chance, row.chance_sd))
