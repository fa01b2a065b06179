"""Jump mode: every tab and visible picture has a letter, and the letter goes there."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from textual.events import Key

from app.tui.app import TauscopeApp
from app.tui.screens.jump import JumpScreen
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.run_list import RunList
from storage.database import Database
from tests.app.tui.display import LARGE, assert_inside, opened, visible
from tests.app.tui.rest import until


async def test_letters_go_to_tabs_and_pictures(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=LARGE) as pilot:
        screen = await opened(pilot, app)
        await pilot.press("apostrophe")
        await until(pilot, lambda: isinstance(app.screen, JumpScreen))
        jump = app.screen
        assert isinstance(jump, JumpScreen)
        shown = [pane for pane in screen.panes() if pane.region]
        assert len(jump.targets) == len(screen.tabs()) + len(shown)
        for letter, target in jump.targets.items():
            assert visible(app)[target.y][target.x + 1] == letter
        assert_inside(jump)
        second = [s for s, t in jump.targets.items() if "pick(1)" in t.action]
        await pilot.press(*second)
        await until(pilot, lambda: app.screen is screen and screen.pane is shown[1])
        await pilot.press("apostrophe")
        await until(pilot, lambda: isinstance(app.screen, JumpScreen))
        third = [s for s, t in jump.targets.items() if "tab(2)" in t.action]
        await pilot.press(*third)
        await until(pilot, lambda: app.screen is screen and screen.tab == 2)


async def test_escape_and_other_letters_go_nowhere(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "1")
        for key in ("escape", "m"):
            await pilot.press("apostrophe")
            await until(pilot, lambda: isinstance(app.screen, JumpScreen))
            await pilot.press(key)
            await until(pilot, lambda: app.screen is screen)
            assert screen.tab == 1


async def test_letters_select_runs(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        listing = app.screen.query_one(RunList)
        await pilot.press("apostrophe")
        await until(pilot, lambda: isinstance(app.screen, JumpScreen))
        jump = app.screen
        assert isinstance(jump, JumpScreen)
        assert len(jump.targets) == 3
        for (letter, target), run in zip(jump.targets.items(), listing.items, strict=True):
            assert visible(app)[target.y].startswith(f" {letter} ")
            assert run.name in visible(app)[target.y]
        third = listing.items[2].id
        newest = replace(listing.items[0], id="0" * 12)
        listing.fill((newest, *listing.items))  # as by a run that starts meanwhile
        await pilot.press(list(jump.targets)[2])
        await until(pilot, lambda: listing.current and listing.current.id == third)


async def test_keys_that_come_after_the_answer_act_on_no_other_screen(filled: Database) -> None:
    """As a held key, or a slow line, sends them: all at once."""
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, app, "1")
        await pilot.press("apostrophe")
        jump = app.screen
        assert isinstance(jump, JumpScreen)
        for _ in range(4):
            app.post_message(Key("b", "b"))
        await until(pilot, lambda: app.screen is screen)
        for _ in range(4):
            screen.post_message(Key("b", "b"))
            screen.call_later(screen.action_back)
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await pilot.press("enter", "b", "enter", "b", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))


async def test_keys_behind_the_one_that_quits_open_nothing(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = TauscopeApp(filled.url)
    pushed: list[object] = []
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        monkeypatch.setattr(app, "push_screen", lambda screen, *_: pushed.append(screen))
        for letter in "qno":
            app.post_message(Key(letter, letter))
        while not app._exit:
            await asyncio.sleep(0)
        await asyncio.sleep(0.1)
    assert pushed == []


async def test_a_run_may_be_left_before_it_is_there(filled: Database) -> None:
    app = TauscopeApp(filled.url)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        for key in ("enter", "b") * 20:
            app.post_message(Key(key, "\r" if key == "enter" else key))
            await asyncio.sleep(0.01)
        await until(pilot, lambda: app.is_running)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
