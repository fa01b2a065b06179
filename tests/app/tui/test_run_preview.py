"""The overview of the selected run beside the list of runs."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from app.results import overview
from app.tui.app import TauscopeApp
from app.tui.data import DataSource
from app.tui.widgets import run_preview
from app.tui.widgets.run_list import RunList
from app.tui.widgets.run_preview import RunPreview
from storage.database import Database
from storage.runs import RunSummary, list_runs
from tests.app.tui.display import words
from tests.app.tui.rest import until
from tests.patience import PATIENCE


@pytest.mark.parametrize("width", [159, 160])
async def test_a_wide_list_shows_the_findings_of_the_selected_run(
    filled: Database, width: int
) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(width, 45)) as pilot:
        await until(pilot, lambda: "runs" in words(app))
        preview = app.screen.query_one(RunPreview)
        if width < 160:
            await pilot.pause(0.3)
            assert not preview.display
            assert preview.overview is None, "nothing is read that nobody sees"
            return
        await until(pilot, lambda: preview.overview is not None)
        newest = list_runs(filled)[0]
        assert preview.overview == overview.read(filled, newest)
        assert "Findings, largest first" in words(app)


async def _cleared(preview: RunPreview) -> None:
    while preview.overview is not None:
        await asyncio.sleep(0.01)


async def test_a_run_that_goes_on_is_not_beside_another_run_s_overview(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, let = TauscopeApp(filled.url), threading.Event()

    def never(_: DataSource, run: RunSummary) -> overview.Overview:
        let.wait(PATIENCE)
        return overview.read(filled, run)

    async with app.run_test(size=(160, 45)) as pilot:
        preview, runs = app.screen.query_one(RunPreview), app.screen.query_one(RunList)
        await until(pilot, lambda: preview.overview is not None)
        monkeypatch.setattr(DataSource, "overview", never)
        monkeypatch.setattr(run_preview, "SLOW", 0.3)
        runs.move(1)
        await asyncio.sleep(0.2)  # it is being read
        assert runs.current is not None
        preview.ask(replace(runs.current, done=0, total=20))
        await asyncio.wait_for(_cleared(preview), PATIENCE / 2)
        let.set()


async def test_the_last_overview_stays_until_the_next_one_is_read(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, read, let = TauscopeApp(filled.url), DataSource.overview, threading.Event()
    let.set()

    def slowly(source: DataSource, run: RunSummary) -> overview.Overview:
        let.wait(10)
        return read(source, run)

    monkeypatch.setattr(DataSource, "overview", slowly)
    async with app.run_test(size=(160, 45)) as pilot:
        preview, runs = app.screen.query_one(RunPreview), app.screen.query_one(RunList)
        await until(pilot, lambda: preview.overview is not None)
        first, second = list_runs(filled)[:2]
        let.clear()
        monkeypatch.setattr(run_preview, "SLOW", 2.0)
        runs.move(1)  # a press would wait for the reading
        await asyncio.sleep(0.3)
        assert preview.overview == overview.read(filled, first)
        assert preview.reading
        let.set()
        await until(pilot, lambda: not preview.reading)
        assert preview.overview == overview.read(filled, second)
        let.clear()
        monkeypatch.setattr(run_preview, "SLOW", 0.01)
        runs.move(-1)
        await asyncio.wait_for(_cleared(preview), PATIENCE)
        assert preview._words == "Reading…"
        assert preview.overview is None, "another run's overview would mislead"
        let.set()
        await until(pilot, lambda: not preview.reading)
        assert preview.overview == overview.read(filled, first)
