"""A study: what is refused as one, what it says of its parts, and what it is known by."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from core.study.study import Study
from core.study.task_sets import SETS


def _study(tuned: dict[str, Any] | None = None, **more: Any) -> Study:
    models = {"base": "b", "tuned": tuned or {"one": "1"}}
    return Study.model_validate({"name": "x", "models": models, **more})


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(ValidationError, match="no path holds a NUL"):
        _study({"one": "org\0one"})


def test_parents_must_not_form_a_circle() -> None:
    with pytest.raises(ValidationError, match="lead back to 'one'"):
        _study({"one": {"path": "1", "parent": "two"}, "two": {"path": "2", "parent": "one"}})


def test_controls_are_told_apart_and_parameters_filled_up() -> None:
    study = _study(
        {"one": "1", "retrained": {"path": "2", "role": "control"}},
        analyses={"alignment": {"energy": 0.8}},
    )
    assert study.controls() == {"retrained"}
    assert study.parameters("alignment").model_dump()["energy"] == 0.8
    assert study.parameters("alignment").model_dump()["rank"] is None
    assert study.parameters("tuning_vectors").model_dump() == {"ranks": True}


def test_a_mistake_in_parameters_is_called_by_its_whole_key() -> None:
    with pytest.raises(ValidationError, match=r"unknown key 'analyses.alignment.energi'.*'energy'"):
        _study(analyses={"alignment": {"energi": 0.8}})


def test_the_key_is_that_of_content() -> None:
    one = _study(analyses={"alignment": {"energy": 0.8}})
    assert one.key(["alignment", "vector_cosine"]) == one.key(["vector_cosine", "alignment"])
    assert one.key(["alignment"]) != one.key(["vector_cosine"])
    assert one.key([]) != _study(analyses={"alignment": {"energy": 0.7}}).key([])


def test_the_key_is_independent_of_the_place_of_computation() -> None:
    spread = _study(run={"engine": "ray", "address": "node1:6379", "workers": 4})
    assert spread.key(["alignment"]) == _study().key(["alignment"])
    assert spread.key(["alignment"]) != _study(run={"seed": 1}).key(["alignment"])


@pytest.mark.parametrize("address", ["auto", "", "node1", "node1:", "ray://node1:10001", "a b:1"])
def test_the_address_of_a_cluster_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(ValidationError, match="must be HOST:PORT"):
        _study(run={"address": address})


def test_a_set_of_tasks_stands_for_its_tasks() -> None:
    tasks = {"safety": ["set:safety", "mine"], "other": ["wikitext"]}
    evaluation = _study(evaluation={"tasks": tasks}).evaluation
    assert evaluation is not None
    assert evaluation.tasks == {"safety": (*SETS["safety"], "mine"), "other": ("wikitext",)}


def test_an_unknown_set_of_tasks_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValidationError, match=r"no set of tasks 'safty'.*'safety'"):
        _study(evaluation={"tasks": {"safety": ["set:safty"]}})
