"""Files of ours whose writer is killed: the old or the new, never a half, and nothing stays."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from app.cli.answers import draft
from app.drafts import studyfile
from app.jobs import demo
from app.render.data.folder import export
from app.render.data.single import Request, serve
from app.tui import memory
from core.files.partial import MARK
from storage import runs
from storage.database import Database, open_database
from tests.killing import killed_at_rename

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


def _parts(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if MARK in path.name]


def _export(url: str, folder: Path, name: str) -> None:
    with contextlib.closing(open_database(url)) as db:
        export(db, "latest", folder, [name])


@pytest.mark.parametrize(
    ("name", "dying"),
    [("json", "run.json"), ("json", ".npz"), ("csv", "alignment.csv"), ("csv", "measurements.csv"),
     ("parquet", ".parquet"), ("md", ".md"), ("html", ".html"), ("svg", ".svg")],
)  # fmt: skip
def test_an_export(db: Database, small: Database, tmp_path: Path, name: str, dying: str) -> None:
    db = small if name == "svg" else db
    _export(db.url, tmp_path, name)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    killed_at_rename(lambda: _export(db.url, tmp_path, name), dying)
    assert _parts(tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    _export(db.url, tmp_path, name)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(before)


@pytest.mark.parametrize("format", ["csv", "parquet", "svg"])
def test_a_single_figure(db: Database, tmp_path: Path, format: str) -> None:
    request = Request(
        db=db.url, run=runs.find_run(db, "latest").id, format=format, folder=str(tmp_path),
        analysis="vector_cosine", view="matrix", choice={"measure": "cosine"},
    )  # fmt: skip
    killed_at_rename(lambda: serve(request))
    assert list(tmp_path.iterdir()) == _parts(tmp_path)
    whole = serve(request)
    assert list(tmp_path.iterdir()) == [whole]


def test_a_study_file(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    studyfile.save(draft("a/base", ["medical=a/medical"]), file)
    before = file.read_bytes()
    other = draft("a/base", ["maths=a/maths"])
    killed_at_rename(lambda: studyfile.save(other, file))
    assert file.read_bytes() == before
    studyfile.save(other, file)
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert b"maths" in file.read_bytes()


def test_where_the_user_was(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    memory.keep(memory.Memory(filter="a"), file)
    killed_at_rename(lambda: memory.keep(memory.Memory(filter="b"), file))
    assert memory.recall(file).filter == "a"
    memory.keep(memory.Memory(filter="b"), file)
    assert memory.recall(file).filter == "b"
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o077 == 0, "it holds what was typed"


def test_the_mark_of_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "detach", lambda command, log: os.getpid())
    with contextlib.closing(open_database(str(tmp_path / "x.db"))) as db:
        db.path.chmod(0o600)
        killed_at_rename(lambda: demo.start(db))
        assert not demo._mark(db).exists()
        demo.start(db)
        assert not _parts(tmp_path)
        assert {path.stat().st_mode & 0o777 for path in db.folder("logs").iterdir()} == {0o600}
