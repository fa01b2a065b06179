"""Where a run stands, as a title: what it says where there is room, and what gives way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from rich.cells import cell_len
from sqlalchemy import update

from app.results import wording
from app.tui.run_title import title
from storage.database import Database
from storage.runs import RunSummary, list_runs
from storage.schema import RunRow
from tests.app.tui.conftest import HOSTILE

LOAD = "mem 12.0/24 GiB  GPU 41 % 30.0/80 GiB"


@pytest.fixture
def running(filled: Database, monkeypatch: pytest.MonkeyPatch) -> RunSummary:
    """3 units in a minute, and two more minutes are expected."""
    run = list_runs(filled)[0]
    assert run.started is not None
    later = run.started + timedelta(minutes=1)
    monkeypatch.setattr(wording, "now", lambda: later)
    return replace(run, expected=later + timedelta(minutes=2), heartbeat=later, took=60.0)


@pytest.mark.parametrize(
    ("width", "pace", "load"), [(60, False, False), (80, False, False), (90, True, False)]
)
def test_narrow_titles_say_how_far_it_is(
    running: RunSummary, width: int, pace: bool, load: bool
) -> None:
    words = title(running, "", width, LOAD).plain
    assert cell_len(words) == width
    assert "33 %  ETA 2 min" in words
    assert ("3 units/min" in words) == pace
    assert (LOAD in words) == load


def test_wide_titles_say_how_busy_the_host_is(running: RunSummary) -> None:
    words = title(running, "", 140, LOAD).plain
    assert cell_len(words) == 140
    assert LOAD in words
    assert "3 units/min" in words
    assert "running-one" in words
    assert "GiB" not in title(running, "", 140).plain


def test_a_long_name_gives_way(filled: Database, running: RunSummary) -> None:
    with filled.writing() as connection:
        connection.execute(update(RunRow).where(RunRow.id == running.id).values(name=HOSTILE))
    words = title(list_runs(filled)[0], "", 140, LOAD).plain
    assert cell_len(words) == 140
    assert LOAD in words
    assert "[bold red]evil" in words
    assert "\x1b" not in words


def test_only_a_run_that_runs_has_a_pace(filled: Database) -> None:
    done = list_runs(filled)[1]
    assert "unit" not in title(done, "", 140).plain
