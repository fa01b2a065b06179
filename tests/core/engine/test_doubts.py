"""Warnings that arise while units compute are theirs, wherever they are computed."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from core.engine import registry, runner
from core.engine.measurement import Doubt
from core.engine.station import Done, Loaded, Order, Station, Warned
from core.errors import Cancelled, RunError
from core.evaluation.evaluator import Evaluator
from core.study.study import Study
from tests.conftest import MemorySink
from tests.core import harness_zoo
from tests.core.engine.beside import Beside, study_of

TASKS = ("tiny_last_word", "tiny_generation")


@pytest.fixture
def asked(family_folders: dict[str, Path], task_folder: Path) -> Study:
    """Two tasks whose prompts are cut."""
    return harness_zoo.study_of(
        family_folders["base"], {"medical": family_folders["medical"]}, task_folder,
        domains={"medical": list(TASKS)}, fewshot=3,
    )  # fmt: skip


def _of_units(sink: MemorySink) -> dict[str, list[Doubt]]:
    """The warnings of each unit, by its key."""
    return {key: result.warnings for key, (_, result) in sink.units.items()}


def test_cut_prompts_are_a_warning_of_each_unit_here_and_beside(asked: Study) -> None:
    here, beside = MemorySink(), MemorySink()
    runner.run(asked, here, ["evaluation"])
    runner.run(asked, beside, ["evaluation"], Beside())
    doubtful = [(unit, result.warnings) for unit, result in here.units.values() if unit.loads]
    assert len(doubtful) == 2 * len(TASKS)
    for unit, ((about, words),) in doubtful:
        assert about == unit.model
        assert f"of the task '{unit.task}' are longer" in words
    assert _of_units(beside) == _of_units(here)
    assert sorted(beside.warnings) == sorted(here.warnings)


def test_a_model_in_memory_is_the_subject_of_its_later_jobs_too(asked: Study) -> None:
    """Each unit is a job of its own: the model of the first one stays."""
    here = MemorySink()
    runner.run(asked, here, ["evaluation"])
    wanted = {k: result.warnings for k, (unit, result) in here.units.items() if unit.loads}
    station = Station(Order(asked, ("evaluation",), {}, threads=1))
    station.open()
    told = [message for key in wanted for message in station.compute([key], here.load)]
    assert {m.key: m.result.warnings for m in told if isinstance(m, Done)} == wanted
    assert sum(isinstance(message, Loaded) for message in told) == 2
    assert not any(isinstance(message, Warned) for message in told)


def test_a_resumed_run_has_the_warnings_of_an_unbroken_one(asked: Study) -> None:
    whole, broken = MemorySink(), MemorySink(stop_after=1)
    runner.run(asked, whole, ["evaluation"])
    with pytest.raises(Cancelled):
        runner.run(asked, broken, ["evaluation"])
    broken.stop_after = None
    runner.run(asked, broken, ["evaluation"])
    assert _of_units(broken) == _of_units(whole)


@pytest.mark.filterwarnings("default")
def test_warnings_of_reading_a_slice_are_of_all_its_units_here_and_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python shows a warning of one place once, unless the next part is another one."""
    study, analyses = study_of(tmp_path), ("tuning_vectors", "alignment")
    kind: Any = type(registry.get("alignment").compute([], study.parameters("alignment")))
    measure = kind.measure

    def measured(self: Any, matrix: Any, update: Any) -> Any:
        warnings.warn("overflow encountered in exp", RuntimeWarning, stacklevel=1)
        return measure(self, matrix, update)

    monkeypatch.setattr(kind, "measure", measured)
    here, beside = MemorySink(), MemorySink()
    runner.run(study, here, analyses)
    runner.run(study, beside, analyses, Beside())
    slices = [result for unit, result in here.units.values() if not unit.requires]
    overflow = ("libraries", "a number was too large for its precision: results may be infinite.")
    layers = [result for result in slices if overflow in result.warnings]
    assert len(layers) == 2 * 2 * len(analyses), "two layers of two models"
    assert _of_units(beside) == _of_units(here)


def test_warnings_before_a_failure_are_the_runs(
    asked: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Evaluator.ask

    def fails(self: Any, task: Any, *given: Any) -> Any:
        found = ask(self, task, *given)
        if task.name == TASKS[1]:
            raise ValueError("odd")
        return found

    monkeypatch.setattr(Evaluator, "ask", fails)
    sink = MemorySink()
    with pytest.raises(RunError, match="odd"):
        runner.run(asked, sink, ["evaluation"])
    of_units = [doubt for doubts in _of_units(sink).values() for doubt in doubts]
    assert {about for about, _ in of_units} == {"base", "medical"}
    assert not any(TASKS[1] in words for _, words in of_units)
    cut = f"of the task '{TASKS[1]}' are longer"
    others = [about for about, words in sink.warnings if cut in words]
    assert others == ["base", "medical"]
