"""Bases beside a database: found again, bounded, and freed by the collection."""

from __future__ import annotations

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import bases
from storage.database import Database, open_database
from storage.garbage import collect

ARRAYS = {"vectors": np.arange(4000, dtype=np.int16)}
SIZE = 8000


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(str(tmp_path / "runs.db"))


def _keep(database: Database, key: str, begun: float | None = None) -> None:
    begun = time.time() - 60 if begun is None else begun
    bases.keep(database.folder("bases"), key, ARRAYS, database.access, begun=begun)


def _age(database: Database, key: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(database.folder("bases") / key[:2] / f"{key}.npz", (then, then))


def _known(database: Database, *keys: str) -> list[bool]:
    folder = database.folder("bases")
    return [bases.find(folder, key) is not None for key in keys]


def test_arrays_are_found_again_and_a_cut_file_is_none(database: Database) -> None:
    _keep(database, "aa")
    folder = database.folder("bases")
    arrays = bases.find(folder, "aa")
    assert arrays is not None
    np.testing.assert_array_equal(arrays["vectors"], ARRAYS["vectors"])
    (file,) = folder.glob("??/*.npz")
    file.write_bytes(file.read_bytes()[:100])
    assert _known(database, "aa", "bb") == [False, False]
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("vectors.npy", b"not an array")
    assert _known(database, "aa") == [False]


def test_files_that_nobody_used_make_room_the_oldest_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "LARGEST", int(3.5 * SIZE))
    for key, age in (("aa", 400), ("bb", 300), ("cc", 200)):
        _keep(database, key)
        _age(database, key, age)
    assert _known(database, "aa") == [True]  # a use makes it the newest
    _keep(database, "dd")
    assert _known(database, "aa", "bb", "cc", "dd") == [True, False, True, True]


def test_a_base_too_large_for_the_room_keeps_its_first_matrices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bases, "LARGEST", int(2.5 * SIZE))
    begun = time.time() - 1
    for key in ("aa", "bb", "cc", "dd"):
        _keep(database, key, begun)
    assert _known(database, "aa", "bb", "cc", "dd") == [True, True, False, False]


def test_a_full_disk_is_no_error(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    _keep(database, "aa")
    assert _known(database, "aa") == [False]
    assert not list(database.folder("bases").glob("??/*"))


def test_the_collection_frees_old_bases(database: Database) -> None:
    for key, age in (("aa", 7200.0), ("bb", 0.0)):
        _keep(database, key)
        _age(database, key, age)
    assert collect(database, dry_run=True).file_bytes > SIZE
    assert collect(database).files == 1
    assert _known(database, "aa", "bb") == [False, True]
