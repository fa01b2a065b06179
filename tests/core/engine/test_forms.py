"""States of finished units in a database that somebody else wrote, or that was damaged."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from core.analyses import edit_distance, interference, tuning_vectors, vector_cosine
from core.engine.measurement import Unit, UnitPart, UnitResult
from core.errors import StorageError
from core.evaluation import scores
from core.weights.moments import Moments

_TUNING = {
    "inside": True,
    "sums": {
        "q": {
            "size": 8, "base2": 2.0, "delta2": 1.0, "dot": 0.5, "changed": 8, "largest": 0.5,
            "rounding": None, "quantisation": 0.0,
        }
    },
}  # fmt: skip
_COSINE = {"inside": True, "sums": {"q": {"size": 8, "dot": 0.5, "a2": 1.0, "b2": 2.0}}}
_PAIR = {
    "inside": True,
    "sums": {
        "q": {
            "size": 8, "dot": 0.5, "magnitude": 1.0, "square": 0.5, "both": 1, "expected": 0.5,
            "variance": 0.25, "a": 2, "b": 2,
        }
    },
}  # fmt: skip
_PATTERNS = {"": {"neurons": 4, "observed": [0.1, 0.3], "baseline": 0.5, "rate_change": 0.0}}
_SCORES = {"scores": {"acc": {"value": 0.5, "higher": True}}}


def _whole(reduce: Callable[[Unit, list[UnitResult]], UnitResult]) -> Callable[[Any], object]:
    unit = Unit(key="k", analysis="a", label="a", model="tuned", reference="base")
    return lambda state: reduce(unit, [UnitResult(state=state), UnitResult(state=state)])


READERS: dict[str, tuple[dict[str, Any], Callable[[Any], object]]] = {
    "tuning_vectors": (_TUNING, _whole(tuning_vectors.reduce)),
    "vector_cosine": (_COSINE, _whole(vector_cosine.reduce)),
    "interference": (_PAIR, _whole(interference.reduce)),
    "edit_distance": (_PATTERNS, _whole(edit_distance.reduce)),
    "scores": (_SCORES, lambda state: scores.stored(UnitResult(state=state))),
}
WRONG: tuple[Any, ...] = ("text", None, [], {}, True, -1.5, 2**70, math.nan, [["a"]], {"a": {}})


def _damaged(state: Any) -> Iterator[tuple[str, Any]]:
    """The state with each of its values replaced in turn, and with each removed."""
    for path in list(_paths(state)):
        for wrong in WRONG:
            changed = copy.deepcopy(state)
            *way, last = path
            held = changed
            for name in way:
                held = held[name]
            held[last] = wrong
            yield f"{path} = {wrong}", changed
        changed = copy.deepcopy(state)
        held = changed
        for name in path[:-1]:
            held = held[name]
        del held[path[-1]]
        yield f"{path} removed", changed


def _paths(state: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = state.items() if isinstance(state, dict) else enumerate(state)
    for name, value in entries:
        yield (*way, name)
        if isinstance(value, dict | list):
            yield from _paths(value, (*way, name))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NaN is a number, and may be summed
@pytest.mark.parametrize("reader", READERS)
def test_a_damaged_state_is_one_clear_error_or_is_read(reader: str) -> None:
    state, read = READERS[reader]
    read(copy.deepcopy(state))
    refused = 0
    for change, damaged in _damaged(state):
        try:
            read(damaged)
        except StorageError as error:
            refused += "--fresh" in error.hint
        except Exception as error:
            pytest.fail(f"{change}: {error!r}")
    assert refused > 10


def test_parts_of_another_form_are_computed_again() -> None:
    moments = Moments.zero(("a", "b"))
    part = moments.as_part()
    assert Moments.of_part(("a", "b"), part) == moments
    assert Moments.of_part(("a",), part) is None
    assert Moments.of_part(("a", "b"), None) is None
    for name in part.arrays:
        others = {n: array for n, array in part.arrays.items() if n != name}
        for wrong in (np.zeros(7), np.array("text"), np.zeros((0, 3), np.uint8)):
            assert Moments.of_part(("a", "b"), UnitPart(arrays={**others, name: wrong})) is None
        assert Moments.of_part(("a", "b"), UnitPart(arrays=others)) is None
