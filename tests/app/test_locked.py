"""A database in which another process writes: waited for, said, and no reason to give a run up."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from app.console.narration import Patience
from app.jobs import worker
from core.engine import runner
from core.engine.measurement import Measurement, Progress, ResultSink, Unit, UnitResult
from core.errors import BusyError, Cancelled, RunError
from core.study.study import Study
from storage import beats, journal, patience, runs, sink
from storage.database import Database, open_database
from storage.schema import RunRow
from storage.sink import RunSink

STUDY = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns and brief waits of a few hundredths of a second."""
    for module, name in ((patience, "TURN"), (sink, "_BRIEF")):
        monkeypatch.setattr(module, name, 0.05)
    monkeypatch.setattr("storage.database.TURN", 0.05)


@pytest.fixture(params=["wal", "delete"])
def db(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """With either journal, as on a disk of its own and on a shared one."""
    kind = "ext4" if request.param == "wal" else "nfs4"
    monkeypatch.setattr(journal, "_mounts", lambda: [(Path("/"), kind)])
    opened = open_database(str(tmp_path / "x.db"))
    assert opened.journal.mode == request.param
    yield opened
    opened.close()


class _Holder:
    """Another program that has the lock until it is told to give it back."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self, *_: object) -> None:
        if self._connection.in_transaction:
            self._connection.execute("COMMIT")

    def close(self) -> None:
        self.release()
        self._connection.close()


@pytest.fixture
def hold(db: Database) -> Iterator[Callable[[], _Holder]]:
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(contextlib.closing(_Holder(db.path)))


def test_a_writer_waits_until_the_lock_is_free(db: Database, hold: Callable[[], _Holder]) -> None:
    holder, waits = hold(), []

    def waiting(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            holder.release()

    db.waiting = waiting
    run_id = runs.create_run(db, STUDY, ["alignment"])
    assert len(waits) == 3
    assert waits == sorted(waits)
    assert runs.find_run(db, run_id).status == "queued"


def test_whoever_reads_does_not_wait(db: Database, hold: Callable[[], _Holder]) -> None:
    run_id = runs.create_run(db, STUDY, ["alignment"])
    hold()
    with contextlib.closing(open_database(db.url, patience=0)) as reader:
        assert [run.id for run in runs.list_runs(reader)] == [run_id]
        with pytest.raises(BusyError, match="locked"):
            runs.create_run(reader, STUDY, ["alignment"])


def test_a_database_is_opened_once_it_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file has yet to be made or upgraded, opening writes."""
    path = tmp_path / "new.db"
    holder = _Holder(path)
    waits: list[float] = []

    def waiting(seconds: float) -> None:
        waits.append(seconds)
        holder.release()

    open_database(str(path), waiting=waiting).close()
    holder.close()
    assert waits


def test_a_worker_that_waits_lives(db: Database, hold: Callable[[], _Holder]) -> None:
    sink = _begun(db)
    run_id = runs.find_run(db, "latest").id
    _age(db, run_id)
    assert runs.find_run(db, run_id).status == "interrupted"
    holder = hold()
    sink.progress(Progress(3, 5, label="layer 2"))
    assert runs.find_run(db, run_id).status == "running"
    holder.release()
    # Before it has beaten in the database again, nobody can take its run.
    with pytest.raises(RunError, match="running right now"):
        runs.requeue(db, run_id)
    sink.beat()
    run = runs.find_run(db, run_id)
    assert (run.status, run.done, run.label) == ("running", 3, "layer 2")
    assert beats.last(db, run_id) == 0.0, "nothing is left beside it"
    _age(db, run_id)
    assert runs.find_run(db, run_id).status == "interrupted"


def test_a_beat_that_is_no_number_is_none(db: Database) -> None:
    db.folder("logs").mkdir()
    (db.folder("logs") / "x.beat").write_text("soon")
    assert beats.last(db, "x") == 0.0


def test_a_unit_is_saved_once_the_lock_is_free(db: Database, hold: Callable[[], _Holder]) -> None:
    sink, holder = _begun(db), hold()
    threading.Timer(0.3, holder.release).start()
    sink.save(Unit(key="k", analysis="alignment", label=""), UnitResult([_ROW]), 1.0)
    assert sink.finished(["k"]) == {"k"}


def test_a_cancelled_run_does_not_wait(
    db: Database, hold: Callable[[], _Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_HURRIED", 0.05)
    run_id = runs.create_run(db, STUDY, ["alignment"])

    def compute(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
        hold()
        assert isinstance(sink, RunSink)
        threading.Timer(0.2, sink._stop.set).start()
        sink.save(Unit(key="k", analysis="alignment", label=""), UnitResult([_ROW]), 1.0)

    monkeypatch.setattr(runner, "run", compute)
    with pytest.raises(Cancelled, match="waited for the database"):
        worker.work(db, run_id)


def test_that_it_waits_is_said_once_each_time() -> None:
    messages: list[str] = []
    tell = Patience(messages.append)
    for seconds in (0.5, 1.9, 2.1, 3.0, 60.0, 0.5, 1.0, 2.5, 3.0):
        tell(seconds)
    assert len(messages) == 2
    assert "another process" in messages[0]


_ROW = Measurement(metric="write", value=0.5, layer=0)


def _begun(db: Database) -> RunSink:
    run_id = runs.create_run(db, STUDY, ["alignment"])
    return RunSink(db, run_id, runs.claim(db, run_id))


def _age(db: Database, run_id: str) -> None:
    """As if its last beat in the database were old, and its worker elsewhere."""
    with db.writing() as connection:
        old = update(RunRow).where(RunRow.id == run_id)
        connection.execute(old.values(heartbeat=time.time() - 20, host="elsewhere"))
