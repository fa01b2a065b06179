"""Every screen under names that try to break it, at both sizes: nothing acts, nothing is pushed."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from rich.cells import cell_len

from app.tui.app import TauscopeApp
from app.tui.screens.runs import RunsScreen
from core.measurement import Unit, UnitResult
from storage.database import Database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests import pretend
from tests.app.tui.conftest import study
from tests.app.tui.test_screens import LARGE, SMALL, drawn, opened, until, visible

NAMES = {
    "markup": "[bold red]evil[/] [@click=app.quit]x[/]",
    "ansi": "\x1b[31mred\x1b[2J\x1b[H",
    "osc52": "\x1b]52;c;ZXZpbA==\x07\x9b31m",
    "long": "x" * 4000,
    "bidi": "\u202eright\u202c \u0645\u062b\u0627\u0644 \u2066x\u2069",
    "wide": "宽字符" * 40,
    "combining": "e" + "\u0301" * 60 + "\u200d\u200b",
    "lines": "one\ntwo\r\nthree\tfour",
}


@pytest.fixture(params=NAMES)
def hostile(
    db: Database, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Database:
    """A failed run of the analysis with views of every kind, all of whose words are hostile."""
    name = NAMES[request.param]
    pretend.register(monkeypatch)
    run_id = create_run(db, study(name), [pretend.NAME])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    rows = [replace(row, task=row.task and row.task + name) for row in pretend.rows()]
    unit = Unit(key="pretended", analysis=pretend.NAME, label=name)
    sink.save(unit, UnitResult(rows, pretend.arrays()), 1.0)
    sink.warn(name, name)
    finish(db, run_id, attempt, "failed", title=name, hint=name)
    return db


def assert_harmless(app: TauscopeApp) -> None:
    """No row is wider than the screen, and no sign of one would act on a terminal."""
    rows = visible(app)
    assert len(rows) == app.size.height
    for row in rows:
        assert cell_len(row) == app.size.width
        bad = [
            c for c in row if unicodedata.category(c) in ("Cc", "Cf") and c not in "\u200c\u200d"
        ]
        assert not bad, bad
    assert "quit" in rows[-1] or app.screen.is_modal


@pytest.mark.parametrize("size", [SMALL, LARGE])
async def test_no_screen_breaks(hostile: Database, size: tuple[int, int]) -> None:
    app = TauscopeApp(hostile.url)
    app.copy_to_clipboard = lambda text: None  # type: ignore[method-assign]
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        assert_harmless(app)
        await pilot.press("D")
        assert_harmless(app)
        await pilot.press("n")
        screen = await opened(pilot, app)
        for _ in screen.panes():
            await pilot.press("down", "right", "y")
            assert_harmless(app)
            await pilot.press("v")
            await until(pilot, lambda: drawn(screen))
        for key in ("question_mark", "Y", "X", "apostrophe"):
            await pilot.press(key)
            await pilot.pause()
            assert app.screen is not screen
            assert_harmless(app)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        await pilot.press("2")
        await pilot.pause()
        assert_harmless(app)
