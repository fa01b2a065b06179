"""What identifies files is remembered across runs and hosts, and forgotten with the files."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from core.engine import runner
from core.models import identity
from core.models.checkpoint import open_directory
from core.models.identity import Identities, Stamp, stamp_of
from core.study import intake
from storage.database import Database, open_database
from storage.garbage import collect
from storage.identities import Remembered
from storage.schema import IdentityRow
from storage.sink import RunSink
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model

STAMP = Stamp("/models/a.safetensors", 64768, 2**64 - 1, 10, 1_700_000_000_000_000_001, 5)


def _rows(db: Database) -> int:
    with db.reading() as connection:
        return connection.scalar(select(func.count()).select_from(IdentityRow)) or 0


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = write_model(tmp_path / "model", tiny_config(), tiny_tensors())
    os.utime(folder / "model.safetensors", (1e9, 1e9))
    return folder


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "SMALL", 0)


@contextlib.contextmanager
def _reader(db: Database) -> Iterator[Database]:
    opened = open_database(db.url, write=False)
    yield opened
    opened.close()


def test_exactly_this_file_is_known(db: Database) -> None:
    memory = Remembered(db)
    assert memory.recall(STAMP) is None
    memory.remember(STAMP, "abc")
    assert memory.recall(STAMP) == "abc"
    for name in ("device", "inode", "size", "modified", "changed"):
        other = replace(STAMP, **{name: getattr(STAMP, name) - 1})
        assert memory.recall(other) is None, name
    assert memory.recall(replace(STAMP, path="/models/b.safetensors")) is None


def test_a_file_has_one_identity_on_each_file_system(db: Database) -> None:
    memory = Remembered(db)
    newer, elsewhere = replace(STAMP, modified=7), replace(STAMP, device=3)
    for stamp, digest in ((STAMP, "a"), (newer, "b"), (elsewhere, "c")):
        memory.remember(stamp, digest)
    assert [memory.recall(stamp) for stamp in (STAMP, newer, elsewhere)] == [None, "b", "c"]
    assert _rows(db) == 2


def test_a_name_that_is_no_text_is_remembered(db: Database) -> None:
    stamp = replace(STAMP, path=os.fsdecode(b"/models/\xff.bin"))
    Remembered(db).remember(stamp, "abc")
    assert Remembered(db).recall(stamp) == "abc"
    assert collect(db).identities == 1


def test_a_second_process_reads_nothing_to_identify(
    db: Database, model: Path, large: None, begin: Callable[..., RunSink]
) -> None:
    first, second, third = (Identities(memory) for memory in (begin(), begin(), Remembered(db)))
    fingerprints = [open_directory(model, each).fingerprint() for each in (first, second, third)]
    assert len(set(fingerprints)) == 1
    stored = sum(t.nbytes for t in tiny_tensors().values())
    assert [each.bytes_read for each in (first, second, third)] == [stored, 0, 0]


def test_a_run_remembers_its_models(
    db: Database, tmp_path: Path, model: Path, large: None, begin: Callable[..., RunSink]
) -> None:
    tuned = write_model(tmp_path / "tuned", tiny_config(), tuned_from(tiny_tensors(), 1))
    os.utime(tuned / "model.safetensors", (1e9, 1e9))
    runner.run(intake.of_models(str(model), [str(tuned)]), begin(), ["tuning_vectors"])
    assert _rows(db) == 2


def test_a_database_that_can_only_be_read_is_recalled_and_not_written(
    db: Database, model: Path, large: None
) -> None:
    with _reader(db) as reader:
        unknown = Identities(Remembered(reader))
        fingerprint = open_directory(model, unknown).fingerprint()
        assert unknown.bytes_read > 0
        assert _rows(db) == 0
        open_directory(model, Identities(Remembered(db))).fingerprint()
        known = Identities(Remembered(reader))
        assert open_directory(model, known).fingerprint() == fingerprint
        assert known.bytes_read == 0


def test_a_database_that_is_busy_is_no_error(db: Database) -> None:
    impatient = open_database(db.url, patience=0.05)
    with contextlib.closing(impatient), db.writing():
        Remembered(impatient).remember(STAMP, "abc")
        assert Remembered(impatient).recall(STAMP) is None


def test_several_threads_remember_at_once(db: Database) -> None:
    stamps = [replace(STAMP, path=f"/models/{i}") for i in range(20)]
    threads = [
        threading.Thread(target=Remembered(db).remember, args=(stamp, stamp.path))
        for stamp in stamps
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Remembered(db).recall(stamp) for stamp in stamps] == [stamp.path for stamp in stamps]


def test_what_is_gone_or_has_changed_is_forgotten(db: Database, model: Path) -> None:
    memory = Remembered(db)
    here = stamp_of(model / "model.safetensors")
    changed = stamp_of(model / "config.json")
    for stamp in (here, changed, STAMP, replace(here, device=here.device + 1)):
        memory.remember(stamp, "abc")
    (model / "config.json").write_text(json.dumps({}))
    assert collect(db, dry_run=True).identities == 3
    assert _rows(db) == 4
    assert collect(db).identities == 3
    assert memory.recall(here) == "abc"
    assert (_rows(db), collect(db).identities) == (1, 0)


def test_what_is_remembered_anew_meanwhile_stays(
    db: Database, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the files and the deletion another process may have read one again."""
    from storage import identities

    file = model / "model.safetensors"
    Remembered(db).remember(stamp_of(file), "old")
    os.utime(file, (2e9, 1.5e9))
    original = identities.stale

    def slow(opened: Database) -> list[Stamp]:
        stamps = original(opened)
        Remembered(db).remember(stamp_of(file), "new")
        return stamps

    monkeypatch.setattr(identities, "stale", slow)
    assert collect(db).identities == 0
    assert Remembered(db).recall(stamp_of(file)) == "new"
