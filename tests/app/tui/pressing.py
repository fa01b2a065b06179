"""Pressing every key there is, on a screen in some state: the workstation lives on, whatever comes.

Owns the keys and how a screen is gone to, pressed through and come back to. What a worker, a
browser of models or an export would do in a process of its own is left out.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from app.tui.app import TauscopeApp
from app.tui.keys import ACTIONS
from app.tui.screens.runs import RunsScreen
from app.tui.screens.tabbed import TabbedScreen
from core.errors import StudyError
from tests.app.tui.benches import FakeLink, opening
from tests.app.tui.rest import rest, until

LEAVES = ("q", "ctrl+q", "ctrl+c", "ctrl+z")
"""Keys that end or suspend the program, which have tests of their own."""
OF_DIALOGS = ("escape", "enter", "tab", "shift+tab", "backspace", "delete", "space", "f1", "ctrl+u")
KEYS = tuple(
    dict.fromkeys(
        key
        for key in (
            *(key for action in ACTIONS for key in action.keys.split(",")),
            *OF_DIALOGS,
        )
        if key not in LEAVES
    )
)
"""Every registered key, and those that dialogs know."""
FEW = (
    "enter",
    "1",
    "v",
    "e",
    "right",
    "space",
    "tab",
    "pagedown",
    "r",
    "c",
    "D",
    "X",
    "y",
    "slash",
)
"""Keys of every kind of effect."""
AT_ONCE = 8
"""Turns of the loop in which a key is answered; what is read meanwhile comes when it comes."""
ON_PICTURES = tuple(
    action.keys.split(",")[0]
    for action in ACTIONS
    if action.where == "figure" or action.name.endswith((" 1)", "re(1)", "reading"))
)


def harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing leave this process: no worker, no export, no look into models."""

    async def unforeseen(*_: object) -> dict[str, object]:
        raise StudyError("Nobody looks.")

    monkeypatch.setattr("app.tui.data.DataSource.bench", lambda *_: opening(FakeLink()))
    monkeypatch.setattr("app.tui.data.DataSource.merge", lambda *_: None)
    monkeypatch.setattr("app.jobs.launcher.detach", lambda *_: os.getpid())
    monkeypatch.setattr("app.jobs.demo.detach", lambda *_: os.getpid())
    monkeypatch.setattr("app.tui.screens.export._write", lambda *_: None)
    monkeypatch.setattr("app.tui.outlook.foresee", unforeseen)
    monkeypatch.setattr(TauscopeApp, "action_suspend_process", lambda self: None)
    monkeypatch.setattr(TauscopeApp, "action_leave", lambda self: None)


async def listed(pilot: Pilot[str | None], app: TauscopeApp) -> None:
    """Wait for the list of runs."""
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)


async def open_run(pilot: Pilot[str | None], app: TauscopeApp, *keys: str) -> None:
    """Open the first run from the list, or what these keys lead to."""
    await listed(pilot, app)
    for key in keys or ("enter",):
        await _press(app, key)
        await rest(app)


async def press_through(
    pilot: Pilot[str | None], app: TauscopeApp, route: str, keys: Sequence[str] = KEYS
) -> None:
    """Press each of the keys on the screen that the route leads to from the list of runs, and click
    here and there on it."""
    await home(app)
    await _go(app, route)
    for key in keys:
        where = _where(app)
        await _press(app, key)
        if _where(app) != where:
            await home(app)
            await _go(app, route)
    await rest(app)
    for offset in _places(app):
        await pilot.click(offset=offset)
        _check(app, f"a click at {offset}")
    await home(app)
    await rest(app)
    _check(app, "all keys")


async def press_pictures(pilot: Pilot[str | None], app: TauscopeApp) -> None:
    """On the screen of a run or of two, press what acts on pictures on each one of each tab, and
    go back to the list."""
    screen = app.screen
    assert isinstance(screen, TabbedScreen)
    for tab in range(screen.FIRST, screen.FIRST + len(screen.tabs())):
        await _press(app, str(tab))
        await rest(app)
        for _ in screen.panes() or (None,):
            for key in ON_PICTURES:
                await _press(app, key)
            await _press(app, str(tab))  # what lay behind a value is on another
            await _press(app, "v")
            await rest(app)
    _check(app, "its pictures")
    await home(app)
    await rest(app)


async def _press(app: TauscopeApp, key: str) -> None:
    app.simulate_key(key)
    for _ in range(AT_ONCE):
        await asyncio.sleep(0)
    _check(app, key)


async def _go(app: TauscopeApp, route: str) -> None:
    for key in route.split():
        await _press(app, key)
        await rest(app)


async def home(app: TauscopeApp) -> None:
    """Back to the list of runs, its first run selected, nothing filtered."""
    for _ in range(12):
        if isinstance(app.screen, RunsScreen):
            break
        await _press(app, "escape")
        await rest(app)
    assert isinstance(app.screen, RunsScreen), f"no way out of {app.screen}"
    for key in ("escape", "home"):
        await _press(app, key)
    await rest(app)


def _where(app: TauscopeApp) -> tuple[object, ...]:
    """The screens, and whether something is being typed: all keys are letters then."""
    return (*map(id, app.screen_stack), isinstance(app.focused, Input))


def _places(app: TauscopeApp) -> Iterator[tuple[int, int]]:
    """Titles, tabs, headings, cells and the keys at the bottom."""
    width, height = app.size
    for y in sorted({0, 1, 2, 4, height // 2, height - 2, height - 1} & set(range(height))):
        for x in (1, width // 2, width - 2):
            yield x, y


def _check(app: TauscopeApp, after: str) -> None:
    error = app._exception
    assert error is None, f"{after} on {app.screen_stack}: {error!r}"
    assert app.is_running
    assert not app._exit, f"{after} ended the program"
