"""Two finished runs, which all tests of exports read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

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
    with closing(_finished(tmp_path_factory.mktemp("run"), WEIGHTS)) as opened:
        yield opened


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The same of one analysis alone: its figures are soon drawn."""
    with closing(_finished(tmp_path_factory.mktemp("small"), ["vector_cosine"])) as opened:
        yield opened


def _finished(folder: Path, analyses: Sequence[str]) -> Database:
    opened = open_database(str(folder / "x.db"))
    study = read(write_family(folder, name=NAME))
    worker.work(opened, runs.create_run(opened, study, analyses))
    return opened
