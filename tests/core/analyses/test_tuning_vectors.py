"""What is doubtful about a tuning vector as a whole."""

from __future__ import annotations

from typing import Any

from core.engine import registry
from core.engine.measurement import Unit, UnitResult
from core.weights.totals import slice_state

WHOLE = Unit(key="k", analysis="tuning_vectors", label="whole", model="medical")
CHANGED = {
    "size": 6, "base2": 4.0, "delta2": 1.0, "dot": 0.0, "changed": 3, "largest": 0.5,
    "rounding": None,
}  # fmt: skip
SAME = {**CHANGED, "delta2": 0.0, "changed": 0, "largest": 0.0}


def _reduced(**modules: dict[str, Any]) -> UnitResult:
    return registry.get("tuning_vectors").reduce(WHOLE, [UnitResult(state=slice_state(0, modules))])


def test_layers_without_attention_or_mlp_are_summed_and_nothing_is_doubted_of_them() -> None:
    reduced = _reduced(norm=SAME)
    assert reduced.warnings == []
    assert {row.module for row in reduced.measurements} == {"norm", "all", "blocks"}


def test_one_of_the_two_is_enough_to_doubt() -> None:
    ((about, warning),) = _reduced(norm=CHANGED, down=SAME).warnings
    assert about == "medical"
    assert "has the base's weights in all its layers" in warning
    assert _reduced(norm=SAME, down=CHANGED).warnings == []


def test_a_vector_that_turns_the_weights_round_is_not_of_this_base() -> None:
    ((_, warning),) = _reduced(q={**CHANGED, "delta2": 16.0, "dot": -8.0}).warnings
    assert "hardly resembles the base (cosine of their weights -1.00)" in warning
