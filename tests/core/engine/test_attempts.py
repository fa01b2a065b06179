"""A run in one process goes on after a unit that fails, as runs over several workers do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.engine import executor, registry, runner
from core.engine.executor import Computation, Job, LocalExecutor
from core.engine.measurement import UnitResult
from core.errors import Cancelled, CheckpointError, ResultError, RunError, StorageError
from core.states import forward
from core.weights.views import UpdateView
from tests.conftest import WEIGHTS, MemorySink, tiny_config, tiny_tensors, tuned_from, write_model
from tests.core.engine.beside import study_of
from tests.core.engine.made_up import MadeUpWork, made_up

Fault = Callable[[str], None]
Compute = Callable[[Any, Fault], list[str]]


@pytest.fixture
def compute(monkeypatch: pytest.MonkeyPatch) -> Compute:
    """Compute made-up work in this process; returns the models that were loaded. The fault may
    raise for a unit or a model."""

    def computed(work: Any, fault: Fault) -> list[str]:
        loads: list[str] = []

        class Pretended:
            def __init__(self, *_: Any) -> None:
                pass

            @contextmanager
            def visit(self, name: str) -> Iterator[str]:
                loads.append(name)
                fault(name)
                yield name

            def units(self, job: Any, session: Any) -> Iterator[Any]:
                for unit in job.units:
                    fault(unit.key)
                    yield unit, UnitResult(), 1.0

            def slice(self, units: Any, parts: Any) -> list[Any]:
                for unit in units:
                    fault(unit.key)
                return [(unit, UnitResult(), 1.0) for unit in units]

        monkeypatch.setattr(executor, "Computation", Pretended)
        LocalExecutor().compute(work, [])
        return loads

    return computed


def _raising(error: Exception, *keys: str) -> Fault:
    def fault(key: str) -> None:
        if key in keys:
            raise error

    return fault


def test_the_model_is_loaded_again_after_an_error(compute: Compute) -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(4)), made_up("t", "tuned"))
    assert compute(work, _raising(ValueError("wrong"), "1")) == ["base", "base", "tuned"]
    assert work.failures == {"1": ("ValueError: wrong", 1)}
    assert work.saved == [["0"], ["2"], ["3"], ["t"]]


def test_lack_of_memory_is_not_met_a_hundred_times(compute: Compute) -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(100)), made_up("g", analysis="graft"))
    keys = [str(i) for i in range(100)]
    assert len(compute(work, _raising(MemoryError(), *keys))) == 4
    assert [cause for cause, _ in work.failures.values()] == ["There is not enough memory."] * 3
    assert len(work.left_out) == 97
    assert work.saved == [["g"]]


def test_units_with_errors_of_their_own_do_not_leave_out_the_others(compute: Compute) -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(9)))
    wrong = {"0": ValueError("no answer"), "1": KeyError("x"), "2": TypeError("a list")}

    def fault(key: str) -> None:
        if key in wrong:
            raise wrong[key]

    compute(work, fault)
    assert work.failures.keys() == wrong.keys()
    assert not work.left_out
    assert work.saved == [[str(i)] for i in range(3, 9)]


def test_causes_that_differ_in_numbers_are_alike(compute: Compute) -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(100)))

    def fault(key: str) -> None:
        if key != "base":
            raise RuntimeError(f"CUDA out of memory. Tried to allocate {key}.50 GiB.")

    compute(work, fault)
    assert len(work.failures) == 3
    assert len(work.left_out) == 97


def test_a_model_that_cannot_be_loaded_is_tried_once(compute: Compute) -> None:
    work = MadeUpWork(*(made_up(str(i)) for i in range(9)), made_up("t", "tuned"))
    assert compute(work, _raising(RuntimeError("no"), "base")) == ["base", "tuned"]
    assert len(work.failures) == 1
    assert len(work.left_out) == 8


def test_the_analysis_that_fails_in_a_slice_is_given_up_alone(compute: Compute) -> None:
    units = [made_up(str(i), "", name) for i, name in enumerate(WEIGHTS[:3])]
    work = MadeUpWork(*units, together=True)
    compute(work, _raising(ValueError("wrong"), "1"))
    assert work.failures == {"1": ("ValueError: wrong", 2)}
    assert sorted(key for keys in work.saved for key in keys) == ["0", "2"]


@pytest.mark.parametrize("kind", [CheckpointError, ResultError])
@pytest.mark.parametrize("at", ["tuned", "0"])
def test_bad_input_of_one_model_and_a_damaged_result_leave_the_others(
    compute: Compute, at: str, kind: type[CheckpointError | ResultError]
) -> None:
    work = MadeUpWork(made_up("0", "tuned"), made_up("1"), made_up("2", "other"))
    compute(work, _raising(kind("The file is cut short."), at))
    assert work.failures == {"0": ("The file is cut short.", 1)}
    assert work.saved == [["1"], ["2"]]


@pytest.mark.parametrize("error", [StorageError("The disk is full."), Cancelled("Cancelled.")])
def test_a_lost_database_and_a_cancellation_end_a_run_at_once(
    compute: Compute, error: Exception
) -> None:
    work = MadeUpWork(made_up("0"), made_up("1"))
    with pytest.raises(type(error)):
        compute(work, _raising(error, "0"))
    assert not work.failures


def test_an_error_in_the_results_of_one_reader_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reader:
        def __init__(self, units: Any, *_: Any) -> None:
            self.units = units

        def results(self) -> Iterator[Any]:
            for unit in self.units:
                if unit.key == "1":
                    raise ValueError("wrong")
                yield unit, UnitResult()

    options = {"probe": "p", "documents": 1, "stored": "s"}
    names = ("divergence", "token_shift", "representation")
    units = [made_up(str(i), analysis=name, options=options) for i, name in enumerate(names)]
    monkeypatch.setattr(registry, "get", lambda name: SimpleNamespace(reader=Reader))
    monkeypatch.setattr(forward, "read", lambda *_, **__: None)
    study: Any = SimpleNamespace(parameters=lambda name: None)
    subject: Any = SimpleNamespace(probes={"p": SimpleNamespace(first=lambda count: None)})
    session: Any = SimpleNamespace(model=SimpleNamespace(name="base"))
    report: Any = MadeUpWork()
    results = Computation(study, subject, report).units(Job(tuple(units)), session)
    finished: list[str] = []
    with pytest.raises(ValueError, match="wrong"):
        finished.extend(unit.key for unit, *_ in results)
    assert sorted(finished) == ["0", "2"]


def test_a_run_with_failed_units_names_the_cause_and_resumes(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.study import intake

    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())
    tuned = write_model(tmp_path / "tuned", tiny_config(), tuned_from(tiny_tensors(), 1))
    study = intake.of_models(str(base), [str(tuned)])
    whole, sink, faults = MemorySink(), MemorySink(), list[str]()
    analyses = ("tuning_vectors", "vector_cosine")
    runner.run(study, whole, analyses)
    reader: Any = registry.get("tuning_vectors").compute([], study.parameters("tuning_vectors"))
    measure = type(reader).measure

    def fails(self: Any, matrix: Any, update: UpdateView) -> Any:
        if matrix.piece.layer == 1:
            raise IndexError("no such row")
        return measure(self, matrix, update)

    with monkeypatch.context() as patched:
        patched.setattr(type(reader), "measure", fails)
        with pytest.raises(RunError) as raised:
            runner.run(study, sink, analyses, LocalExecutor(faults.append))
    failed = [unit for unit, _ in whole.units.values() if unit.key in sink.failures]
    assert {(unit.analysis, unit.layer) for unit in failed} == {("tuning_vectors", 1)}
    left = len(whole.units) - len(sink.units) - len(failed)
    further = f", and {left} further {'was' if left == 1 else 'were'} left out"
    assert f"{len(failed)} of {len(whole.units)} unit" in raised.value.title
    assert further in raised.value.title
    assert "IndexError: no such row" in raised.value.title
    assert "in fails" in faults[0]
    runner.run(study, sink, analyses)
    assert sink.units.keys() == whole.units.keys()
    for key, (_, result) in whole.units.items():
        assert sink.units[key][1].measurements == result.measurements


def test_a_damaged_result_leaves_what_does_not_require_it(tmp_path: Path) -> None:
    class Damaged(MemorySink):
        def load(self, key: str) -> UnitResult:
            if self.units[key][0].analysis == "tuning_vectors":
                raise ResultError("The artifact is missing.")
            return super().load(key)

    sink = Damaged()
    with pytest.raises(RunError, match=r"2 of \d+ units failed; .* The artifact is missing"):
        runner.run(study_of(tmp_path), sink, ("tuning_vectors", "vector_cosine"))
    assert {failed.analysis for failed in sink.failures.values()} == {"tuning_vectors"}
    kept = {unit.analysis for unit, _ in sink.units.values() if unit.requires}
    assert kept == {"vector_cosine"}


@pytest.mark.parametrize(
    ("failed", "left_out", "words"),
    [
        (1, 0, "1 of 4 units failed; all others are stored. The failure: x"),
        (2, 1, "2 of 4 units failed, and 1 further was left out; all others are stored. The first"),
        (2, 2, "2 of 4 units failed, and 2 further were left out. The first failure: x"),
        (4, 0, "4 of 4 units failed. The first failure: x"),
    ],
)
def test_no_units_are_called_stored_where_none_are(failed: int, left_out: int, words: str) -> None:
    assert str(runner._of_failures(failed, left_out, 4, "x")).startswith(words)
