"""A worker that is killed in the pass over the weights, and another that goes on."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from app.jobs import worker
from core.analyses import alignment, tuning_vectors
from core.engine.measurement import KEY_COLUMNS
from core.study.intake import read
from core.weights import parts
from storage import runs
from storage.database import Database, open_database
from storage.schema import PartRow
from tests import forked
from tests.app.families import write_family
from tests.conftest import WEIGHTS
from tests.killing import die

_WORKER = """
import os, signal, sys
from tests.app.jobs.test_resumed import watched
from app.worker import main
watched(sys.argv[1], int(sys.argv[2]), setattr)
sys.exit(main(sys.argv[3:]))
"""


def watched(log: str, times: int, change: Any) -> None:
    """Have every matrix that is measured told of in a file, all parts laid by at once, and the
    process killed when that many were measured (0: never)."""
    left, warned = [times], set[str]()

    def watch(kind: Any) -> None:
        measure = kind.measure

        def measured(self: Any, matrix: Any, update: Any) -> Any:
            made = measure(self, matrix, update)
            if matrix.piece.tensor not in warned:
                warned.add(matrix.piece.tensor)
                logging.getLogger("alib").warning("odd numbers in %s", matrix.piece.tensor)
            with Path(log).open("a") as file:
                print(self.name, update.model, matrix.piece, file=file)
            left[0] -= 1
            if not left[0]:
                die()
            return made

        change(kind, "measure", measured)

    change(parts, "SHARE", 0.0)
    for kind in (alignment._Reader, tuning_vectors._Reader):
        watch(kind)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


def _killed(db: Database, run_id: str, log: Path, times: int) -> bool:
    command = [sys.executable, "-c", _WORKER, str(log), str(times), run_id, "--db", db.url]
    return forked.run(command, log.with_suffix(".log")) == -signal.SIGKILL


def _results(db: Database, run_id: str) -> list[Any]:
    rows = [
        (name, *(getattr(row, c) for c in KEY_COLUMNS[1:]), row.value, row.n, row.chance)
        for name in WEIGHTS
        for row in runs.measurements(db, run_id, name)
    ]
    files = [(a.name, a.model, a.layer, a.stored.sha256) for a in runs.artifacts(db, run_id)]
    return sorted(map(repr, rows)) + sorted(map(repr, files))


def test_a_kill_loses_what_one_unit_takes(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read(write_family(tmp_path))
    run_id, log = runs.create_run(db, study, WEIGHTS), tmp_path / "measured"
    assert _killed(db, run_id, log, 20)  # in the middle of a layer, which has 28 such steps
    assert runs.find_run(db, run_id).status == "interrupted"
    runs.requeue(db, run_id)
    with db.reading() as connection:
        assert connection.scalars(select(PartRow.slice)).all()
    watched(str(log), 0, monkeypatch.setattr)
    worker.work(db, run_id)
    monkeypatch.undo()
    measured = Counter(log.read_text().splitlines())
    assert len(measured) == 2 * 28, "each matrix of two layers, for two models and two analyses"
    assert sum(measured.values()) <= len(measured) + 1, "the one in hand, and no other"
    with db.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(PartRow)) == 0
    (run,) = runs.list_runs(db)
    odd = [w.message for w in runs.warnings(db, run_id) if "odd numbers" in w.message]
    assert len(odd) == len(set(odd)) == 14, "each matrix of two layers, before or after the kill"
    assert run.warnings == len(runs.warnings(db, run_id))
    with contextlib.closing(open_database(str(tmp_path / "whole.db"))) as other:
        whole = runs.create_run(other, study, WEIGHTS)
        worker.work(other, whole)
        assert _results(db, run_id) == _results(other, whole)
