"""What the engine saves: whole or not at all, once, for the right run, whatever is killed."""

from __future__ import annotations

import math
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select

from core.engine.measurement import Artifact, Measurement, Progress, UnitResult
from core.errors import Cancelled, ResultError, StorageError
from storage import artifacts as files
from storage import runs
from storage.database import Database
from storage.schema import MeasurementRow, RunUnitRow, UnitRow
from storage.sink import RunSink
from tests.storage.conftest import numbered, result, unit

Begin = Callable[..., RunSink]


def _count(db: Database, table: type[Any]) -> int:
    with db.reading() as connection:
        return int(connection.scalar(select(func.count()).select_from(table)) or 0)


def _values(db: Database, run_id: str) -> list[float | None]:
    rows = runs.measurements(db, run_id, "alignment")
    return [row.value for row in sorted(rows, key=lambda row: row.layer or 0)]


def test_a_saved_unit_is_finished_loadable_and_the_runs_own(db: Database, begin: Begin) -> None:
    sink = begin()
    row = Measurement(
        metric="write", value=0.1 + 0.2, metric_of="acc", model="medical", reference="maths",
        layer=0, module="q", expert=0, head=0, task="t", probe="p", setting="s", low=-1.0,
        high=1e300, n=2**40,
        chance=0.5, chance_sd=1e-320,
    )  # fmt: skip
    assert sink.finished(["k1", "k2"]) == set()
    sink.save(unit("k1"), result(row), 1.5)
    assert sink.finished(["k1", "k2"]) == {"k1"}
    loaded = sink.load("k1")
    assert loaded.measurements == [row]
    assert loaded.state == {"sums": [1, 2.5]}
    run_id = runs.find_run(db, "latest").id
    assert runs.measurements(db, run_id, "alignment") == [row]
    assert runs.measurements(db, run_id, "vector_cosine") == []
    assert runs.durations(db, run_id) == {"alignment": 1.5}
    with pytest.raises(StorageError, match="k2 is not in"):
        sink.load("k2")


def test_numbers_of_numpy_and_undefined_ones_are_kept_as_such(db: Database, begin: Begin) -> None:
    sink = begin()
    values: list[Any] = [np.float32(0.5), math.nan, math.inf, None]
    rows = [
        Measurement(metric="write", value=v, layer=i, n=np.int64(3))  # type: ignore[arg-type]
        for i, v in enumerate(values)
    ]
    sink.save(unit("k"), result(*rows), 0.1)
    run_id = runs.find_run(db, "latest").id
    assert _values(db, run_id) == [0.5, None, None, None]
    with closing(sqlite3.connect(db.path)) as stored:
        assert stored.execute("SELECT count(value) FROM measurements").fetchone() == (1,)


def test_saving_again_replaces_rows_and_keeps_runs(db: Database, begin: Begin) -> None:
    first, second = begin(), begin(fresh=True)
    first.save(unit("k"), numbered([1.0, 2.0, 3.0]), 1.0)
    second.save(unit("k"), numbered([1.5, 2.5]), 2.0)
    assert _count(db, UnitRow) == 1
    assert _count(db, MeasurementRow) == 2
    for run in runs.list_runs(db):
        assert _values(db, run.id) == [1.5, 2.5]


def test_rows_are_shared_never_copied(db: Database, begin: Begin) -> None:
    begin().save(unit("k"), numbered([1.0]), 1.0)
    later = begin()
    assert later.finished(["k", "other"]) == {"k"}
    later.adopt({"k"})
    assert _count(db, MeasurementRow) == 1
    assert [_values(db, run.id) for run in runs.list_runs(db)] == [[1.0], [1.0]]


def test_adopting_drops_what_the_run_referred_to_before(db: Database, begin: Begin) -> None:
    sink = begin()
    for key in ("a", "b"):
        sink.save(unit(key), result(Measurement(metric=key, value=1.0)), 1.0)
    sink.adopt({"b"})
    rows = runs.measurements(db, runs.find_run(db, "latest").id, "alignment")
    assert [row.metric for row in rows] == ["b"]
    sink.adopt(())
    assert _count(db, RunUnitRow) == 0
    assert _count(db, UnitRow) == 2


def test_a_fresh_run_reuses_only_its_own(db: Database, begin: Begin) -> None:
    begin().save(unit("old"), numbered([1.0]), 1.0)
    sink = begin(fresh=True)
    run_id = runs.find_run(db, "latest").id
    assert sink.finished(["old", "new"]) == set()
    sink.save(unit("new"), numbered([2.0]), 1.0)
    runs.finish(db, run_id, 1, "failed")
    runs.requeue(db, run_id)
    assert begin(run_id).finished(["old", "new"]) == {"new"}


def test_a_row_twice_is_refused_with_the_whole_unit(db: Database, begin: Begin) -> None:
    sink = begin()
    row = Measurement(metric="write", value=1.0, model="medical")
    with pytest.raises(StorageError, match="UNIQUE"):
        sink.save(unit("k"), result(row, replace(row, value=2.0)), 1.0)
    assert sink.finished(["k"]) == set()
    assert _count(db, MeasurementRow) == 0


def test_many_keys_are_asked_for_in_pieces(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save(unit("k39999"), numbered([1.0]), 1.0)
    keys = [f"k{i}" for i in range(40_000)]
    assert sink.finished(keys) == {"k39999"}
    sink.adopt(keys)
    assert _count(db, RunUnitRow) == 1


def test_tens_of_thousands_of_rows_in_one_unit(db: Database, begin: Begin) -> None:
    rows = [
        Measurement(metric="write", value=1.0, layer=i, head=j)
        for i in range(400) for j in range(100)
    ]  # fmt: skip
    begin().save(unit("k"), UnitResult(measurements=rows), 1.0)
    assert _count(db, MeasurementRow) == 40_000
    run_id = runs.find_run(db, "latest").id
    assert len(runs.measurements(db, run_id, "alignment")) == 40_000
    assert runs.catalogue(db, run_id, "alignment").values("layer") == ()


def test_progress_is_throttled_but_never_lost(
    db: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = begin()
    run_id = runs.find_run(db, "latest").id
    written = []
    beat = sink.beat
    monkeypatch.setattr(sink, "beat", lambda: (written.append(1), beat()))
    for done in range(1000):
        sink.progress(Progress(done, 1001, 7, f"unit {done}"))
    assert len(written) < 100
    sink.beat()
    run = runs.find_run(db, run_id)
    assert (run.done, run.total, run.reused, run.label) == (999, 1001, 7, "unit 999")
    sink.progress(Progress(1001, 1001, 7, ""))
    assert runs.find_run(db, run_id).done == 1001


def test_a_heartbeat_alone_leaves_progress_be(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.progress(Progress(3, 9, label="x"))
    before = runs.find_run(db, "latest")
    time.sleep(0.01)
    sink.beat()
    after = runs.find_run(db, "latest")
    assert after.done == 3
    assert after.heartbeat is not None
    assert before.heartbeat is not None
    assert after.heartbeat > before.heartbeat


def test_a_signal_of_this_process_cancels_at_once(db: Database, begin: Begin) -> None:
    begin()
    stop = threading.Event()
    sink = RunSink(db, runs.find_run(db, "latest").id, 1, stop=stop)
    assert not sink.cancelled()
    stop.set()
    assert sink.cancelled()


@pytest.mark.parametrize(
    "act",
    [
        lambda sink: sink.warn("medical", "late"),
        lambda sink: sink.finished(["theirs"]),
        lambda sink: sink.adopt(()),
        lambda sink: sink.save(unit("mine"), numbered([1.0]), 1.0),
    ],
    ids=["warn", "finished", "adopt", "save"],
)
def test_a_worker_that_lost_its_run_changes_nothing_of_it_and_stops(
    db: Database, begin: Begin, act: Callable[[RunSink], Any]
) -> None:
    lost = begin()
    run_id = runs.find_run(db, "latest").id
    begin().save(unit("theirs"), numbered([3.0]), 1.0)  # what another run has of the same study
    runs.finish(db, run_id, 1, "failed")
    runs.requeue(db, run_id)
    new = begin(run_id)
    new.save(unit("own"), numbered([2.0]), 1.0)
    with pytest.raises(Cancelled, match=f"{run_id} was taken over"):
        act(lost)
    assert lost.cancelled()
    assert not new.cancelled()
    assert runs.warnings(db, run_id) == []
    assert _values(db, run_id) == [2.0]
    with db.reading() as connection:
        assert set(connection.scalars(select(UnitRow.key))) == {"theirs", "own"}


def test_artifacts_come_back_and_are_kept_once(db: Database, begin: Begin) -> None:
    arrays = {"file": np.arange(6.0).reshape(2, 3), "mask": np.array([True, False])}
    artifact = Artifact(name="spectrum", arrays=arrays, model="medical", layer=0)
    sink = begin()
    sink.save(unit("a"), UnitResult(artifacts=[artifact]), 1.0)
    sink.save(unit("b"), UnitResult(artifacts=[replace(artifact, layer=1)]), 1.0)
    run_id = runs.find_run(db, "latest").id
    artifacts = runs.artifacts(db, run_id, "alignment")
    assert [(a.name, a.model, a.layer) for a in artifacts] == [
        ("spectrum", "medical", 0), ("spectrum", "medical", 1),
    ]  # fmt: skip
    assert runs.artifacts(db, run_id, "vector_cosine") == []
    assert len(list(db.folder("artifacts").rglob("*.npz"))) == 1
    back = runs.arrays(db, artifacts[0])
    assert back.keys() == arrays.keys()
    assert np.array_equal(back["file"], arrays["file"])
    sink.save(unit("a"), UnitResult(), 1.0)
    assert len(runs.artifacts(db, run_id)) == 1


def test_an_artifact_is_asked_for_an_array_that_it_lacks(db: Database, begin: Begin) -> None:
    sink = begin()
    artifact = Artifact(name="x", arrays={"a": np.arange(3)})
    sink.save(unit("k"), UnitResult(artifacts=[artifact]), 1.0)
    (stored,) = sink.load("k").artifacts
    assert "a" in stored.arrays
    assert "b" not in stored.arrays
    with pytest.raises(StorageError, match="lacks the array 'b'"):
        stored.arrays["b"]


def test_artifacts_that_were_touched_are_refused(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save(unit("a"), UnitResult(artifacts=[Artifact(name="x", arrays={"a": np.ones(3)})]), 1.0)
    (artifact,) = runs.artifacts(db, runs.find_run(db, "latest").id)
    file = db.folder("artifacts") / artifact.stored.path
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"!")
    with pytest.raises(StorageError, match="altered"):
        runs.arrays(db, artifact)
    file.unlink()
    with pytest.raises(StorageError, match="missing"):
        runs.arrays(db, artifact)


def test_objects_are_never_pickled(db: Database, begin: Begin) -> None:
    odd = Artifact(name="x", arrays={"a": np.array([{}], dtype=object)})
    with pytest.raises(ValueError, match="Object arrays"):
        begin().save(unit("a"), UnitResult(artifacts=[odd]), 1.0)


_WRITE_FOR_EVER = """
import itertools, sys
from core.engine.measurement import Measurement, UnitResult
from storage.database import open_database
from storage.sink import RunSink
from tests.storage.conftest import unit
db = open_database(sys.argv[1])
sink = RunSink(db, sys.argv[2], 1)
rows = [Measurement(metric="write", value=1.0, layer=i) for i in range(2000)]
for i in itertools.count():
    sink.save(unit(f"k{i}"), UnitResult(measurements=rows), 1.0)
    print(i, flush=True)
"""


def test_readers_and_a_killed_writer_see_whole_units_only(db: Database, begin: Begin) -> None:
    begin()
    run_id = runs.find_run(db, "latest").id
    command = [sys.executable, "-c", _WRITE_FOR_EVER, db.url, run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(4):
            writer.stdout.readline()
            rows = runs.measurements(db, run_id, "alignment")
            assert rows
            assert len(rows) % 2000 == 0
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    with db.reading() as connection:
        per_unit = select(func.count()).select_from(MeasurementRow).group_by(MeasurementRow.unit_id)
        counts = list(connection.scalars(per_unit))
        assert set(counts) == {2000}
        assert connection.scalar(select(func.count()).select_from(RunUnitRow)) == len(counts)
        assert connection.scalar(select(func.count()).select_from(UnitRow)) == len(counts)
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


def _with_arrays(*layers: int) -> UnitResult:
    made = result(Measurement(metric="write", value=0.5, model="medical", layer=0, module="q"))
    made.artifacts = [
        Artifact(name="patterns", arrays={"on": np.arange(layer + 3)}, model="medical", layer=layer)
        for layer in layers
    ]
    return made


def test_arrays_are_read_when_they_are_looked_at(
    db: Database, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that needs one layer of another does not read them all."""
    looked: list[str] = []
    original = files.read

    def read(folder: Any, stored: Any, name: str) -> Any:
        looked.append(stored.path)
        return original(folder, stored, name)

    monkeypatch.setattr(files, "read", read)
    sink = begin()
    sink.save(unit("k"), _with_arrays(0, 1, 2), 0.1)
    loaded = sink.load("k")
    assert [(a.name, a.model, a.layer) for a in loaded.artifacts] == [
        ("patterns", "medical", layer) for layer in range(3)
    ]
    assert looked == []
    arrays = loaded.arrays("patterns", 1)
    np.testing.assert_array_equal(arrays["on"], np.arange(4))
    assert (list(arrays), len(arrays)) == (["on"], 1)
    assert len(looked) == 1


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_a_file_that_is_not_what_was_written_is_complained_of(
    db: Database, begin: Begin, harm: str
) -> None:
    sink = begin()
    sink.save(unit("k"), _with_arrays(0, 1), 0.1)
    run_id = runs.find_run(db, "latest").id
    artifact = next(a for a in runs.artifacts(db, run_id) if a.layer == 1)
    place = db.folder("artifacts") / artifact.stored.path
    if harm == "missing":
        place.unlink()
    else:
        place.write_bytes(place.read_bytes()[:-1] + b"x")
    loaded = sink.load("k")
    np.testing.assert_array_equal(loaded.arrays("patterns", 0)["on"], np.arange(3))
    with pytest.raises(ResultError, match=rf"{place.name} .*{harm}"):
        loaded.arrays("patterns", 1)["on"]
