"""Every screen under words that try to break it: nothing acts, nothing is pushed aside."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from app.tui.app import TauscopeApp
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.run_list import RunList
from core.errors import StorageError
from tests.app.tui.scenes import SCENES, fixed, furnished, settled, shelved, shown
from tests.app.tui.test_screens import LARGE, SMALL, until, visible

WORDS = {
    # What would act, were it more than text: markup, colours, a cleared screen, the clipboard.
    "acting": "[bold red]e[/][@click=app.quit]x[/]\x1b[31mr\x1b[2J\x1b[H"
    "\x1b]52;c;ZXZpbA==\x07\x9b31m",
    # What takes no room, or other room than it seems to, or turns what follows around.
    "turning": "\u202er\u202c\u0645\u062b\u2066x\u2069e"
    + "\u0301" * 60
    + "\u200d\u200b a\nb\r\nc\td",
    "wide": "宽字符" * 40,
    "long": "x" * 4000,
}
HARMLESS = "\u200c\u200d"
"""Joiners, without which some languages can't be written."""


def assert_harmless(app: TauscopeApp) -> None:
    """No row is wider than the screen, no sign of one would act on a terminal, and the way out
    of the screen, or of the line that is being typed, is still said."""
    rows = visible(app)
    assert [cell_len(row) for row in rows] == [app.size.width] * app.size.height
    signs = set("".join(rows)) - set(HARMLESS)
    assert [sign for sign in signs if unicodedata.category(sign) in ("Cc", "Cf")] == []
    assert app.screen.is_modal or {"quit", "esc"} & set(rows[-1].split())


async def back(pilot: Pilot[str | None], app: TauscopeApp) -> RunsScreen:
    """From any scene to the list of runs as it was in the beginning."""
    while not isinstance(app.screen, RunsScreen):
        await app.pop_screen()
    app.screen.query_one(RunList).marked = ()
    await pilot.press("escape", "home")
    await settled(pilot, app)
    return app.screen


@pytest.mark.parametrize(
    ("words", "size"), [("acting", LARGE), ("turning", SMALL), ("wide", SMALL), ("long", SMALL)]
)
async def test_no_screen_breaks(
    words: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = WORDS[words]
    fixed(monkeypatch)
    folder = tmp_path / evil.replace("/", "")[:50]
    folder.mkdir()
    monkeypatch.chdir(folder)
    shelved(monkeypatch)
    db = furnished(folder, lambda plain: evil + plain)
    copied: list[str] = []
    app = TauscopeApp(db.url)
    app.copy_to_clipboard = copied.append  # type: ignore[method-assign]
    async with app.run_test(size=size) as pilot:
        for scene in SCENES:
            if scene.empty:
                continue
            await shown(pilot, app, scene)
            assert_harmless(app)
            await back(pilot, app)

        await pilot.press("o")
        app.screen.query_one(Input).value = f"{folder}/{evil}.toml"
        await pilot.press("enter")
        await settled(pilot, app)
        app.screen.query_one(Input).value = ""  # one's own words stand there as they were typed
        await settled(pilot, app)
        assert_harmless(app)
        listing = await back(pilot, app)

        def fail() -> tuple[()]:
            raise StorageError(f"{folder} is locked by {evil}.", hint=evil)

        monkeypatch.setattr(app.source, "runs", fail)
        await until(pilot, lambda: listing.snapshot and listing.snapshot.trouble)
        assert_harmless(app)
    db.close()
    assert copied == [], "only the key for it reaches the clipboard"
