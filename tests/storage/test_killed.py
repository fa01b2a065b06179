"""Killed in the middle of an upgrade, a removal or a collection; and two who upgrade at once."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine.measurement import Artifact, Measurement, UnitResult
from core.errors import RunError
from storage import garbage, runs, upgrade
from storage.database import Database, open_database
from storage.sink import RunSink
from tests.killing import die, killed
from tests.storage.conftest import VERSION_1, unit

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")

Begin = Callable[..., RunSink]


def _old(folder: Path) -> Path:
    path = folder / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return path


def _dying(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    """The function, whose call of that number is never ended."""
    calls = itertools.count(1)

    def called(*given: Any) -> Any:
        if next(calls) == times:
            die()
        return function(*given)

    return called


def test_an_upgrade_that_is_killed_anywhere_is_made_by_the_next(tmp_path: Path) -> None:
    split = upgrade._statements

    def up_to(path: Path, number: int) -> None:
        left = itertools.count(1)

        def statements(script: str) -> Iterator[str]:
            for statement in split(script):
                yield statement
                if next(left) == number:  # it was executed, and nothing of its step committed
                    die()

        upgrade._statements = statements
        open_database(str(path)).close()

    for number in itertools.count(1):
        path = _old(tmp_path)
        dead = killed(lambda path=path, number=number: up_to(path, number))  # type: ignore[misc]
        with contextlib.closing(open_database(str(path))) as db:
            with db.reading() as connection:
                ask = connection.exec_driver_sql
                assert ask("PRAGMA user_version").scalar() == upgrade.latest()
                assert ask("PRAGMA integrity_check").scalar() == "ok"
            (row,) = runs.measurements(db, "0123456789ab", "alignment")
            assert (row.value, row.chance) == (0.75, 0.5)
        for part in tmp_path.glob("old.db*"):
            part.unlink()
        if not dead:
            break
    assert number > len(upgrade.steps()) - 1


_OPEN = """
import sys
from storage.database import open_database
from storage import runs
sys.stdin.readline()
db = open_database(sys.argv[1])
print(len(runs.measurements(db, "0123456789ab", "alignment")))
"""


def test_two_may_upgrade_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPEN, str(_old(tmp_path))]
    pipe = subprocess.PIPE
    opening = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(2)
    ]
    outcomes = [process.communicate("go\n", timeout=120) for process in opening]
    assert [out for out, _ in outcomes] == ["1\n"] * 2, outcomes


def test_a_removal_that_is_killed_removes_all_or_nothing(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save(unit("a"), UnitResult([Measurement(metric="write", value=1.0)]), 1.0)
    sink.warn("medical", "is odd.")
    run_id = runs.find_run(db, "latest").id
    runs.finish(db, run_id, 1, "done")

    def remove(times: int) -> None:
        with contextlib.closing(open_database(db.url)) as database:
            database._patiently = _dying(database._patiently, times)  # type: ignore[method-assign]
            runs.delete_run(database, run_id)

    assert killed(lambda: remove(2)), "before its commit"
    assert runs.find_run(db, run_id).warnings == 1
    assert len(runs.measurements(db, run_id, "alignment")) == 1
    assert not killed(lambda: remove(3))
    with pytest.raises(RunError):
        runs.find_run(db, run_id)


def test_a_collection_that_is_killed_anywhere_is_ended_by_the_next(
    db: Database, begin: Begin
) -> None:
    for name in ("kept", "gone"):
        sink = begin()
        for i in range(3):
            arrays = {"x": np.full(4, hash((name, i)) % 1000)}
            artifact = Artifact(name="x", arrays=arrays)
            rows = [Measurement(metric="write", value=float(i))]
            sink.save(unit(f"{name}{i}"), UnitResult(rows, [artifact]), 1.0)
        runs.finish(db, runs.find_run(db, "latest").id, 1, "done")
    keeping, going = (run.id for run in reversed(runs.list_runs(db)))
    runs.delete_run(db, going)

    def collect(times: int) -> None:
        garbage._UNITS = garbage._FILES = 1
        with contextlib.closing(open_database(db.url)) as database:
            database._patiently = _dying(database._patiently, times)  # type: ignore[method-assign]
            garbage._delete = _dying(garbage._delete, (times + 3) // 4)
            garbage.collect(database, age=-1.0)

    for times in itertools.count(1):
        if not killed(lambda times=times: collect(times)):  # type: ignore[misc]
            break
        assert len(runs.measurements(db, keeping, "alignment")) == 3
    assert times > 5
    with db.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    artifacts = runs.artifacts(db, keeping, "alignment")
    assert len([runs.arrays(db, artifact) for artifact in artifacts]) == 3
    left = {path.name for path in db.folder("artifacts").rglob("*") if path.is_file()}
    assert left == {Path(artifact.stored.path).name for artifact in artifacts}
    assert garbage.collect(db, age=-1.0).units == 0
