"""Items behind scores: their flips against a brute force, and their stored prompts and answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine import registry, runner
from core.engine.forms import sizes
from core.evaluation import answers
from core.evaluation.evaluator import Evaluator, Score
from core.evaluation.tasks import Task, open_tasks
from core.figures.figure import Table
from core.figures.items import LOST, ORDERS, WON
from core.figures.passages import Passages
from core.figures.views import Catalogue, Choice, Tabulation
from tests.conftest import MemorySink
from tests.core import harness_zoo

Folders = dict[str, Path]
MODEL = "medical"


@pytest.fixture(scope="module")
def sink(family_folders: Folders, task_folder: Path) -> MemorySink:
    """A run over every kind of task."""
    tuned = {name: path for name, path in family_folders.items() if name == MODEL}
    domains = {"all": list(harness_zoo.ALL)}
    study = harness_zoo.study_of(family_folders["base"], tuned, task_folder, domains=domains)
    results = MemorySink()
    runner.run(study, results, ["evaluation"])
    return results


@pytest.fixture(scope="module")
def tasks(task_folder: Path) -> dict[str, Task]:
    opened = open_tasks(harness_zoo.evaluation(task_folder, *harness_zoo.ALL), seed=5)
    return {task.name: task for task in opened}


@pytest.fixture(scope="module")
def evaluators(family_folders: Folders) -> Mapping[str, Evaluator]:
    """The base and the tuned model, with nothing of a run around them."""
    from transformers import PreTrainedTokenizerFast

    from core.demo import checkpoints

    return {
        name: Evaluator(
            checkpoints.read(family_folders[name]).eval(),
            PreTrainedTokenizerFast.from_pretrained(str(family_folders[name])),
        )
        for name in ("base", MODEL)
    }


def _shown(
    sink: MemorySink, view: str, task: str, metric: str, *without: str, **coordinates: Any
) -> Any:
    """The figure of a view of evaluation, of this run's artifacts less those of these names."""
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]

    def arrays(name: str, *, model: str = "", task: str = "", **_: Any) -> Any:
        matching = (a.arrays for a in artifacts if (a.name, a.model, a.task) == (name, model, task))
        return None if name in without else next(matching, None)

    choice = Choice(measure="difference", model=MODEL, task=task, metric_of=metric, **coordinates)
    asked = Tabulation(choice=choice, catalogue=Catalogue(), rows=(), arrays=arrays)
    made = next(v for v in registry.get("evaluation").views if v.key == view).tabulate
    assert made is not None
    return made(asked)


def _scores(evaluators: Mapping[str, Evaluator], task: Task) -> dict[str, dict[str, Score]]:
    return {
        model: {score.metric: score for score in each.evaluate(task)}
        for model, each in evaluators.items()
    }


def test_flips_and_changes_are_those_of_single_items(
    sink: MemorySink, evaluators: Mapping[str, Evaluator], tasks: Mapping[str, Task]
) -> None:
    flipped = 0
    for task in tasks.values():
        scores = _scores(evaluators, task)
        for metric, score in scores[MODEL].items():
            base = scores["base"][metric].items
            table = _shown(sink, "items", task.name, metric, order="by item")
            if score.items is None or base is None:
                assert table.is_empty
                continue
            assert [row[0] for row in table.rows] == list(score.items.index)
            # A brute force: the score of each item, by the score's own formula.
            for i, row in enumerate(table.rows):
                parts = [(x.total[i] / x.weight[i], x.form) for x in (base, score.items)]
                scale = {"mean": 1.0, "perplexity": -1.0, "bits_per_byte": -1 / np.log(2)}
                values = [value * scale[form] for value, form in parts]
                assert row[1:3] == pytest.approx(values, rel=1e-5)
                assert row[3] == pytest.approx(values[1] - values[0], rel=1e-3, abs=1e-5)
            if score.items.binary() and base.binary():
                won = int(((base.total == 0) & (score.items.total == 1)).sum())
                lost = int(((base.total == 1) & (score.items.total == 0)).sum())
                flips = [record.flip for record in table.records]
                assert (flips.count(WON), flips.count(LOST)) == (won, lost)
                view = next(v for v in registry.get("evaluation").views if v.key == "items")
                finding = view.finding(table)
                assert f"{won} went from wrong to right and {lost} from right to wrong" in finding
                flipped += won + lost
    assert flipped, "or nothing was tested"


def test_orders_put_first_what_they_say(sink: MemorySink) -> None:
    def gains(order: str) -> list[float]:
        table = _shown(sink, "items", "tiny_choice", "acc", order=order)
        assert sorted(table.items, key=int) == [str(row[0]) for row in sorted(table.rows)]
        return [record.gain for record in table.records]

    assert gains("worst first") == sorted(gains("by item"))
    assert gains("best first") == sorted(gains("by item"), reverse=True)
    assert gains("largest change") == sorted(gains("by item"), key=lambda gain: -abs(gain))
    assert set(ORDERS) == set(next(
        v for v in registry.get("evaluation").views if v.key == "items").orders)  # fmt: skip


def test_prompts_are_stored_once_and_answers_for_each_model(sink: MemorySink) -> None:
    artifacts = [a for _, result in sink.units.values() for a in result.artifacts]
    names = [(a.name, a.model, a.task) for a in artifacts]
    assert len(names) == len(set(names))
    for task in harness_zoo.ALL:
        assert ("prompts", "base", task) in names
        assert ("prompts", MODEL, task) not in names
        assert {m for n, m, t in names if (n, t) == ("answers", task)} == {"base", MODEL}
    for artifact in artifacts:
        if artifact.name in ("prompts", "answers"):
            assert sizes(artifact.name, artifact.arrays)["items"] == harness_zoo.ITEMS


def test_the_text_of_an_item_is_the_tasks_and_its_choice_the_models(
    sink: MemorySink, evaluators: Mapping[str, Evaluator], tasks: Mapping[str, Task]
) -> None:
    task = tasks["tiny_choice"]
    scores = _scores(evaluators, task)
    tuned, base = scores[MODEL]["acc"].items, scores["base"]["acc"].items
    assert tuned is not None
    assert base is not None
    for i, index in enumerate(map(int, tuned.index)):
        figure = _shown(sink, "item", task.name, "acc", item=str(index))
        assert isinstance(figure, Passages)
        result, prompt, choices = figure.blocks
        assert f"base {base.total[i]:.4g}, {MODEL} {tuned.total[i]:.4g}" == result.passages[0].text
        document = task.document(index)
        assert prompt.passages[0].text.endswith(task.handle.doc_to_text(document))
        options = task.handle.doc_to_choice(document)
        assert [p.text.strip() for p in choices.passages] == [str(o).strip() for o in options]
        gold = [choice for choice, p in enumerate(choices.passages) if "gold" in p.marks]
        assert gold == [task.handle.doc_to_target(document)]
        scored = {"prompt": prompt.passages[0].text, "continuation": f" {options[gold[0]]}"}
        assert figure.scored == scored
        for name, items in (("base", base), (MODEL, tuned)):
            chosen = [
                choice
                for choice, p in enumerate(choices.passages)
                if f"chosen by {name}" in p.marks
            ]
            assert (chosen == gold) == bool(items.total[i]), "right is who chooses the gold one"
            assert all(name in p.beside for p in choices.passages)
    assert figure.note == ""
    assert set(figure.items) == set(map(str, map(int, tuned.index)))


def test_every_kind_of_task_has_a_text(sink: MemorySink, tasks: Mapping[str, Task]) -> None:
    for task in tasks.values():
        for metric in task.metrics:
            table = _shown(sink, "items", task.name, metric)
            figure = _shown(sink, "item", task.name, metric)
            if table.is_empty:
                continue
            text = " ".join(p.text for block in figure.blocks[1:] for p in block.passages)
            assert len(text) > 10, task.name
            assert figure.item == table.items[0]


def test_runs_without_stored_prompts_show_the_items_and_say_what_lacks(sink: MemorySink) -> None:
    old = ("prompts", "answers")
    table = _shown(sink, "items", "tiny_choice", "acc", *old)
    assert isinstance(table, Table)
    assert len(table.rows) == harness_zoo.ITEMS
    assert "--fresh" in table.note
    figure = _shown(sink, "item", "tiny_choice", "acc", *old)
    assert "--fresh" in figure.note
    assert [block.heading for block in figure.blocks] == ["Result"]
    assert "--fresh" not in _shown(sink, "items", "tiny_choice", "acc").note


def test_long_and_hostile_texts_are_stored_within_bounds() -> None:
    evil = "\x1b[31m \ud800 <script> =cmd " + "宽" * 10_000
    rows = [
        {"doc_id": 7, "arguments": [(evil, " a"), (evil, " b")], "target": 1,
         "resps": [[(-2.0, False)], [(-1.0, True)]]},
        {"doc_id": 3, "arguments": [("short", " a"), ("short", " b")], "target": "a",
         "resps": [[(-2.0, False)], [(-1.0, True)]]},
        {"doc_id": 9, "arguments": [("say", {"until": ["."]})], "target": ["x", "y"],
         "resps": [["z\n"]]},
    ]  # fmt: skip
    read = answers.read(rows)
    assert [each.index for each in read] == [3, 7, 9]
    assert [each.right for each in read] == [(True, False), (False, True), ()]
    prompts, answered = answers.artifacts(read, prompts=True, model="base", task="t")
    assert all(array.dtype.kind in "iuf" for array in prompts.arrays.values())
    by_index = answers.stored(prompts.arrays, answered.arrays)
    assert by_index[7].prompt == answers.CUT + "宽" * answers.LONGEST
    assert by_index[7].likelihoods == (-2.0, -1.0)
    assert (by_index[9].target, by_index[9].said) == ("x | y", "z\n")
    many = [answers.Answer(i, "x" * 4_000, ("y" * 4_000,) * 4) for i in range(2_000)]
    whole, _ = answers.artifacts(many, prompts=True, model="base", task="t")
    assert sum(array.nbytes for array in whole.arrays.values()) < 4_000_000
