"""What no run refers to goes, and nothing else, whoever is writing at that moment."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from core.engine.measurement import Artifact, Measurement, UnitResult
from core.errors import StorageError
from core.files import partial
from core.study.study import Study
from storage import artifacts, garbage, runs
from storage.database import Database, open_database
from storage.garbage import HOUR, collect
from storage.schema import ArtifactRow, MeasurementRow, RunUnitRow, UnitRow, WarningRow
from storage.sink import RunSink
from storage.summary import Status
from tests.storage.conftest import STUDY, numbered, unit

Begin = Callable[..., RunSink]
TABLES = (UnitRow, MeasurementRow, ArtifactRow, RunUnitRow, WarningRow)


@pytest.fixture
def other(db: Database) -> Iterator[Database]:
    """The same database as another process has it."""
    opened = open_database(db.url, patience=5)
    yield opened
    opened.close()


def _counts(db: Database) -> list[int]:
    with db.reading() as connection:
        return [connection.scalar(select(func.count()).select_from(table)) or 0 for table in TABLES]


def _end(db: Database, status: Status = "done") -> str:
    """End the newest run; its id."""
    run_id = runs.find_run(db, "latest").id
    runs.finish(db, run_id, 1, status)
    return run_id


def _arrays(value: float, count: int = 1000) -> UnitResult:
    noise = np.random.default_rng(int(value)).normal(size=count)
    artifact = Artifact(name="x", arrays={"a": noise})
    return UnitResult([Measurement(metric="write", value=value)], [artifact])


def _age_files(db: Database, seconds: float = 2 * HOUR) -> None:
    then = time.time() - seconds
    for kind in ("artifacts", "logs"):
        for path in db.folder(kind).rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))


def _files(db: Database) -> set[str]:
    return {path.name for path in db.folder("artifacts").rglob("*") if path.is_file()}


def test_units_stay_while_any_run_refers_to_them(db: Database, begin: Begin) -> None:
    first = begin()
    for key in ("shared", "own"):
        first.save(unit(key), numbered([1.0, 2.0]), 1.0)
    first.warn("medical", "is a twin.")
    one = _end(db)
    second = begin()
    assert second.finished(["shared"]) == {"shared"}
    second.adopt(["shared"])
    two = _end(db)
    runs.delete_run(db, one)
    assert _counts(db) == [2, 4, 0, 1, 0]
    assert collect(db, dry_run=True).units == 1
    assert _counts(db) == [2, 4, 0, 1, 0]
    assert collect(db).units == 1
    assert len(runs.measurements(db, two, "alignment")) == 2
    runs.delete_run(db, two)
    assert collect(db).units == 1
    assert _counts(db) == [0, 0, 0, 0, 0]
    assert collect(db).units == 0


def test_units_of_a_deleted_run_are_reused_until_they_are_collected(
    db: Database, begin: Begin
) -> None:
    begin().save(unit("k"), numbered([1.0]), 1.0)
    runs.delete_run(db, _end(db))
    assert begin().finished(["k"]) == {"k"}
    assert collect(db).units == 0


def test_a_worker_keeps_what_it_was_told_is_finished(
    db: Database, other: Database, begin: Begin
) -> None:
    begin().save(unit("k"), numbered([1.0, 2.0]), 1.0)
    runs.delete_run(db, _end(db))
    worker = begin()
    assert worker.finished(["k", "new"]) == {"k"}
    assert collect(other).units == 0, "it is between its question and its adoption"
    worker.adopt(["k"])
    assert collect(other).units == 0
    run_id = runs.find_run(db, "latest").id
    assert len(runs.measurements(db, run_id, "alignment")) == 2


def test_a_fresh_run_keeps_what_it_computed_and_leaves_the_rest(
    db: Database, other: Database, begin: Begin
) -> None:
    begin().save(unit("old"), numbered([1.0]), 1.0)
    runs.delete_run(db, _end(db))
    worker = begin(fresh=True)
    assert worker.finished(["old", "new"]) == set()
    worker.save(unit("new"), numbered([2.0]), 1.0)
    assert collect(other).units == 1
    assert worker.finished(["old", "new"]) == {"new"}
    worker.save(unit("old"), numbered([3.0]), 1.0)
    assert collect(other).units == 0


def test_workers_that_adopt_and_collectors_never_tear_a_run(db: Database, other: Database) -> None:
    """Many runs begin and end while another process collects: none loses a unit it was told of."""
    keys = [f"k{i}" for i in range(60)]
    ended = threading.Event()

    def collecting() -> None:
        while not ended.is_set():
            collect(other)

    thread = threading.Thread(target=collecting)
    thread.start()
    reused = 0
    try:
        for _ in range(12):
            run_id = runs.create_run(db, STUDY, ["alignment"])
            sink = RunSink(db, run_id, runs.claim(db, run_id))
            done = sink.finished(keys)
            reused += len(done)
            sink.adopt(done)
            for key in done:
                assert sink.load(key).measurements
            for key in keys:
                if key not in done:
                    sink.save(unit(key), numbered([1.0]), 0.1)
            assert len(runs.measurements(db, run_id, "alignment")) == len(keys)
            runs.finish(db, run_id, 1, "done")
            runs.delete_run(db, run_id)
    finally:
        ended.set()
        thread.join()
    collect(other)
    assert _counts(db) == [0, 0, 0, 0, 0]
    assert reused < 12 * len(keys)


def test_a_file_stays_while_any_unit_has_its_content(db: Database, begin: Begin) -> None:
    first = begin()
    first.save(unit("a"), _arrays(1), 1.0)
    first.save(unit("b"), _arrays(2), 1.0)
    one = _end(db)
    begin().save(unit("c"), _arrays(1), 1.0)
    two = _end(db)
    assert len(_files(db)) == 2
    _age_files(db)
    runs.delete_run(db, one)
    seen = collect(db, dry_run=True)
    freed = collect(db)
    assert (freed.units, freed.files) == (seen.units, seen.files) == (2, 1)
    assert freed.file_bytes == seen.file_bytes > 8000
    (artifact,) = runs.artifacts(db, two)
    assert runs.arrays(db, artifact)["a"].shape == (1000,)
    runs.delete_run(db, two)
    assert collect(db).files == 1
    assert _files(db) == set()


def test_young_files_stay(db: Database, begin: Begin) -> None:
    begin().save(unit("a"), _arrays(1), 1.0)
    runs.delete_run(db, _end(db))
    part = next(db.folder("artifacts").iterdir()) / ".part-x"
    part.write_bytes(b"half")
    assert (collect(db).units, collect(db).files) == (1, 0)
    _age_files(db, HOUR - 60)
    assert collect(db).files == 0
    _age_files(db, HOUR + 60)
    assert collect(db).files == 2
    assert _files(db) == set()


def test_a_killed_writers_file_counts_once(db: Database) -> None:
    folder = db.folder("artifacts") / "ab"
    folder.mkdir(parents=True)
    killed = f".x.npz{partial.MARK}0123abcd-{2**22 + 1}-{partial._host()}"  # no such process
    (folder / killed).write_bytes(b"half")
    _age_files(db)
    for dry_run in (True, False):
        freed = collect(db, dry_run=dry_run)
        assert (freed.files, freed.file_bytes) == (1, 4), dry_run
    assert _files(db) == set()


def test_a_file_that_was_collected_while_its_unit_was_saved_is_written_again(
    db: Database, other: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin().save(unit("a"), _arrays(1), 1.0)
    runs.delete_run(db, _end(db))
    _age_files(db)
    sink = begin()
    write = artifacts.write
    freed: list[int] = []

    def collected_after(*arguments: Any, **named: Any) -> artifacts.StoredFile:
        stored = write(*arguments, **named)
        if not freed:
            freed.append(collect(other).files)
        return stored

    monkeypatch.setattr(artifacts, "write", collected_after)
    sink.save(unit("b"), _arrays(1), 1.0)
    assert freed == [1]
    (artifact,) = runs.artifacts(db, runs.find_run(db, "latest").id)
    assert runs.arrays(db, artifact)["a"].shape == (1000,)


def test_logs_go_with_their_runs(db: Database, study: Study) -> None:
    gone, remaining = (runs.create_run(db, study, ["alignment"]) for _ in range(2))
    db.folder("logs").mkdir()
    for name in (f"{gone}.log", f"{remaining}.log", "notes.txt"):
        (db.folder("logs") / name).write_text("words")
    runs.delete_run(db, gone)
    assert collect(db).files == 0
    _age_files(db)
    freed = collect(db)
    assert (freed.files, freed.file_bytes) == (1, 5)
    assert {path.name for path in db.folder("logs").iterdir()} == {f"{remaining}.log", "notes.txt"}


def test_the_database_shrinks_unless_a_run_is_running(db: Database, begin: Begin) -> None:
    begin().save(unit("k"), numbered([float(i) for i in range(20_000)]), 1.0)
    runs.delete_run(db, _end(db))
    begin()
    freed = collect(db)
    assert (freed.units, freed.database_bytes) == (1, 0)
    assert "without a running run" in freed.notes[0]
    _end(db)
    freed = collect(db)
    assert (freed.units, freed.notes) == (0, ())
    assert freed.database_bytes > 500_000
    assert db.path.stat().st_size < 200_000
    assert collect(db).database_bytes == 0
    again = open_database(db.url)
    assert len(runs.list_runs(again)) == 1
    again.close()


def test_a_full_disk_keeps_the_report(
    db: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> int:
        raise StorageError("The disk is full.")

    begin().save(unit("k"), numbered([1.0]), 1.0)
    runs.delete_run(db, _end(db))
    monkeypatch.setattr(db, "compact", full)
    freed = collect(db)
    assert freed.units == 1
    assert "disk is full" in freed.notes[0]


def test_files_that_can_not_be_deleted_are_an_error(
    db: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    begin().save(unit("a"), _arrays(1), 1.0)
    runs.delete_run(db, _end(db))
    _age_files(db)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StorageError, match=r"\.npz can't be deleted: Permission denied"):
        collect(db)


def test_files_that_another_database_may_own_are_left(db: Database, begin: Begin) -> None:
    begin().save(unit("a"), _arrays(1), 1.0)
    runs.delete_run(db, _end(db))
    _age_files(db)
    namesake = open_database(str(db.path.with_suffix(".sqlite")))
    freed = collect(db)
    assert (freed.units, freed.files) == (1, 0)
    assert str(namesake.path) in freed.notes[0]
    namesake.close()
    for path in db.path.parent.glob("*.sqlite*"):
        path.unlink()
    db.path.with_suffix(".txt").write_text("notes")
    assert collect(db).files == 1


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(
    owned=st.lists(st.sets(st.integers(0, 9)), max_size=5),
    deleted=st.sets(st.integers(0, 4)),
)
def test_exactly_what_a_run_refers_to_stays(
    tmp_path_factory: pytest.TempPathFactory, owned: list[set[int]], deleted: set[int]
) -> None:
    """Against sets in Python. Unit i holds the arrays of i % 3."""
    db = open_database(str(tmp_path_factory.mktemp("garbage") / "x.db"))
    ids = []
    for units in owned:
        run_id = runs.create_run(db, STUDY, ["alignment"])
        sink = RunSink(db, run_id, runs.claim(db, run_id))
        for number in units:
            sink.save(unit(f"k{number}"), _arrays(number % 3, 5), 0.1)
        runs.finish(db, run_id, 1, "done")
        ids.append(run_id)
    _age_files(db)
    for place in deleted & set(range(len(owned))):
        runs.delete_run(db, ids[place])
    every: set[int] = set().union(*owned)
    remaining = set().union(*(u for i, u in enumerate(owned) if i not in deleted))
    freed = collect(db)
    assert freed.units == len(every - remaining)
    assert freed.files == len({n % 3 for n in every} - {n % 3 for n in remaining})
    with db.reading() as connection:
        assert set(connection.scalars(select(UnitRow.key))) == {f"k{n}" for n in remaining}
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
    for run in runs.list_runs(db):
        for artifact in runs.artifacts(db, run.id):
            runs.arrays(db, artifact)
    db.close()


def test_many_at_a_time_go_in_pieces(
    db: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "_UNITS", 3)
    monkeypatch.setattr(garbage, "_FILES", 2)
    rests: list[float] = []
    monkeypatch.setattr(garbage, "_STINT", -1.0)
    monkeypatch.setattr("time.sleep", rests.append)
    sink = begin()
    for number in range(10):
        sink.save(unit(f"k{number}"), _arrays(number, 5), 0.1)
    runs.delete_run(db, _end(db))
    _age_files(db)
    freed = collect(db)
    assert (freed.units, freed.files) == (10, 10)
    assert rests == [garbage._REST] * (4 + 5), "before every piece, so that workers get their turn"
