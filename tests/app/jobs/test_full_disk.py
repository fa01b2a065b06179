"""A disk without space, a quota, a folder that can't be written: one error, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.jobs import worker
from core.engine import runner
from core.engine.measurement import Artifact, Measurement, ResultSink, Unit, UnitResult
from core.errors import StorageError
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")

STUDY = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})
UNITS = 40


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


def _compute(rows: int, numbers: int) -> Any:
    """An engine of UNITS units, each with so many rows and numbers in a file."""

    def run(study: Study, sink: ResultSink, analyses: Any, *_: Any) -> None:
        done = sink.finished([f"k{i}" for i in range(UNITS)])
        sink.adopt(done)
        for i in range(UNITS):
            if f"k{i}" not in done:
                measurements = [
                    Measurement(metric="write", value=i / 7, layer=n) for n in range(rows)
                ]
                noise = np.random.default_rng(i).normal(size=numbers * (1 + i))
                artifacts = [Artifact(name="x", arrays={"x": noise})] if numbers else []
                unit = Unit(key=f"k{i}", analysis="alignment", label=f"{i}")
                sink.save(unit, UnitResult(measurements, artifacts), 0.1)

    return run


def _work_with_little_space(db: Database, run_id: str, most: int, message: Path) -> int:
    """Work on a run in a child that may write no file of more than `most` bytes."""
    import resource

    child = os.fork()
    if not child:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            with contextlib.closing(open_database(db.url)) as opened:
                worker.work(opened, run_id)
        except StorageError as error:
            message.write_text(f"{error.title}\n{error.hint}")
            os._exit(4)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(("rows", "numbers", "most"), [(600, 0, 500_000), (1, 2000, 200_000)])
def test_a_disk_that_fills_up_keeps_what_was_finished(
    db: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: int,
    numbers: int,
    most: int,
) -> None:
    monkeypatch.setattr(runner, "run", _compute(rows, numbers))
    run_id, message = runs.create_run(db, STUDY, ["alignment"]), tmp_path / "told"
    assert _work_with_little_space(db, run_id, most, message) == 4
    title, hint = message.read_text().split("\n")
    assert "x.db" in title or "artifact" in title
    assert "pace" in hint or "disk is full" in hint
    before = len(runs.measurements(db, run_id, "alignment"))
    assert 0 < before < UNITS * rows
    assert before % rows == 0, "whole units"
    assert runs.find_run(db, run_id).ended_early
    runs.requeue(db, run_id)
    assert worker.work(db, run_id).reused == 0  # this engine tells of no progress
    assert len(runs.measurements(db, run_id, "alignment")) == UNITS * rows
    artifacts = runs.artifacts(db, run_id)
    assert len([runs.arrays(db, artifact) for artifact in artifacts]) == UNITS * bool(numbers)


def test_a_quota_is_told_by_its_name(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(runner, "run", _compute(1, 10))
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match="Disk quota exceeded") as caught:
        worker.work(db, runs.create_run(db, STUDY, ["alignment"]))
    assert "earlier results are stored" in caught.value.hint
    run = runs.find_run(db, "latest")
    assert run.status == "failed"
    assert "quota" in run.error_title
