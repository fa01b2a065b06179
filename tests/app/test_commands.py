"""Hints name the database that the user named, so a command that is followed finds it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.commands import completed, name_database
from app.tui.threads import said
from core.errors import RunError
from storage import runs
from storage.database import open_database
from tests.app.tui.conftest import study


@pytest.fixture(autouse=True)
def _unnamed() -> Iterator[None]:
    name_database(None)
    yield
    name_database(None)


def test_a_hint_leads_to_the_database_of_the_command(tauscope: Any, tmp_path: Path) -> None:
    mine = tmp_path / "my runs.db"
    db = open_database(str(mine))
    running = runs.create_run(db, study("here"), ["alignment"])
    runs.claim(db, running)
    for given in (("--db", mine, "delete", running), ("delete", running, "--db", mine)):
        hint = tauscope(*given).err.splitlines()[1]
        command = shlex.split(hint.partition("'")[2].rpartition("'")[0])
        assert command == ["tauscope", "--db", str(mine), "cancel", running]
    assert tauscope(*command[1:]).code == 0
    assert runs.find_run(db, running).cancel_requested
    db.close()


def test_outputs_and_questions_name_it_too(tauscope: Any, tmp_path: Path) -> None:
    assert "'tauscope demo' or 'tauscope run" in tauscope("runs").err
    named = tauscope("--db", tmp_path / "x.db", "runs").err
    assert f"'tauscope --db {tmp_path}/x.db demo' or 'tauscope --db {tmp_path}/x.db run" in named
    assert "'tauscope demo' or 'tauscope run" in tauscope("runs").err, "of another command"
    assert "'tauscope --help'" in tauscope("--db", tmp_path / "x.db", "nothing").err


def test_a_stored_error_names_it_where_it_is_shown(tauscope: Any, tmp_path: Path) -> None:
    with closing(open_database(str(tmp_path / "x.db"))) as db:
        run = runs.create_run(db, study("here"), ["alignment"])
        told = "It fails. Use 'tauscope run STUDY.toml --fresh'."
        runs.finish(db, run, runs.claim(db, run), "failed", title=told, hint=told)
    shown = " ".join(tauscope("show", "latest", "--db", tmp_path / "x.db").out.split())
    assert shown.count(f"'tauscope --db {tmp_path}/x.db run STUDY.toml --fresh'") == 2


def test_screens_name_it_too() -> None:
    name_database("x.db")
    error = RunError("It runs.", hint="Stop it with 'tauscope cancel 1'.")
    assert said(error) == "It runs. Stop it with 'tauscope --db x.db cancel 1'."
    assert completed(said(error)) == said(error)


def test_a_name_in_quotes_is_no_command() -> None:
    name_database("x.db")
    for text in ("There is no run 'tauscope'.", "pip install 'tauscope[cluster]'", "'tauscope.db'"):
        assert completed(text) == text
    assert completed("'tauscope' opens the workstation.").startswith("'tauscope --db x.db' opens")
