"""What is wrong with an item of a task is said before a model is asked, with the item's place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.errors import TaskError
from core.evaluation.tasks import Task, open_tasks
from tests.core import harness_zoo
from tests.core.harness_zoo import ITEMS, evaluation, write_lines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return harness_zoo.write_tasks(tmp_path / "tasks")


def _open(folder: Path, name: str = "tiny_choice", **settings: Any) -> Task:
    (task,) = open_tasks(evaluation(folder, name, **settings), seed=0)
    return task


def _change(folder: Path, place: int, **fields: Any) -> None:
    rows = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    rows[place] |= fields
    write_lines(folder / "items.jsonl", rows)


@pytest.mark.parametrize(
    ("answer", "described"), [(3, "3"), (7, "7"), (-1, "-1"), ("yellow", "'yellow'")]
)
def test_an_answer_that_is_no_choice_is_named(folder: Path, answer: Any, described: str) -> None:
    if isinstance(answer, str):  # of a column, all values are of one type
        text = harness_zoo.CHOICE.replace("doc_to_target: answer", "doc_to_target: gold")
        (folder / "choice.yaml").write_text(text)
        for place in range(ITEMS):
            _change(folder, place, gold="red")
        _change(folder, 5, gold=answer)
    else:
        _change(folder, 5, answer=answer)
    with pytest.raises(TaskError) as raised:
        _open(folder)
    assert raised.value.title == (
        f"Item 5 (from 0) of the task 'tiny_choice' has 3 choices, and its answer is {described}, "
        "which is not one of them."
    )
    assert _open(folder, limit=5).items == 5


@pytest.mark.parametrize(
    ("field", "writer"),
    [("question", "doc_to_text"), ("choices", "doc_to_choice"), ("answer", "doc_to_target")],
)
def test_a_field_that_is_null_is_named(folder: Path, field: str, writer: str) -> None:
    _change(folder, 2, **{field: None})
    with pytest.raises(TaskError) as raised:
        _open(folder)
    assert raised.value.title == (
        f"Item 2 (from 0) of the task 'tiny_choice' has null as its '{field}', which {writer} uses."
    )


def test_a_null_that_no_prompt_shows_is_none_of_our_business(folder: Path) -> None:
    text = harness_zoo.CHOICE.replace(
        '"{{question}}"', '"{% if passage %}{{passage}} {% endif %}{{question}}"'
    )
    (folder / "choice.yaml").write_text(text)
    _change(folder, 0, passage="once", unused="x")
    _change(folder, 2, passage=None, unused=None, question="None of these")
    assert _open(folder).items == ITEMS
    (folder / "choice.yaml").write_text(text.replace("{% if passage %}", "{% if true %}"))
    with pytest.raises(TaskError, match=r"Item 1 .* null as its 'passage'"):
        _open(folder)


def test_more_examples_than_there_are_documents_are_counted(folder: Path) -> None:
    assert _open(folder, fewshot=ITEMS).fewshot == ITEMS
    with pytest.raises(TaskError) as raised:
        _open(folder, fewshot=ITEMS + 1)
    assert raised.value.title == (
        f"The prompts of the task 'tiny_choice' take {ITEMS + 1} few-shot examples, drawn from "
        f"{ITEMS} documents of the split 'train': {ITEMS + 1} are needed."
    )
    text = harness_zoo.CHOICE.replace("fewshot_split: train", "fewshot_split: test")
    (folder / "choice.yaml").write_text(text)
    assert _open(folder, fewshot=ITEMS - 1).fewshot == ITEMS - 1
    with pytest.raises(TaskError, match="and the item itself are needed"):
        _open(folder, fewshot=ITEMS)
