"""What is told of runs where the clock is set: forward, or back, by an hour or a year."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from core.engine.measurement import Progress
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.schema import RunRow
from storage.sink import RunSink
from tests.storage.conftest import STUDY, VERSION_1, result, unit

Begin = Callable[..., RunSink]
HOUR, YEAR = 3600.0, 365 * 86400.0
SET = pytest.mark.parametrize("by", [-YEAR, -HOUR, HOUR, YEAR], ids=lambda by: f"{by:+.0f}s")


class Clock:
    """The time of day, which can be set, and beside it the time that only passes."""

    def __init__(self) -> None:
        self.ahead = self.passed = 0.0
        self._time, self._monotonic = time.time, time.monotonic

    def time(self) -> float:
        return self._time() + self.ahead + self.passed

    def monotonic(self) -> float:
        return self._monotonic() + self.passed

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time(), UTC)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made.time)
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    monkeypatch.setattr(runs, "_now", made.now)
    # Linux tells when a process began by the clock as it is now.
    began = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: began(self) + made.ahead)
    return made


@SET
def test_the_latest_run_is_the_one_begun_last(
    db: Database, study: Study, clock: Clock, by: float
) -> None:
    first = runs.create_run(db, study, ["alignment"])
    runs.finish(db, first, runs.claim(db, first), "done")
    clock.ahead += by
    second = runs.create_run(db, study, ["alignment"])
    assert runs.find_run(db, "latest").id == second
    runs.finish(db, second, runs.claim(db, second), "failed")
    assert runs.find_run(db, "latest").id == second
    assert [run.id for run in runs.list_runs(db)] == [second, first]
    unfinished = runs.unfinished_run(db, study.key(["alignment"]))
    assert unfinished is not None
    assert unfinished.id == second
    clock.ahead -= by / 2
    third = runs.create_run(db, study, ["alignment"])
    clock.ahead += by / 4
    runs.requeue(db, second)
    assert runs.find_run(db, "latest").id == second, "it was resumed last"
    assert [run.id for run in runs.list_runs(db)] == [third, second, first]


def test_deleting_and_shrinking_keep_the_order(db: Database, study: Study, clock: Clock) -> None:
    ids = [runs.create_run(db, study, ["alignment"]) for _ in range(40)]
    gone = {*ids[::3], *ids[-2:]}
    for run_id in gone:
        runs.delete_run(db, run_id)
    db.compact()
    clock.ahead = -HOUR
    newest = runs.create_run(db, study, ["alignment"])
    left = [run_id for run_id in ids if run_id not in gone]
    assert [run.id for run in runs.list_runs(db)] == [newest, *reversed(left)]
    assert runs.find_run(db, "latest").id == newest


@SET
def test_workers_wait_in_the_order_in_which_they_were_started(
    db: Database, study: Study, clock: Clock, by: float
) -> None:
    first, second = (runs.create_run(db, study, ["alignment"]) for _ in range(2))
    runs.await_worker(db, first, os.getpid())
    clock.ahead += by
    runs.await_worker(db, second, os.getpid())
    assert runs.before(db, first) is None
    earlier = runs.before(db, second)
    assert earlier is not None
    assert earlier.id == first


@SET
def test_a_run_lives_on_when_the_clock_is_set(
    db: Database, begin: Begin, clock: Clock, by: float
) -> None:
    begin()
    clock.ahead += by
    clock.passed += 14
    assert runs.find_run(db, "latest").status == "running"
    clock.passed += 2
    assert runs.find_run(db, "latest").status == "interrupted", "its heart stands still"


@SET
def test_a_waiting_run_waits_on_when_the_clock_is_set(
    db: Database, study: Study, clock: Clock, by: float
) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    runs.await_worker(db, run_id, os.getpid())
    clock.ahead += by
    assert runs.find_run(db, run_id).status == "queued"


def test_a_heartbeat_from_the_future_is_one(db: Database, begin: Begin) -> None:
    """Another host's clock is ahead of ours."""
    begin()
    run_id = runs.find_run(db, "latest").id
    _set(db, run_id, host="elsewhere", heartbeat=time.time() + HOUR)
    assert runs.find_run(db, run_id).status == "running"


def test_a_heartbeat_of_before_the_host_booted_is_told_by_the_time_of_day(
    db: Database, begin: Begin
) -> None:
    begin()
    run_id = runs.find_run(db, "latest").id
    _set(db, run_id, ticked=time.monotonic() + HOUR)
    assert runs.find_run(db, run_id).status == "running"
    _set(db, run_id, heartbeat=time.time() - 16)
    assert runs.find_run(db, run_id).status == "interrupted"


@SET
def test_a_run_takes_what_it_takes(db: Database, begin: Begin, clock: Clock, by: float) -> None:
    sink = begin()
    clock.passed += 60
    sink.progress(Progress(30, 90, 0, "layer 3", clock.time() + 120))
    sink.beat()
    clock.ahead += by
    clock.passed += 60
    sink.beat()
    run, now = runs.find_run(db, "latest"), clock.now()
    assert run.lasted(now) == pytest.approx(120, abs=2)
    assert run.throughput(now) == pytest.approx(0.25, rel=0.02)
    assert run.eta(now) == pytest.approx(60, abs=2)
    later = now + timedelta(seconds=5)
    assert run.lasted(later) == pytest.approx(125, abs=2), "it goes on until the next heartbeat"
    clock.ahead += by
    clock.passed += 30
    runs.finish(db, run.id, 1, "done")
    assert runs.find_run(db, run.id).lasted(clock.now()) == pytest.approx(150, abs=2)


def test_what_nobody_counted_is_told_by_the_time_of_day(db: Database, begin: Begin) -> None:
    begin()
    run = runs.find_run(db, "latest")
    _set(db, run.id, status="done", took=None, started=1000.0, finished=1090.0)
    assert runs.find_run(db, run.id).lasted(datetime.now(UTC)) == 90


@SET
def test_new_results_are_another_edition(
    db: Database, begin: Begin, clock: Clock, by: float
) -> None:
    sink, key = begin(), unit("k")
    sink.save(key, result(), 1.0)
    sink.save(unit("l"), result(), 1.0)
    run_id = runs.find_run(db, "latest").id
    before = runs.edition(db, run_id, "alignment")
    clock.ahead += by
    sink.save(key, result(), 1.0)
    assert runs.edition(db, run_id, "alignment") != before


def test_an_old_database_keeps_the_order_of_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as old:
        old.executescript(VERSION_1.read_text())
        (columns,) = zip(*old.execute("SELECT name FROM pragma_table_info('runs')"), strict=True)
        rest = ", ".join(c for c in columns if c not in ("id", "created", "started", "heartbeat"))
        for run_id, created, started in (("b", 9e8, 3e9), ("c", 9e8, 2e9), ("d", 8e8, None)):
            old.execute(
                f"INSERT INTO runs (id, created, started, heartbeat, {rest}) "
                f"SELECT '{run_id}', ?, ?, NULL, {rest} FROM runs WHERE id = '0123456789ab'",
                (created, started),
            )
        old.commit()
    with contextlib.closing(open_database(str(path))) as db:
        assert [run.id for run in runs.list_runs(db)] == ["d", "c", "b", "0123456789ab"]
        assert runs.find_run(db, "latest").id == "b", "begun last by its times"
        new = runs.create_run(db, STUDY, ["alignment"])
        assert runs.find_run(db, "latest").id == runs.list_runs(db)[0].id == new


def _set(db: Database, run_id: str, **values: object) -> None:
    with db.writing() as connection:
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(**values))
