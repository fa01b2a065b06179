"""Databases and artifacts that somebody damaged, or made by hand."""

from __future__ import annotations

import hashlib
import io
import math
import os
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine.measurement import Artifact, Measurement, UnitResult
from core.errors import RunError, StorageError
from core.study.study import Study
from storage import artifacts, garbage, runs
from storage.access import Access
from storage.artifacts import StoredFile
from storage.database import Database, open_database
from storage.rows import LONGEST
from storage.sink import RunSink
from tests.storage.conftest import result, unit

Begin = Callable[..., RunSink]


def _alter(db: Database, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(db.path)) as connection, connection:
        connection.execute(statement, values)


@pytest.mark.parametrize(
    ("column", "value"),
    [("created", "yesterday"), ("created", b"\x00"), ("created", 9e300), ("started", -1e18),
     ("heartbeat", "x"), ("took", float("inf")), ("took", -1.0),
     ("done", "many"), ("total", -3), ("reused", 2**62), ("status", "odd"),
     ("name", b"\xff"), ("study", "{"), ("study", "[" * 10**5), ("study", '{"models": 3}'),
     ("study", '{"models": {"base": {}, "tuned": []}}'), ("analyses", "[1]"), ("analyses", "x"),
     ("host", b"x"), ("label", b"x"), ("error_title", b"x"), ("expected", float("inf"))],
)  # fmt: skip
def test_a_damaged_row_reads_as_failed_and_can_be_removed(
    db: Database, study: Study, column: str, value: Any
) -> None:
    runs.create_run(db, study, ["alignment"])
    bad = runs.create_run(db, study, ["alignment"])
    _alter(db, f"UPDATE runs SET {column} = ? WHERE id = ?", value, bad)
    listed = {run.id: run for run in runs.list_runs(db)}
    assert len(listed) == 2
    assert listed[bad].status == "failed"
    assert column in listed[bad].error_title
    assert runs.find_run(db, bad) == listed[bad]
    assert set(runs.models_of_runs(db)) == set(listed)
    if column == "study":
        with pytest.raises(RunError, match="can't be read"):
            runs.study_of(db, bad)
        runs.catalogue(db, bad, "alignment")
    runs.delete_run(db, bad)
    assert len(runs.list_runs(db)) == 1


@pytest.mark.parametrize("pid", [-1, 0, 2**40, "x", b"x", 1.5])
def test_a_process_that_there_can_be_none_of_is_dead(
    db: Database, begin: Begin, pid: object
) -> None:
    begin()
    _alter(db, "UPDATE runs SET pid = ?", pid)
    assert runs.find_run(db, "latest").status == "interrupted"
    _alter(db, "UPDATE runs SET status = 'queued', heartbeat = NULL")
    assert runs.find_run(db, "latest").status == "interrupted"
    _alter(db, "UPDATE runs SET status = 'done'")
    assert runs.find_run(db, "latest").status == "done"


def test_a_process_of_another_user_is_alive(db: Database, begin: Begin) -> None:
    begin()
    _alter(db, "UPDATE runs SET pid = 1")
    assert runs.find_run(db, "latest").status == "running"


@pytest.mark.parametrize("version", [-1, -(2**31), 0])
def test_a_version_that_no_schema_has_is_refused(db: Database, version: int) -> None:
    _alter(db, f"PRAGMA user_version = {version}")
    for write in (True, False, None):
        with pytest.raises(StorageError, match=f"the version of its schema is {version}"):
            open_database(str(db.path), write=write)


@pytest.mark.parametrize(
    ("column", "value"),
    [("value", "high"), ("value", b"x"), ("layer", "x"), ("model", b"x"), ("n", "many"),
     ("low", b""), ("head", 1.5)],
)  # fmt: skip
def test_a_mistyped_measurement_is_one_clear_error(
    db: Database, begin: Begin, column: str, value: Any
) -> None:
    sink = begin()
    sink.save(unit("k"), result(*(Measurement(metric="m", value=1.0, layer=i) for i in (0, 1))), 1)
    run = runs.find_run(db, "latest").id
    _alter(db, f"UPDATE measurements SET {column} = ? WHERE layer = 1", value)
    with pytest.raises(StorageError, match=f"can't be read: it holds .* as {column} of a row"):
        runs.measurements(db, run, "alignment")


@pytest.mark.parametrize("column", ["value", "low", "high", "chance", "chance_sd"])
@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_an_infinite_number_reads_as_undefined(
    db: Database, begin: Begin, column: str, infinite: float
) -> None:
    numbers: dict[str, Any] = {
        "value": 1.0, "low": -0.5, "high": 1e308, "chance": 0.25, "chance_sd": 0.1, "n": 4
    }  # fmt: skip
    sink = begin()
    sink.save(unit("k"), result(Measurement(metric="m", **numbers)), 1)
    run = runs.find_run(db, "latest").id
    _alter(db, f"UPDATE measurements SET {column} = ?", infinite)
    expected = Measurement(metric="m", **{**numbers, column: None})
    assert runs.measurements(db, run, "alignment") == [expected]
    assert sink.load("k").measurements == [expected]


def test_bytes_that_are_no_text_are_shown(db: Database, study: Study) -> None:
    run = runs.create_run(db, study, ["alignment"])
    _alter(db, "UPDATE runs SET label = CAST(X'61FF62' AS TEXT)")
    assert runs.find_run(db, run).label == "a\\xffb"


@pytest.mark.parametrize(
    ("reason", "stored"),
    [("no \udcff text", "no \\udcff text"), ("a\x00b", "a\\x00b"),
     ("é漢\U0001f600", "é漢\U0001f600"),
     ("x" * 10**7, "x" * LONGEST + " …")],
    ids=["surrogate", "null", "unicode", "long"],
)  # fmt: skip
def test_the_reason_of_a_failure_is_stored_whatever_is_in_it(
    db: Database, study: Study, reason: str, stored: str
) -> None:
    run = runs.create_run(db, study, ["alignment"])
    attempt = runs.claim(db, run)
    RunSink(db, run, attempt).warn(reason[:1000], reason[:1000])
    runs.finish(db, run, attempt, "failed", title=reason, hint=reason)
    failed = runs.find_run(db, run)
    assert (failed.error_title, failed.error_hint) == (stored, stored)
    assert len(runs.warnings(db, run)) == 1


def test_a_damaged_identity_is_forgotten(db: Database) -> None:
    for stamp in ("", "1 2", "a b c d"):
        _alter(db, "INSERT INTO identities VALUES (?, 'x', ?, 'y')", f"p{stamp}", stamp)
    assert garbage.collect(db).identities == 0


def _placed(folder: Path, content: bytes) -> StoredFile:
    digest = hashlib.sha256(content).hexdigest()
    stored = StoredFile(f"{digest[:2]}/{digest}.npz", digest, len(content))
    place = folder / stored.path
    place.parent.mkdir()
    place.write_bytes(content)
    return stored


def _zipped(entry: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        # Without the time of day: these bytes name a test, which is called the same everywhere.
        packed.writestr(zipfile.ZipInfo("a.npy"), entry, method)
    return buffer.getvalue()


def _array(shape: str, kind: str = "<f4") -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def _pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, a=np.array([{"x": 1}], dtype=object))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 100, b"PK\x03\x04", _zipped(b""), _zipped(b"x" * 50), _zipped(_array("(3,)")),
     _zipped(_array("(10**15,)")), _zipped(_array("(1000000000000000,)")),
     _zipped(_array("(-1,)")), _zipped(_array("(3,)", "|O")), _zipped(_array("(3,)", "zz")),
     _pickled(), _zipped(_array("(3,)"))[:-30]],
)  # fmt: skip
def test_an_artifact_that_is_none_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(StorageError, match=r"\.npz has no readable arrays"):
        artifacts.read(tmp_path, _placed(tmp_path, content))


def test_an_artifact_that_claims_to_be_huge_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(artifacts, "_LARGEST", 10_000)
    with pytest.raises(StorageError, match="its arrays take"):
        artifacts.read(tmp_path, _placed(tmp_path, _zipped(bytes(20_000))))


def test_what_is_no_file_is_no_artifact(tmp_path: Path) -> None:
    stored = StoredFile(f"aa/aa{'0' * 62}.npz", f"aa{'0' * 62}", 0)
    place = tmp_path / stored.path
    place.parent.mkdir()
    makers: list[Callable[[], None]] = [
        lambda: os.mkfifo(place), lambda: place.symlink_to("/dev/zero"),
        lambda: place.symlink_to(place.name), place.mkdir,
    ]  # fmt: skip
    for make in makers:
        make()
        with pytest.raises(StorageError, match="artifact"):
            artifacts.read(tmp_path, stored)
        place.rmdir() if place.is_dir() else place.unlink()


@pytest.mark.parametrize("path", ["pipe", "a\x00b", "n" * 300, "../x.npz", "/etc/passwd"])
def test_a_path_that_no_content_names_is_refused(path: str) -> None:
    with pytest.raises(StorageError, match="outside of its folder"):
        StoredFile(path, "0" * 64, 0)


def test_an_array_that_is_not_there_is_named(tmp_path: Path) -> None:
    stored = artifacts.write(tmp_path, {"a": np.zeros(3)}, Access.of(tmp_path))
    read = artifacts.read(tmp_path, stored)
    assert read["a"].tolist() == [0, 0, 0]
    with pytest.raises(StorageError, match="lacks the array 'b'"):
        read["b"]


RATES = {"rate": np.ones(3, "f4"), "drivers": np.zeros((5, 3), "i4"), "driven": np.ones((5, 3))}
PATTERNS = {"patterns": np.zeros((2, 1), "u1"), "neurons": np.array(3)}
ITEMS = {"acc|index": np.arange(2), "acc|total": np.ones(2), "acc|weight": np.ones(2),
         "acc|form": np.array("mean")}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "arrays", "words"),
    [("neurons", RATES | {"rate": np.ones((2, 3))}, r"'rate' as float64 \[2, 3\], not as"),
     ("neurons", RATES | {"rate": np.ones(3, "c8")}, r"'rate' as complex64 \[3\]"),
     ("neurons", RATES | {"rate": np.array(1.0)}, r"'rate' as float64 \[\]"),
     ("neurons", RATES | {"rate": np.ones(4)}, "3 neurons in 'drivers', not 4"),
     ("neurons.product", RATES | {"driven": np.ones((4, 3))}, "4 drivers in 'driven', not 5"),
     ("neurons", RATES | {"drivers": np.ones((5, 3))}, "'drivers' as float64"),
     ("patterns", PATTERNS | {"patterns": np.zeros((2, 1))}, "'patterns' as float64"),
     ("patterns", PATTERNS | {"neurons": np.array(-1)}, r"'neurons' as int64 \[\], not as size"),
     ("documents", {"beginning": np.array([b"x"])}, r"'beginning' as \|S1 \[1\], not as text"),
     ("ranking", {"1.score": np.ones(2), "0.score": np.array(["x"])}, "'0.score' as <U1"),
     ("update_spectra", {"q": np.ones(3), "k": np.ones((2, 2))}, "'k' as float64"),
     ("alignment_curves", {"q.shape": np.array([2, 3, 4])}, "3 2 in 'q.shape', not 2"),
     ("alignment_curves", {"q.0.write": np.arange(3)}, r"'q\.0\.write' as int64"),
     ("items.top-1%", ITEMS | {"acc|total": np.ones(3)}, r"3 items in 'acc\|total', not 2"),
     ("items", ITEMS | {"acc|form": np.array(["mean"])}, r"'acc\|form' as <U4 \[1\], not as text")],
)  # fmt: skip
def test_arrays_of_another_form_are_one_clear_error(
    db: Database, begin: Begin, name: str, arrays: dict[str, Any], words: str
) -> None:
    sink = begin()
    sink.save(unit("k"), UnitResult(artifacts=[Artifact(name=name, arrays=arrays)]), 1.0)
    (stored,) = runs.artifacts(db, runs.find_run(db, "latest").id)
    (loaded,) = sink.load("k").artifacts
    reads: tuple[Callable[[], object], ...] = (
        lambda: runs.arrays(db, stored),
        lambda: dict(loaded.arrays),
    )
    for read in reads:
        with pytest.raises(StorageError, match=rf"\.npz \('{name}'\) has {words}") as raised:
            read()
        assert "--fresh" in raised.value.hint


def test_arrays_of_the_declared_form_are_read(db: Database, begin: Begin) -> None:
    sink = begin()
    given = {"neurons": RATES, "patterns": PATTERNS, "items": ITEMS, "of another kind": PATTERNS}
    wanted = [Artifact(name=name, arrays=arrays) for name, arrays in given.items()]
    sink.save(unit("k"), UnitResult(artifacts=wanted), 1.0)
    loaded = sink.load("k")
    for name, arrays in given.items():
        assert loaded.arrays(name).keys() == arrays.keys()
    with pytest.raises(StorageError, match="lacks the artifact 'neurons' of layer 3"):
        loaded.arrays("neurons", 3)


@pytest.mark.parametrize(
    "origin",
    ["[]", "3", '{"models": 3}', '{"models": {"a": "x"}}', '{"environment": []}', "{",
     '{"environment": {"versions": ["torch"]}}', '{"models": null}'],
)  # fmt: skip
def test_an_origin_that_is_none_is_unknown(db: Database, begin: Begin, origin: str) -> None:
    right = {"device": "cpu", "models": {"base": {"path": "b"}}, "environment": {"versions": {}}}
    begin().describe(right)
    run = runs.find_run(db, "latest").id
    assert runs.provenance(db, run) == right
    _alter(db, "UPDATE runs SET provenance = ?", origin)
    assert runs.provenance(db, run) == {}


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, -5.0])
def test_a_time_that_nothing_takes_is_unknown(db: Database, begin: Begin, seconds: object) -> None:
    sink = begin()
    sink.describe({"device": "cpu", "models": {"base": {"parameters": 1000}}})
    sink.save(unit("k"), result(), 1.0)
    sink.save(unit("l", "activation"), result(), 2.0)
    run = runs.find_run(db, "latest").id
    assert runs.durations(db, run) == {"alignment": 1.0, "activation": 2.0}
    _alter(db, "UPDATE units SET seconds = ? WHERE key = 'k'", seconds)
    assert runs.durations(db, run) == {"activation": 2.0}
    assert sink.pace("alignment", 1000, "cpu") is None
    assert sink.pace("activation", 1000, "cpu") == 2.0


def test_a_loop_among_the_artifacts_is_left_alone(db: Database) -> None:
    folder = db.folder("artifacts") / "aa"
    folder.mkdir(parents=True)
    (folder / "x.npz").symlink_to("x.npz")
    assert garbage.collect(db).files == 0


@pytest.mark.parametrize("digest", ["", "zz", "A" * 64])
def test_a_hash_that_is_none_is_said(digest: str) -> None:
    with pytest.raises(StorageError, match="as the hash of an artifact"):
        StoredFile("aa/x.npz", digest, 0)
