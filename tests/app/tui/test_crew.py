"""Workers and failed units on the screens of a run."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from textual.content import Content
from textual.events import Key

from app.results.overview import Overview
from app.tui.app import TauscopeApp
from app.tui.columns import table
from app.tui.data import DataSource
from app.tui.run_title import title
from app.tui.screens.run import RunScreen
from app.tui.widgets.run_detail import MOST, detail
from core.engine.measurement import Progress, WorkerState
from storage.database import Database
from storage.runs import RunSummary, claim, create_run, find_run, finish
from storage.sink import RunSink
from tests.app.tui.conftest import WEIGHTS, fill, study
from tests.app.tui.display import SMALL, words
from tests.app.tui.rest import until
from tests.patience import PATIENCE
from tests.storage.conftest import unit

HEAD = ("name", "place", "current unit")
ROWS = [("w1", "node", "scores of medical"), ("w2", "a-node-with-a-long-name-for-a-host", "waits")]


def states(count: int) -> list[WorkerState]:
    return [
        WorkerState(f"w{i}", f"node-{i % 2}", f"cuda:{i}", "medical", f"unit {i} in hand")
        for i in range(count)
    ]


@pytest.fixture
def started(db: Database) -> RunSink:
    """The sink of a running run with results."""
    run_id = create_run(db, study("spread-one"), WEIGHTS)
    attempt = claim(db, run_id)
    fill(db, run_id, attempt)
    sink = RunSink(db, run_id, attempt)
    sink.progress(Progress(3, 10, label="layer 3"))
    return sink


async def test_workers_and_failures_show_and_are_tried_again(
    db: Database, started: RunSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = find_run(db, "latest").id
    started.workers(states(3))
    started.beat()
    app = TauscopeApp(db.url)
    resumed: list[str] = []
    monkeypatch.setattr(app.source, "resume", lambda run_id, now: resumed.append(run_id))
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "3 workers" in words(app))
        await pilot.press("enter")
        await until(pilot, lambda: "Overview" in words(app))
        await pilot.press("3")
        await until(pilot, lambda: "3 workers on 2 hosts, 3 at work" in words(app))
        assert "unit 2 in hand" in words(app)
        started.failed(unit("k"), "CUDA ran out of memory.", 3)
        started.workers(states(2))
        started.beat()
        await until(pilot, lambda: "1 failed unit" in words(app))
        await until(pilot, lambda: "2 workers on 2 hosts" in words(app))
        assert "alignment: unit k (tried 3 times): CUDA ran out of memory." in words(app)
        assert "tries it again" not in words(app), "only once the run has ended"
        finish(db, run_id, 1, "failed", title="1 of 10 units failed.")
        await until(pilot, lambda: "r tries it again" in words(app))
        assert "at work" not in words(app), "nobody is"
        assert "r try again" in words(app)
        await pilot.press("r")
        await until(pilot, lambda: resumed == [run_id])


async def test_a_failed_unit_shows_at_once_without_workers(db: Database, started: RunSink) -> None:
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "running" in words(app))
        await pilot.press("enter")
        await until(pilot, lambda: "Overview" in words(app))
        await pilot.press("3")
        await until(pilot, lambda: "analyses" in words(app))
        started.failed(unit("k"), "CUDA ran out of memory.", 1)
        await until(pilot, lambda: "1 failed unit" in words(app))


async def test_a_reading_that_takes_longer_than_units_do_is_shown(
    db: Database, started: RunSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, let, read = list[RunSummary](), threading.Event(), DataSource.overview

    def slowly(source: DataSource, run: RunSummary) -> Overview:
        begun.append(run)
        let.wait(PATIENCE)
        return read(source, run)

    monkeypatch.setattr("app.tui.screens.run.POLL", 0.02)
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        await until(pilot, lambda: "running" in words(app))
        monkeypatch.setattr(DataSource, "overview", slowly)
        app.post_message(Key("enter", None))
        while not begun or not isinstance(app.screen, RunScreen):
            await asyncio.sleep(0.01)
        screen = app.screen
        started.failed(unit("k"), "CUDA ran out of memory.", 1)
        while screen.run is None or not screen.run.failed:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.4)  # several polls
        assert len(begun) == 1, "a reading that begins anew at every unit never ends"
        let.set()
        await until(pilot, lambda: len(begun) == 2)
        assert begun[1].failed == 1


def test_a_run_in_one_process_looks_as_always(db: Database, started: RunSink) -> None:
    def shown() -> list[str]:
        run = find_run(db, "latest")
        return [title(run, "", 160).plain, *(line.plain for line in detail(run, 158, MOST))]

    assert not any("worker" in line for line in shown())
    started.workers(states(2))
    started.beat()
    assert "2 workers" in shown()[0]
    assert " · 2 workers · layer 3" in shown()[2]
    started.failed(unit("k"), "CUDA ran out of memory.", 3)
    assert "1 unit failed" in shown()[0]
    assert " · 1 failed · 2 workers" in shown()[2]


def _plain(lines: Sequence[Content]) -> list[str]:
    return [line.plain for line in lines]


@pytest.mark.parametrize("width", [20, 34, 60, 200])
def test_a_table_fits_its_width(width: int) -> None:
    lines = _plain(table(HEAD, ROWS, width, least=16))
    assert all(cell_len(line) <= width for line in lines)
    assert "w2" in "".join(lines)
    below = lines[0].split() == ["name", "place"]
    assert below == (width < 48)
    text = " ".join("".join(lines).split())
    assert all(word in text for word in ("scores", "of", "medical", "waits"))


def test_a_table_without_rows_is_nothing() -> None:
    assert table(HEAD, [], 80) == []
