"""The items as texts against what the task files say, and against what the harness scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import TaskError
from core.evaluation.examples import Example, documents, examples
from core.evaluation.tasks import open_tasks
from tests.core import harness_zoo
from tests.core.harness_zoo import ALL, ITEMS, evaluation


def test_every_kind_of_item_is_written_out(task_folder: Path) -> None:
    choice, text, generation, last = open_tasks(evaluation(task_folder, *ALL), seed=0)
    question = choice.document(4)["question"]
    expected = Example(question, " blue stone")
    assert examples(choice, [4]) == [expected]
    assert examples(generation, [4]) == [replace(expected, kind="generated")]
    assert examples(last, [4]) == [expected]
    assert examples(text, [4]) == [Example("", text.document(4)["text"], "text")]


def test_examples_come_in_the_order_asked_for(task_folder: Path) -> None:
    (task,) = open_tasks(evaluation(task_folder, "tiny_choice"), seed=0)
    whole = examples(task, range(ITEMS))
    assert len(whole) == ITEMS
    assert examples(task, [7, 3, 7]) == [whole[7], whole[3], whole[7]]
    assert examples(task, []) == []
    with pytest.raises(TaskError, match="no item 12"):
        examples(task, [0, 12])


def test_the_prompt_is_the_one_that_is_scored(task_folder: Path, loaded: tuple[Any, Any]) -> None:
    from core.evaluation.evaluator import Evaluator

    model, tokenizer = loaded
    tokenizer.chat_template = (
        "{% for m in messages %}{{m.role}}: {{m.content}} {% endfor %}"
        "{% if add_generation_prompt %}assistant:{% endif %}"
    )
    for settings in ({"fewshot": 2}, {"fewshot": 1, "chat_template": True}):
        (task,) = open_tasks(evaluation(task_folder, "tiny_choice", **settings), seed=0)
        prompts = examples(task, [1, 5, 8], tokenizer=tokenizer)
        Evaluator(model, tokenizer).evaluate(task, [1, 5, 8])
        asked = [instance.args for instance in task.handle.instances]
        right = [asked[3 * row + index % 3] for row, index in enumerate((1, 5, 8))]
        assert [(example.context, example.continuation) for example in prompts] == right
        assert prompts[0].context.count("what is") == 1 + settings["fewshot"]


def test_an_item_without_a_right_answer_is_said(tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    rows = ({"question": "what", "choices": ["a", "b"], "answer": i} for i in (1, 0, 7))
    harness_zoo.write_lines(folder / "items.jsonl", rows)
    (task,) = open_tasks(evaluation(folder, "tiny_choice", limit=2), seed=0)
    assert examples(task, [0, 1]) == [Example("what", " b"), Example("what", " a")]
    with pytest.raises(TaskError, match=r"Item 2 .* its answer is 7"):
        open_tasks(evaluation(folder, "tiny_choice"), seed=0)


def test_answers_may_be_words(tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    text = harness_zoo.CHOICE.replace("{{choices}}", "{{['yes', 'no']}}")
    (folder / "choice.yaml").write_text(
        text.replace("doc_to_target: answer", "doc_to_target: word")
    )
    rows = ({"question": "what", "word": word} for word in ("no", "yes"))
    harness_zoo.write_lines(folder / "items.jsonl", rows)
    (task,) = open_tasks(evaluation(folder, "tiny_choice"), seed=0)
    assert examples(task, [0, 1]) == [Example("what", " no"), Example("what", " yes")]


def test_documents_are_whole_texts(task_folder: Path) -> None:
    include = str(task_folder)
    (text,) = open_tasks(evaluation(task_folder, "tiny_text"), seed=0)
    assert documents("tiny_text", include=include)[3] == text.document(3)["text"]
    assert documents("tiny_choice", include=include, limit=2)[1].endswith(" blue stone")
    group = documents("tiny_group", include=include)
    assert len(group) == 2 * ITEMS
    assert documents("tiny_group", include=include, limit=15) == [
        *group[:ITEMS],
        *documents("tiny_text", include=include, limit=3),
    ]


@pytest.mark.parametrize("delimiter", ["", " ", "\n"])
@pytest.mark.parametrize(
    ("kind", "prefix"),
    [("choice", ""), ("generation", ""), ("generation", "Answer:"), ("generation", "Answer: ")],
)
def test_right_answers_follow_prompts_as_in_the_harness_s_examples(
    loaded: tuple[Any, Any], tmp_path: Path, kind: str, prefix: str, delimiter: str
) -> None:
    from core.evaluation.answers import artifacts, stored
    from core.evaluation.evaluator import Evaluator

    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    text = (folder / f"{kind}.yaml").read_text()
    settings = f"target_delimiter: {json.dumps(delimiter)}\n"
    settings += f"gen_prefix: {json.dumps(prefix)}\n" if prefix else ""
    (folder / f"{kind}.yaml").write_text(settings + text)
    (shown,) = open_tasks(evaluation(folder, f"tiny_{kind}", fewshot=3), seed=0)
    before = {e.context for e in examples(shown, range(ITEMS))}
    written = {example for prompt in before for example in prompt.split("\n\n")[:-1]}
    (task,) = open_tasks(evaluation(folder, f"tiny_{kind}"), seed=0)
    answers = Evaluator(*loaded).ask(task)[1]
    prompts, said = artifacts(answers, prompts=True, model="base", task=task.name)
    kept = [each.scored for each in stored(prompts.arrays, said.arrays).values()]
    assert [(each["prompt"], each["continuation"]) for each in kept] == [
        (each.context, each.continuation) for each in examples(task, range(ITEMS))
    ]
    assert written
    assert written <= {each["prompt"] + each["continuation"] for each in kept}
