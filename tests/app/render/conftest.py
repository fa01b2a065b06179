"""One finished run, which all tests of exports read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.jobs import worker
from core.study.intake import read
from storage import runs
from storage.database import Database, open_database
from tests.app.families import write_family
from tests.conftest import WEIGHTS

NAME = "<b>tiny</b> | *x* <script>alert(1)</script>"


@pytest.fixture(scope="session")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database with one finished run, of a study whose name is markup."""
    folder = tmp_path_factory.mktemp("run")
    opened = open_database(str(folder / "x.db"))
    study = read(write_family(folder, name=NAME))
    worker.work(opened, runs.create_run(opened, study, WEIGHTS))
    yield opened
    opened.close()
