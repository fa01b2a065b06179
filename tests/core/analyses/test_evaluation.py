"""Scores of a run against the evaluator asked by itself, and differences over the same items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from core.engine import registry, runner
from core.engine.subject import open_subject
from core.errors import Cancelled
from core.evaluation.evaluator import Evaluator, Score
from core.evaluation.tasks import open_tasks
from core.statistics import comparison
from core.study.study import Study
from tests.conftest import MemorySink
from tests.core import harness_zoo

ONLY = ["evaluation"]
BINARY = {"acc", "acc_norm", "exact_match:whole", "exact_match:first-word"}
Folders = dict[str, Path]


def _study(folders: Folders, tasks: Path, *names: str, **more: Any) -> Study:
    tuned = {n: p for n, p in folders.items() if n != "base" and (not names or n in names)}
    return harness_zoo.study_of(folders["base"], tuned, tasks, **more)


@pytest.fixture(scope="module")
def sink(family_folders: Folders, task_folder: Path) -> MemorySink:
    """A run over every kind of task."""
    results = MemorySink()
    domains = {"all": list(harness_zoo.ALL)}
    runner.run(_study(family_folders, task_folder, domains=domains), results, ONLY)
    return results


@pytest.fixture(scope="module")
def directly(family_folders: Folders, task_folder: Path) -> Mapping[tuple[str, str, str], Score]:
    """The same scores, model by model, with nothing of a run around them."""
    from transformers import PreTrainedTokenizerFast

    from core.demo import checkpoints

    scores = {}
    tasks = open_tasks(harness_zoo.evaluation(task_folder, *harness_zoo.ALL), seed=5)
    for model, folder in family_folders.items():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder))
        evaluator = Evaluator(checkpoints.read(folder).eval(), tokenizer)
        for task in tasks:
            scores.update({(model, task.name, s.metric): s for s in evaluator.evaluate(task)})
    return scores


def test_scores_are_those_of_the_evaluator_with_their_intervals(
    sink: MemorySink, directly: Mapping[tuple[str, str, str], Score]
) -> None:
    for (model, task, metric), score in directly.items():
        row = sink.value(metric, model=model, task=task)
        assert row.value == pytest.approx(score.value, rel=1e-6)
        assert row.n == harness_zoo.ITEMS
        assert (row.reference, row.metric_of, row.chance) == ("", "", None)
        errors = sink.rows("stderr", model=model, task=task, metric_of=metric)
        assert [e.value for e in errors] == (
            [] if score.stderr is None else [pytest.approx(score.stderr, rel=1e-6)]
        )
        if score.items is None:
            assert (row.low, row.high) == (None, None)
            continue
        estimate = comparison.score(score.items, resamples=50, seed=5)
        assert (row.low, row.high) == pytest.approx((estimate.low, estimate.high), rel=1e-6)
    metrics = {row.metric for _, r in sink.units.values() for row in r.measurements}
    assert metrics == {metric for _, _, metric in directly} | {"difference", "p_value", "stderr"}


def test_differences_and_p_values_are_over_the_same_items(
    sink: MemorySink, directly: Mapping[tuple[str, str, str], Score]
) -> None:
    for (model, task, metric), score in directly.items():
        if model == "base":
            continue
        base = directly["base", task, metric]
        coordinates = {"model": model, "task": task, "metric_of": metric}
        row = sink.value("difference", reference="base", **coordinates)
        assert row.value == pytest.approx((score.value or 0) - (base.value or 0), abs=1e-6)
        tests = sink.rows("p_value", **coordinates)
        assert bool(tests) == (metric in BINARY)
        if base.items is None or score.items is None:
            assert (row.low, row.n) == (None, None)
            continue
        pair = comparison.difference(base.items, score.items, resamples=50, seed=5)
        assert (row.low, row.high) == pytest.approx((pair.low, pair.high), rel=1e-5, abs=1e-6)
        assert row.chance == 0
        if tests:
            assert tests[0].value == comparison.mcnemar(base.items, score.items)


def test_a_copy_of_the_base_differs_by_nothing(sink: MemorySink) -> None:
    rows = sink.rows("difference", model="copy")
    assert len(rows) == 3 + 2 + 4 + 2
    assert {row.value for row in rows} == {0}
    assert {(row.low, row.high) for row in rows} == {(0, 0), (None, None)}
    assert {row.value for row in sink.rows("p_value", model="copy")} == {1}
    assert any(row.value for row in sink.rows("difference", model="medical"))
    assert not sink.rows("difference", model="base")


def test_what_is_measured_is_declared_or_the_harness_s(sink: MemorySink) -> None:
    declared = {metric.name for metric in registry.get("evaluation").metrics}
    measured = {row.metric for _, r in sink.units.values() for row in r.measurements}
    theirs = BINARY | {
        "brier_score", "bits_per_byte", "word_perplexity", "perplexity", "bleu:whole",
        "bleu:first-word",
    }  # fmt: skip
    assert declared <= measured
    assert measured - declared == theirs


def test_a_cancelled_run_goes_on_and_a_model_added_later_costs_its_own_units(
    family_folders: Folders, task_folder: Path
) -> None:
    two = _study(family_folders, task_folder, "medical")
    sink, whole = MemorySink(stop_after=4), MemorySink()
    with pytest.raises(Exception, match="cancelled"):
        runner.run(two, sink, ONLY)
    sink.stop_after = None
    runner.run(two, sink, ONLY)
    count = len(sink.saved)
    assert count == 2 * 3 + 3
    three = _study(family_folders, task_folder, "medical", "maths")
    runner.run(three, sink, ONLY)
    runner.run(three, whole, ONLY)
    assert len(sink.saved) == count + 2 * 3
    assert {k: r.measurements for k, (_, r) in sink.units.items()} == {
        k: r.measurements for k, (_, r) in whole.units.items()
    }


def test_a_unit_in_progress_is_stored_when_the_run_is_cancelled(
    family_folders: Folders, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Impatient(MemorySink):
        """Is cancelled while the first task is scored."""

        is_cancelled = False

        def cancelled(self) -> bool:
            return self.is_cancelled

    sink, ask = Impatient(), Evaluator.ask

    def asked(evaluator: Evaluator, task: Any) -> Any:
        sink.is_cancelled = True
        return ask(evaluator, task)

    monkeypatch.setattr(Evaluator, "ask", asked)
    of = _study(family_folders, task_folder, "medical", domains={"medical": ["tiny_choice"]})
    with pytest.raises(Cancelled):
        runner.run(of, sink, ONLY)
    assert [sink.units[key][0].model for key in sink.saved] == ["base"]


def test_how_often_items_are_drawn_is_part_of_the_key(
    family_folders: Folders, task_folder: Path
) -> None:
    sink, domains = MemorySink(), {"medical": ["tiny_choice"]}
    for resamples in (50, 60):
        study = _study(
            family_folders, task_folder, "copy", domains=domains, bootstrap=resamples
        )  # fmt: skip
        runner.run(study, sink, ONLY)
    assert len(sink.saved) == len(set(sink.saved)) == 2 * 3


def test_prompts_that_were_stored_with_wrong_marks_are_stored_anew(
    family_folders: Folders, task_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of choices that are prompts, as in Winogrande, all were called right."""
    domains = {"medical": ["tiny_choice"]}
    subject = open_subject(_study(family_folders, task_folder, "copy", domains=domains), ["tasks"])

    def keys() -> dict[str, str]:
        planned = registry.get("evaluation").plan(subject, subject.study.parameters("evaluation"))
        return {unit.loads: unit.key for unit in planned if unit.loads}

    before = keys()
    monkeypatch.setattr(subject.tasks[0].handle, "multiple_input", 1)
    after = keys()
    assert after["base"] != before["base"]
    assert after["copy"] == before["copy"], "prompts are stored once"
