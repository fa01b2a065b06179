"""Words about wrong values: each type of error that a study can meet has them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from core.analyses.alignment import AlignmentParameters
from core.analyses.arithmetic import ArithmeticParameters
from core.study import mistakes, study
from core.study.models import Model, Models


def said(part: Any, data: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        part.model_validate(data)
    return [mistakes.words(fault) for fault in caught.value.errors()]


@pytest.mark.parametrize(
    ("part", "data", "wanted"),
    [
        (study.Probe, {"file": "x", "documents": "abc"}, "must be a whole number, not 'abc'"),
        (study.Probe, {"file": "x", "documents": 1.5}, "must be a whole number, not 1.5"),
        (study.Probe, {"file": "x", "documents": -5}, "must be 1 or more"),
        (study.Probe, {"file": "x", "documents": 2**64}, "must be 1e+18 or less"),
        (study.Probe, {"file": "x", "token": "end"}, "must be 'mean' or 'last', not 'end'"),
        (study.Probe, {"file": 3}, "must be a string, not 3"),
        (study.Probe, {"file": ["x"]}, "must be a string, not several values"),
        (Model, {}, "is needed"),
        (Model, {"path": ""}, "is needed"),
        (Model, {"path": "\0"}, "no path holds a NUL character"),
        (Models, {"base": "x", "tuned": {}}, "needs 1 or more"),
        (study.Evaluation, {"tasks": {"a": "x"}}, "must be a list"),
        (study.Evaluation, {"tasks": 3}, "must be names with values, such as a = 1"),
        (study.Evaluation, {"tasks": {}}, "needs at least one domain"),
        (study.Evaluation, {"tasks": {"a": ["x"], "b": []}}, "needs at least one task"),
        (
            study.Evaluation,
            {"tasks": {"a": ["x"]}, "chat_template": "x"},
            "must be true or false, not 'x'",
        ),
        (study.Run, {"batch_size": 0}, "must be 1 or more, or auto"),
        (study.Run, {"batch_size": -8}, "must be 1 or more, or auto"),
        (study.Run, {"seed": -1}, "must be from 0 to 4294967295"),
        (study.Run, {"seed": 2**32}, "must be from 0 to 4294967295"),
        (
            study.Run,
            {"max_memory": {"0": "9GiB", "gpu": "9GiB"}},
            "'gpu' must be the number of a GPU, cpu, mps or disk",
        ),
        (
            study.Run,
            {"max_memory": {"0": "9GiB", "cpu": "60 gigs"}},
            "cpu must be a size such as 60GiB, not '60 gigs'",
        ),
        (AlignmentParameters, {"energy": 2}, "must be 1 or less"),
        (AlignmentParameters, {"energy": 0}, "must be more than 0"),
        (AlignmentParameters, {"energy": "x"}, "must be a number, not 'x'"),
        (ArithmeticParameters, {"coefficients": [math.nan]}, "must be a finite number"),
        (ArithmeticParameters, {"removal": [math.inf]}, "must be a finite number"),
    ],
)
def test_words(part: Any, data: dict[str, Any], wanted: str) -> None:
    assert said(part, data) == [wanted]


def test_a_long_value_is_cut() -> None:
    (words,) = said(study.Probe, {"file": "x", "documents": "9" * 30 + "x" * 500})
    assert len(words) < 90


def test_an_item_of_a_list_is_named_once() -> None:
    from core.study.study import Study

    models = {"base": "b", "tuned": {"t": "t"}}
    asked = {"ablation": {"selections": ["top-1"]}}
    with pytest.raises(ValidationError) as caught:
        Study.model_validate({"name": "x", "models": models, "analyses": asked})
    message = mistakes.explained(caught.value, Study.model_fields)
    assert message.startswith("analyses.ablation.selections[0]: 'top-1' is"), message
