"""The correction of drops for the number of tests, against values known beforehand."""

from __future__ import annotations

import pytest

from core.engine.measurement import Measurement
from core.neurons import drops


def test_a_row_without_a_p_value_is_no_test() -> None:
    values = {"first": 0.01, "untested": None, "second": 0.04}
    rows = [
        Measurement(metric="p_value", metric_of="acc", task=task, value=p)
        for task, p in values.items()
    ]
    made = {row.task: row for row in drops.corrected(rows)}
    assert {task: row.value for task, row in made.items()} == {
        "first": pytest.approx(0.02), "untested": None, "second": pytest.approx(0.04)
    }  # fmt: skip
    assert {row.n for row in made.values()} == {2}
