"""A worker's life: how it ends, what it records, and how it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.jobs import worker
from app.jobs.launcher import log_of
from app.jobs.stopping import _end_soon
from core.engine import runner
from core.engine.measurement import (
    Measurement,
    Progress,
    ResultSink,
    Unit,
    UnitResult,
    WorkerState,
)
from core.errors import Cancelled, InputError, RunError, StorageError
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.workers import failed_units
from tests.patience import PATIENCE, eventually

STUDY = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})
Compute = Callable[[Study, ResultSink, Any], None]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


@pytest.fixture
def work(db: Database, monkeypatch: pytest.MonkeyPatch) -> Callable[..., runs.RunSummary]:
    """Work on a new run with this in place of the engine."""

    def start(compute: Compute, **listeners: Any) -> runs.RunSummary:
        monkeypatch.setattr(runner, "run", compute)
        return worker.work(db, runs.create_run(db, STUDY, ["alignment"]), **listeners)

    return start


def _one_unit(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
    unit = Unit(key="k", analysis="alignment", label="layer 0", model="medical")
    sink.progress(Progress(0, 1, label="layer 0"))
    sink.warn("medical", "is odd.")
    sink.warn("medical", "is odd.")
    rows = [Measurement(metric="write", value=0.5, model="medical")]
    doubts = [("medical", "is odd."), ("medical", "has cut prompts.")]
    sink.save(unit, UnitResult(rows, warnings=doubts), 0.1)
    sink.save_slice([(unit, UnitResult(rows, warnings=doubts), 0.1)])
    sink.progress(Progress(1, 1))


def _until_cancelled(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
    for _i in range(1000):
        if sink.cancelled():
            raise Cancelled("stopped")
        time.sleep(0.01)


def test_listeners_hear_of_workers_and_failed_units(db: Database, work: Any) -> None:
    states = [WorkerState("worker 1", "node-a", "GPU 0"), WorkerState("worker 2", "node-b", "CPU")]

    def fail(study: Study, sink: ResultSink, analyses: Any, executor: Any) -> None:
        sink.workers(states)
        sink.failed(Unit(key="k", analysis="alignment", label="layer 0"), "out of memory", 3)
        executor.on_fault("Traceback of it")
        raise RunError("1 of 2 units failed.", hint="Try again.")

    heard: list[Any] = []
    with pytest.raises(RunError, match="1 of 2"):
        work(fail, on_workers=heard.append, on_warning=lambda *warning: heard.append(warning))
    assert heard == [states, ("layer 0", "failed 3 times: out of memory")]
    run = runs.find_run(db, "latest")
    assert (run.status, run.failed, run.warnings, run.workers) == ("failed", 1, 0, 0)
    assert [unit.cause for unit in failed_units(db, run.id)] == ["out of memory"]
    assert "Traceback of it" in log_of(db, run.id).read_text()
    assert run.error_hint == f"Try again. {log_of(db, run.id)} has the tracebacks."


def test_a_run_is_done_and_listeners_have_heard(db: Database, work: Any) -> None:
    heard: list[Any] = []
    run = work(
        _one_unit,
        on_progress=lambda p: heard.append((p.done, p.label)),
        on_warning=lambda *warning: heard.append(warning),
    )
    cut = ("medical", "has cut prompts.")
    assert heard == [(0, "layer 0"), ("medical", "is odd."), cut, (1, "")]
    assert (run.status, run.done, run.total, run.warnings) == ("done", 1, 1, 2)
    assert run.pid == os.getpid()
    environment = runs.provenance(db, run.id)["environment"]
    assert environment["versions"]["torch"]
    assert environment["memory_bytes"] > 0
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1"
    with pytest.raises(RunError, match="is finished"):
        worker.work(db, run.id)


def test_listeners_hear_the_warnings_of_reused_units(db: Database, work: Any) -> None:
    work(_one_unit)
    heard: list[Any] = []

    def reuse(study: Study, sink: ResultSink, analyses: Any, executor: Any) -> None:
        sink.adopt(sink.finished(["k"]))

    run = work(reuse, on_warning=lambda *warning: heard.append(warning))
    assert heard == [("medical", "is odd."), ("medical", "has cut prompts.")]
    assert run.warnings == 2


def test_an_expected_error_is_recorded_and_passes(db: Database, work: Any) -> None:
    def fail(*_: Any) -> None:
        raise InputError("model.safetensors is cut short.", hint="Fetch it again.")

    with pytest.raises(InputError):
        work(fail)
    run = runs.find_run(db, "latest")
    assert (run.status, run.error_title, run.error_hint) == (
        "failed", "model.safetensors is cut short.", "Fetch it again.",
    )  # fmt: skip
    assert not log_of(db, run.id).exists()


def test_an_unexpected_error_leaves_its_traceback_in_the_log(db: Database, work: Any) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("matrices \x1b[31m do not fit")

    with pytest.raises(RunError, match=r"^ValueError: matrices"):
        work(fail)
    run = runs.find_run(db, "latest")
    log = log_of(db, run.id)
    assert run.status == "failed"
    assert str(log) in run.error_hint
    assert "Traceback" in log.read_text()
    assert "in fail" in log.read_text()


def test_memory_that_ran_out_on_a_card_is_no_fault_of_the_program(db: Database) -> None:
    error = worker._reported(RuntimeError("CUDA error: out of memory"), db, "a-run")
    assert isinstance(error, RunError)
    assert error.title == "Out of memory: CUDA error: out of memory"
    assert "run.device" in error.hint
    assert "bug in tauscope" not in error.hint


def test_a_lost_database_is_the_error_that_is_told(db: Database, work: Any) -> None:
    def fail(*_: Any) -> None:
        for path in db.path.parent.glob("x.db*"):
            path.unlink()
        db.close()
        raise StorageError("The disk is gone.")

    with pytest.raises(StorageError, match="The disk is gone"):
        work(fail)


def test_a_wish_in_the_database_cancels(db: Database, work: Any) -> None:
    def wish_then_wait(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
        runs.request_cancel(db, "latest")
        _until_cancelled(study, sink, analyses)

    with pytest.raises(Cancelled):
        work(wish_then_wait)
    assert runs.find_run(db, "latest").status == "cancelled"


def test_a_waiting_run_bears_a_locked_database_for_a_while(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[Any] = [StorageError("locked"), StorageError("locked"), None]

    def before(asked: Database, run_id: str) -> None:
        answer = answers.pop(0)
        if isinstance(answer, StorageError):
            raise answer

    monkeypatch.setattr(runs, "before", before)
    monkeypatch.setattr(worker, "_LOOK", 0.001)
    worker._await_turn(db, "x")
    assert not answers
    answers += [StorageError("gone")] * 1000
    monkeypatch.setattr(worker, "_BORNE", 0.01)
    with pytest.raises(StorageError, match="gone"):
        worker._await_turn(db, "x")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_cancels_politely(db: Database, work: Any, number: int) -> None:
    before = signal.getsignal(number)

    def signalled(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
        os.kill(os.getpid(), number)
        _until_cancelled(study, sink, analyses)

    stops: list[bool] = []
    with pytest.raises(Cancelled):
        work(signalled, on_stop=lambda: stops.append(True))
    assert stops == [True]
    assert runs.find_run(db, "latest").status == "cancelled"
    if before == signal.SIG_DFL:  # it would end the process with another exit code
        assert signal.signal(number, before) is _end_soon
    else:
        assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once(db: Database, work: Any, number: int) -> None:
    def stubborn(*_: Any) -> None:
        os.kill(os.getpid(), number)
        time.sleep(0.05)
        os.kill(os.getpid(), number)
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        work(stubborn)
    assert runs.find_run(db, "latest").status == "cancelled"


def test_a_busy_worker_keeps_beating(
    db: Database, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_BEAT", 0.02)
    beats: list[datetime] = []

    def beaten() -> bool:
        heartbeat = runs.find_run(db, "latest").heartbeat
        if heartbeat is None or (beats and heartbeat <= beats[-1]):
            return False
        beats.append(heartbeat)
        return True

    def busy(*_: Any) -> None:
        for _i in range(5):
            assert eventually(beaten), "it beats no more"

    work(busy)
    assert len(beats) == 5


_SLOW = """
import sys, time
from core.engine import runner
from core.engine.measurement import Measurement, Progress, Unit, UnitResult
from core.errors import Cancelled

def slow(study, sink, analyses, *_):
    done = sink.finished([f"k{i}" for i in range(1000)])
    sink.adopt(done)
    for i in range(len(done), 1000):
        if sink.cancelled():
            raise Cancelled("stopped")
        sink.save(Unit(key=f"k{i}", analysis="alignment", label=f"unit {i}"),
                  UnitResult([Measurement(metric="write", value=1.0, layer=i)]), 0.01)
        sink.progress(Progress(i + 1, 1000, len(done), f"unit {i}"))
        print("saved", flush=True)
        time.sleep(0.01)

runner.run = slow
from app.worker import main
sys.exit(main(sys.argv[1:]))
"""


def _slow_worker(db: Database, run_id: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLOW, run_id, "--db", db.url], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while "saved" not in process.stdout.readline():
        assert process.poll() is None
    return process


def test_terminated_it_cancels_and_killed_it_reads_as_interrupted(db: Database) -> None:
    run_id = runs.create_run(db, STUDY, ["alignment"])
    with _slow_worker(db, run_id) as process:
        with pytest.raises(RunError, match="running right now"):
            worker.work(db, run_id)
        process.terminate()
        assert process.wait(timeout=PATIENCE) == 1
    cancelled = runs.find_run(db, run_id)
    assert cancelled.status == "cancelled"
    assert cancelled.done >= 1
    runs.requeue(db, run_id)
    with _slow_worker(db, run_id) as process:
        process.kill()
        process.wait()
    killed = runs.find_run(db, run_id)
    assert killed.status == "interrupted"
    assert killed.reused >= cancelled.done
    rows = runs.measurements(db, run_id, "alignment")
    assert len(rows) >= killed.done > cancelled.done


def test_a_pass_over_documents_is_logged_every_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 1.0, 5.0, 11.0, 12.0, 13.0])
    clocked = SimpleNamespace(monotonic=lambda: next(clock), strftime=time.strftime)
    monkeypatch.setattr(worker, "time", clocked)
    log = worker._Steps()
    for label in (
        "states of base", "states of base, document 4 of 9", "states of base, document 8 of 9",
        "states of base, document 9 of 9", "states of maths, document 4 of 9", "loading base",
    ):  # fmt: skip
        log(Progress(3, 7, label=label))
    logged = [line.partition("3/7 ")[2] for line in capsys.readouterr().out.splitlines()]
    assert logged == [
        "states of base", "states of base, document 9 of 9", "states of maths, document 4 of 9",
        "loading base",
    ]  # fmt: skip
