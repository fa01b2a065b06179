"""Workers and failed units in the database: replaced, cleared, and gone with the run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select, update

from core.engine.measurement import FailedUnit, Progress, WorkerState
from core.errors import Cancelled
from storage import runs
from storage.database import Database
from storage.schema import FailureRow, RunRow, WorkerRow
from storage.sink import RunSink
from storage.workers import failed_units, workers
from tests.storage.conftest import result, unit

Begin = Callable[..., RunSink]
FIRST = WorkerState("w1", "node-a", "cuda:0", "medical", "scores", 2**33, 3, 1, 1e9)
SECOND = WorkerState("w2", "node-b", "cuda:0, cuda:1")


def _run(db: Database) -> str:
    return runs.find_run(db, "latest").id


def _failure(key: str) -> FailedUnit:
    return FailedUnit(key, "alignment", f"unit {key}", "out of memory", 3)


def _count(db: Database, table: type[Any]) -> int:
    with db.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def test_workers_come_back_and_are_replaced(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.workers([SECOND, FIRST])
    assert workers(db, _run(db)) == [FIRST, SECOND]
    sink.workers([SECOND])
    sink.beat()
    assert workers(db, _run(db)) == [SECOND]
    assert workers(db, "another") == []
    sink.workers([])
    assert workers(db, _run(db)) == []


def test_many_reports_are_few_writings(db: Database, begin: Begin) -> None:
    """Units of milliseconds would otherwise make the driver wait for the disk."""
    sink = begin()
    states = [WorkerState("w1", "node-a", "cpu", done=n) for n in range(500)]
    started = time.monotonic()
    written = set()
    for state in states:
        sink.workers([state])
        written.add(workers(db, _run(db))[0].done)
    assert len(written) <= 2 + (time.monotonic() - started) / 0.25
    sink.progress(Progress(500, 500))
    assert workers(db, _run(db)) == [states[-1]]


def test_a_new_attempt_and_the_end_forget_the_workers(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.workers([FIRST])
    run_id = _run(db)
    runs.finish(db, run_id, 1, "failed", title="1 of 2 units failed.")
    assert workers(db, run_id) == []
    runs.requeue(db, run_id)
    begin(run_id).workers([SECOND])
    sink.workers([FIRST])
    sink.beat()
    assert workers(db, run_id) == [SECOND], "the earlier attempt's report is ignored"
    runs.claim(db, _interrupted(db, run_id))
    assert workers(db, run_id) == []


def _interrupted(db: Database, run_id: str) -> str:
    """A killed driver leaves its workers' states."""
    with db.writing() as connection:
        silent = update(RunRow).where(RunRow.id == run_id).values(heartbeat=1.0, ticked=None)
        connection.execute(silent)
    assert workers(db, run_id)
    runs.requeue(db, run_id)
    return run_id


def test_a_saved_unit_clears_its_failure(db: Database, begin: Begin) -> None:
    sink, other = begin(), begin()
    for key in "abc":
        sink.failed(unit(key), "a node is gone", 1)
        sink.failed(unit(key), "out of memory", 3)
    other.failed(unit("a"), "out of memory", 3)
    run_id = next(run.id for run in runs.list_runs(db) if run.id != _run(db))
    assert failed_units(db, run_id) == [_failure(key) for key in "abc"]
    sink.save(unit("a"), result(), 1.0)
    assert failed_units(db, run_id) == [_failure("b"), _failure("c")]
    sink.save_slice([(unit("b"), result(), 1.0)])
    assert failed_units(db, run_id) == [_failure("c")]
    assert failed_units(db, _run(db)) == [_failure("a")], "another run's"


def test_failures_outlive_an_attempt_until_their_units_are_there(
    db: Database, begin: Begin
) -> None:
    sink = begin()
    run_id = _run(db)
    for key in "abc":
        sink.failed(unit(key), "out of memory", 3)
    runs.finish(db, run_id, 1, "failed", title="3 of 4 units failed.")
    runs.requeue(db, run_id)
    again = begin(run_id)
    assert len(failed_units(db, run_id)) == 3
    begin().save(unit("a"), result(), 1.0)  # another run computes it
    again.adopt(again.finished(["a", "b"]))
    assert failed_units(db, run_id) == [_failure("b")]  # the study no longer plans c
    again.save(unit("b"), result(), 1.0)
    assert failed_units(db, run_id) == []


def test_an_attempt_that_lost_its_run_stores_no_failure(db: Database, begin: Begin) -> None:
    sink = begin()
    run_id = _run(db)
    runs.finish(db, run_id, 1, "failed")
    runs.requeue(db, run_id)
    runs.claim(db, run_id)
    with pytest.raises(Cancelled):
        sink.failed(unit("a"), "out of memory", 3)
    assert failed_units(db, run_id) == []


def test_both_go_with_the_run(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.workers([FIRST])
    sink.failed(unit("a"), "out of memory", 3)
    with db.writing() as connection:
        connection.exec_driver_sql("UPDATE runs SET status = 'failed'")
    runs.delete_run(db, _run(db))
    assert (_count(db, WorkerRow), _count(db, FailureRow)) == (0, 0)


def test_damaged_rows_count_as_missing(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.workers([FIRST, SECOND])
    for key in "ab":
        sink.failed(unit(key), "out of memory", 3)
    with db.writing() as connection:
        connection.exec_driver_sql("UPDATE workers SET since = -1 WHERE name = 'w1'")
        connection.exec_driver_sql("UPDATE failures SET attempts = 'x' WHERE key = 'a'")
    assert workers(db, _run(db)) == [SECOND]
    assert failed_units(db, _run(db)) == [_failure("b")]
