"""Every screen under words that try to break it: nothing acts, nothing is pushed aside."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Input

from app.text import plain
from app.tui.app import TauscopeApp
from app.tui.completion import Completed
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.plain_input import PlainInput
from app.tui.widgets.prompt import PromptArea
from app.tui.widgets.run_list import RunList
from core.errors import StorageError
from storage.database import Database
from tests.app.tui.display import LARGE, SMALL, visible
from tests.app.tui.hostile import WORDS, assert_harmless
from tests.app.tui.rest import until
from tests.app.tui.scenes import SCENES, fixed, furnished, settled, shelved, shown


async def back(pilot: Pilot[str | None], app: TauscopeApp) -> RunsScreen:
    """From any scene to the list of runs as it was in the beginning."""
    while not isinstance(app.screen, RunsScreen):
        await app.pop_screen()
    app.screen.query_one(RunList).marked = ()
    await pilot.press("escape", "home")
    await settled(pilot, app)
    return app.screen


@pytest.mark.parametrize(
    "keys", ["slash", "o", "L slash", "L a", "n enter", "n 2 a", "enter 1 slash",
             "enter 1 X tab", "enter 1 space", "enter T"],
)  # fmt: skip
async def test_what_is_pasted_acts_on_nothing(filled: Database, keys: str) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await pilot.press("j")
        for key in keys.split():
            await pilot.press(key)
        box = app.screen.focused
        assert isinstance(box, Input)
        box.value = ""
        box.post_message(events.Paste("a" + WORDS["acting"] + "\u202eb"))
        await until(pilot, lambda: box.value.startswith("a"))
        assert box.value == plain("a" + WORDS["acting"] + "\u202eb")
        assert box.cursor_position == len(box.value), "what is typed next follows it"
        assert_harmless(app)


@pytest.mark.parametrize(
    ("words", "size"), [("acting", LARGE), ("turning joining wide long", SMALL)]
)
async def test_no_screen_breaks(
    words: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = "".join(WORDS[kind] for kind in words.split())
    fixed(monkeypatch)
    folder = tmp_path / evil.replace("/", "")[:50]
    folder.mkdir()
    monkeypatch.chdir(folder)
    shelved(monkeypatch)
    db = furnished(folder, lambda plain: evil + plain)
    copied: list[str] = []
    app = TauscopeApp(db.url)
    monkeypatch.setattr(app, "copy_to_clipboard", copied.append)
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


async def test_lines_that_are_typed_into_survive_joiners() -> None:
    joining = WORDS["joining"]

    class Typed(App[None]):
        def compose(self) -> ComposeResult:
            yield PlainInput(suggester=Completed(lambda typed: [typed + joining, f"{typed}b"]))
            yield PromptArea("prompt", "")

    app = Typed()
    async with app.run_test(size=(12, 6)) as pilot:
        await pilot.press("a")
        line, prompt = app.query_one(PlainInput), app.query_one(PromptArea)
        await until(pilot, lambda: line._suggestion == "ab")
        prompt.text = f"👩\u200d👩 {joining}"
        await until(pilot, lambda: "👩" in "".join(visible(app)))
        assert prompt.get_line(0).plain.startswith("👩\u200d👩 ��宽�")
        assert prompt.text.endswith(joining), "the prompt is sent as typed"
