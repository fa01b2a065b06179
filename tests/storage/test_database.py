"""Opening a database: where, how, by how many at once, and every way in which it can't be."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect

from core.errors import StorageError
from core.figures.views import Query
from core.study.study import Study
from storage import journal, runs, upgrade
from storage.database import Database, open_database, path_of
from storage.schema import Base
from tests.storage.conftest import VERSION_1


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(VERSION_1.read_text())
    return path


def _refusal(*args: object, **kwargs: object) -> StorageError:
    with pytest.raises(StorageError) as caught:
        open_database(*args, **kwargs)  # type: ignore[arg-type]
    return caught.value


def test_a_url_is_a_path_or_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert path_of(f"sqlite:///{tmp_path}/a.db") == tmp_path / "a.db"
    monkeypatch.chdir(tmp_path)
    assert path_of("b.db") == path_of("sqlite:///b.db") == tmp_path / "b.db"
    monkeypatch.setenv("TAUSCOPE_DB", "c.db")
    assert path_of(None) == tmp_path / "c.db"
    monkeypatch.delenv("TAUSCOPE_DB")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert path_of(None).name == "tauscope.db"


def test_links_to_a_database_lead_to_its_own_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("real", "named", "data/tauscope"):
        (tmp_path / folder).mkdir(parents=True)
    real = tmp_path / "real" / "a.db"
    for link in ("named/b.db", "data/tauscope/tauscope.db"):
        (tmp_path / link).symlink_to(real)  # the file does not exist yet
    monkeypatch.delenv("TAUSCOPE_DB", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for url in (str(tmp_path / "named" / "b.db"), None, str(real)):
        with contextlib.closing(open_database(url)) as db:
            assert db.folder("artifacts") == tmp_path / "real" / "a.artifacts"
    (tmp_path / "circle.db").symlink_to(tmp_path / "circle.db")
    assert "can't be used" in _refusal(str(tmp_path / "circle.db")).title


def test_a_relative_path_without_a_working_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(StorageError, match="the working folder is deleted"):
        path_of("b.db")
    assert path_of(str(tmp_path / "b.db")) == tmp_path / "b.db"


@pytest.mark.parametrize("url", ["postgresql://host/db", "sqlite://host/x", ":memory:"])
def test_other_addresses_are_refused(url: str) -> None:
    assert "can't be" in _refusal(url).title


def test_a_new_file_has_the_newest_schema(db: Database) -> None:
    with db.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA user_version").scalar() == upgrade.latest()
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
    assert db.journal.mode == "wal"
    assert "local file system" in str(db.journal)


def test_names_with_signs_of_urls_are_names(tmp_path: Path) -> None:
    with contextlib.closing(open_database(str(tmp_path / "50% of a?b#c" / "x y.db"))) as db:
        assert runs.list_runs(db) == []
    assert (tmp_path / "50% of a?b#c" / "x y.db").exists()


def test_migrations_make_what_the_schema_says(db: Database) -> None:
    with db.reading() as connection:
        seen = inspect(connection)
        assert set(seen.get_table_names()) == set(Base.metadata.tables)
        for name, table in Base.metadata.tables.items():
            columns = {c["name"]: (str(c["type"]), c["nullable"]) for c in seen.get_columns(name)}
            assert columns == {c.name: (str(c.type), c.nullable) for c in table.columns}
            key = seen.get_pk_constraint(name)["constrained_columns"]
            assert key == [c.name for c in table.primary_key]
            indices = {i["name"]: i["column_names"] for i in seen.get_indexes(name)}
            declared = {i.name: [c.name for c in i.columns] for i in table.indexes}
            assert indices == declared


def test_an_old_file_is_upgraded_and_keeps_its_runs(old: Path, study: Study) -> None:
    with contextlib.closing(open_database(str(old))) as db:
        (run,) = runs.list_runs(db)
        assert (run.id, run.status, run.warnings) == ("0123456789ab", "done", 1)
        assert (run.models, run.controls) == (("medical", "control"), frozenset({"control"}))
        (row,) = runs.measurements(db, run.id, "alignment")
        assert (row.value, row.layer, row.head, row.chance) == (0.75, 0, None, 0.5)
        assert row.probe == ""
        again = runs.create_run(db, study, ["alignment"])
        assert runs.claim(db, again) == 1


def test_warnings_in_the_states_of_old_units_become_their_own(old: Path) -> None:
    states = {
        "a": ("medical", '{"warnings": ["is odd.", "is a twin of control.", "is odd.", 3]}'),
        "b": ("", '{"warnings": ["has few draws."]}'),
        "c": ("x", "{"), "d": ("x", '{"warnings": 1}'), "e": ("x", "[]"), "f": ("x", "{}"),
    }  # fmt: skip
    with contextlib.closing(sqlite3.connect(old)) as connection, connection:
        for key, (model, state) in states.items():
            unit = connection.execute(
                "INSERT INTO units "
                "(key, analysis, label, model, reference, seconds, state, created) "
                "VALUES (?, 'ablation', '', ?, '', 1.0, ?, 1.0)", (key, model, state),
            ).lastrowid  # fmt: skip
            connection.execute("INSERT INTO run_units VALUES ('0123456789ab', ?)", (unit,))
    with contextlib.closing(open_database(str(old))) as db:
        known = [(w.subject, w.message) for w in runs.warnings(db, "0123456789ab")]
        assert known == [
            ("medical", "is a twin of control."), ("medical", "is odd."),
            ("ablation", "has few draws."),
        ]  # fmt: skip
        assert runs.find_run(db, "0123456789ab").warnings == 3


def test_an_old_file_that_can_only_be_read_says_so(old: Path) -> None:
    error = _refusal(str(old), write=False)
    assert "version 1 of" in error.title


def test_a_failed_step_leaves_nothing_behind(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "CREATE TABLE half (a);\nCREATE TABLE runs (id);\n"
    monkeypatch.setattr(upgrade, "steps", lambda: ("", broken))
    assert "already exists" in _refusal(str(old)).title
    with contextlib.closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert not connection.execute("SELECT 1 FROM sqlite_master WHERE name='half'").fetchall()


def test_a_newer_file_is_refused_with_both_versions(old: Path) -> None:
    with contextlib.closing(sqlite3.connect(old)) as connection:
        connection.execute("PRAGMA user_version = 99")
    for write in (None, True, False):
        error = _refusal(str(old), write=write)
        assert str(old) in error.title
        assert "version 99" in error.title
        assert f"up to {upgrade.latest()}" in error.title


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "places.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (a)")
    before = path.read_bytes()
    assert "another program" in _refusal(str(path)).title
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database " * 500)
    assert "not a database" in _refusal(str(tmp_path / "notes.txt")).title
    assert "is a folder" in _refusal(str(tmp_path)).title
    assert "folder" in _refusal(str(tmp_path / "notes.txt" / "x.db")).title


def test_a_damaged_file_is_an_error_with_a_hint(db: Database, study: Study) -> None:
    for _ in range(200):
        runs.create_run(db, study, ["alignment"])
    db.close()
    whole = bytearray(db.path.read_bytes())
    whole[4096:] = os.urandom(len(whole) - 4096)
    db.path.write_bytes(whole)
    with pytest.raises(StorageError, match="malformed") as caught:
        runs.list_runs(db)
    assert "Restore a copy" in caught.value.hint


def test_what_can_only_be_read_is_read(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    with contextlib.closing(open_database(db.url, write=False)) as reader:
        assert [run.id for run in runs.list_runs(reader)] == [run_id]
        with pytest.raises(StorageError, match="can only be read"):
            runs.create_run(reader, study, ["alignment"])
        later = runs.create_run(db, study, ["alignment"])
        assert runs.find_run(reader, "latest").id == later
    db.close()
    with contextlib.closing(open_database(db.url, write=False)) as reader:
        assert len(runs.list_runs(reader)) == 2
    assert "no database" in _refusal(str(db.path.with_name("none.db")), write=False).title


def test_permissions_decide_unless_writing_is_asked_for(
    db: Database, study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runs.create_run(db, study, ["alignment"])
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with contextlib.closing(open_database(db.url)) as reader:
        assert not reader.writable
        assert len(runs.list_runs(reader)) == 1
    assert "can't be written" in _refusal(db.url, write=True).title
    assert "can't be written" in _refusal(str(tmp_path / "new.db")).title


def test_a_lock_that_stays_is_an_error(db: Database, study: Study) -> None:
    with contextlib.closing(open_database(db.url, patience=0.05)) as hasty, db.writing():
        with pytest.raises(StorageError, match="locked") as caught:
            runs.create_run(hasty, study, ["alignment"])
        assert "Another process" in caught.value.hint


def test_a_full_disk_is_an_error(db: Database, study: Study) -> None:
    def fill() -> None:
        with db.writing() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            connection.exec_driver_sql("CREATE TABLE big (a)")
            connection.exec_driver_sql("INSERT INTO big VALUES (zeroblob(1000000))")

    with pytest.raises(StorageError, match="full") as caught:
        fill()
    assert "Free some space" in caught.value.hint
    assert runs.list_runs(db) == []


def test_a_file_that_vanished_is_not_made_anew(db: Database) -> None:
    db.close()
    for path in db.path.parent.glob(f"{db.path.name}*"):
        path.unlink()
    with pytest.raises(StorageError, match="was deleted or replaced"):
        runs.list_runs(db)
    assert not db.path.exists()


def test_shared_file_systems_have_no_wal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: Study
) -> None:
    mounts = [(Path("/"), "ext4"), (tmp_path, "nfs4")]
    monkeypatch.setattr(journal, "_mounts", lambda: mounts)
    with contextlib.closing(open_database(str(tmp_path / "x.db"))) as db:
        assert db.journal.mode == "delete"
        assert "nfs4" in str(db.journal)
        run_id = runs.create_run(db, study, ["alignment"])
        assert runs.find_run(db, run_id).status == "queued"
    monkeypatch.setattr(journal, "_mounts", lambda: mounts[:1])
    with contextlib.closing(open_database(str(tmp_path / "x.db"))) as db:
        assert db.journal.mode == "wal"


def test_where_wal_is_refused_the_old_journal_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = journal._ask

    def refuse(connection: sqlite3.Connection, mode: str, patience: float) -> str:
        return asked(connection, "DELETE", patience)

    monkeypatch.setattr(journal, "_ask", refuse)
    with contextlib.closing(open_database(str(tmp_path / "x.db"))) as db:
        assert db.journal.mode == "delete"
        assert "not possible" in db.journal.reason


@pytest.mark.parametrize(
    ("kind", "shared"),
    [("nfs4", True), ("lustre", True), ("fuse.sshfs", True), ("9p", True), ("CIFS", True),
     ("ext4", False), ("apfs", False), ("fuseblk", False), ("overlay", False)],
)  # fmt: skip
def test_which_file_systems_are_shared(kind: str, shared: bool) -> None:
    assert journal.is_shared(kind) is shared


def test_the_innermost_mount_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    inner = tmp_path / "home"
    mounts = [(inner, "nfs"), (Path("/"), "ext4"), (tmp_path / "hom", "lustre")]
    monkeypatch.setattr(journal, "_mounts", lambda: mounts)
    assert journal.file_system(inner / "me" / "x.db") == "nfs"
    assert journal.file_system(tmp_path / "x.db") == "ext4"


_OPEN = """
import sys
from storage.database import open_database
from storage import runs
db = open_database(sys.argv[1])
print(db.journal.mode, len(runs.list_runs(db)))
"""


def test_a_new_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _OPEN, str(tmp_path / "x.db")]
    opening = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outcomes = [process.communicate(timeout=120) for process in opening]
    assert [out for out, _ in outcomes] == ["wal 0\n"] * 4, outcomes


def test_a_file_that_is_made_while_it_is_looked_at_is_no_strangers(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with (
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as looking,
        contextlib.closing(sqlite3.connect(path, isolation_level=None)) as making,
    ):
        making.execute("PRAGMA journal_mode = WAL")

        def between(statement: str) -> None:
            if "sqlite_master" in statement:
                looking.set_trace_callback(None)
                upgrade.upgrade(making, path)

        looking.set_trace_callback(between)
        upgrade.check(looking, path)
        assert upgrade.version_of(looking) == upgrade.latest()


def test_a_query_of_nothing_finds_nothing(db: Database) -> None:
    query: Query = {"metric": ()}
    assert runs.measurements(db, "nowhere", "alignment", query) == []


def test_a_file_that_was_replaced_is_left_alone(db: Database, study: Study, tmp_path: Path) -> None:
    runs.create_run(db, study, ["alignment"])
    other = open_database(str(tmp_path / "other.db"))
    run_id = runs.create_run(other, study, ["alignment"])
    other.close()
    other.path.replace(db.path)
    for ask in (lambda: runs.list_runs(db), lambda: runs.create_run(db, study, ["alignment"])):
        with pytest.raises(StorageError, match="was deleted or replaced while it was open"):
            ask()
    db.close()
    for part in ("-wal", "-shm"):  # the old one's, which SQLite would play into the new one
        db.path.with_name(f"{db.path.name}{part}").unlink(missing_ok=True)
    again = open_database(db.url)
    assert [run.id for run in runs.list_runs(again)] == [run_id]
    again.close()


def test_a_folder_that_may_not_be_entered_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", refused)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(StorageError, match="can't be written"):
        open_database(str(tmp_path / "shut" / "runs.db"))


def test_an_empty_name_is_no_name() -> None:
    with pytest.raises(StorageError, match="is empty"):
        open_database("")
