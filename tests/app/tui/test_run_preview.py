"""The overview of the selected run beside the list of runs."""

from __future__ import annotations

import pytest

from app.results import overview
from app.tui.app import TauscopeApp
from app.tui.widgets.run_preview import RunPreview
from storage.database import Database
from storage.runs import list_runs
from tests.app.tui.display import words
from tests.app.tui.rest import until


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
