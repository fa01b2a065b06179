"""What the workstation shows: its rows, its figures and its readout, at two sizes."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest
from textual.app import App
from textual.containers import VerticalScroll
from textual.pilot import Pilot
from textual.screen import Screen

from app.tui.app import TauscopeApp
from app.tui.screens.run import RunScreen
from app.tui.screens.run_parts import OVERVIEW
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.bar import Row
from app.tui.widgets.overview import OverviewView
from storage.database import Database
from tests.app.tui.rest import until

S = TypeVar("S", bound=Screen[Any])
SMALL, LARGE = (80, 24), (160, 45)

BOTH = pytest.mark.parametrize("size", [SMALL, LARGE])


def on(app: App[Any], kind: type[S]) -> S:
    """The screen of an app, which is of this kind."""
    assert isinstance(app.screen, kind)
    return app.screen


def visible(app: App[Any]) -> list[str]:
    """The rows of the screen as text."""
    rows = app.screen._compositor.render_strips(app.size)
    return ["".join(segment.text for segment in row) for row in rows]


def words(app: App[Any]) -> str:
    return "\n".join(visible(app))


async def opened(pilot: Pilot[str | None], app: TauscopeApp, *keys: str) -> RunScreen:
    """The newest run's screen where it stood, at first with its first figure, after some keys."""
    await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and drawn(app.screen))
    screen = app.screen
    assert isinstance(screen, RunScreen)
    for key in (*["1"] * (screen.tab == OVERVIEW), *keys):
        await pilot.press(key)
        await until(pilot, lambda: drawn(screen))
    return screen


def drawn(screen: RunScreen) -> bool:
    """Does the tab show what was chosen?"""
    panes = screen.panes()
    if screen.tab == OVERVIEW:
        return screen.query_one(OverviewView).overview is not None
    if not panes:
        return screen.run is not None and screen.tab == len(screen.analyses)
    return all(p.drawn is not None and p.drawn.choice == p.choice for p in panes)


def readout(screen: RunScreen) -> str:
    pane = screen.pane
    assert pane is not None
    return str(pane.query_one("#readout", Row).words)


def assert_inside(screen: Screen[Any]) -> None:
    """No visible widget reaches beyond the screen, but for what scrolls."""
    for widget in screen.query("*"):
        scrolls = isinstance(widget.parent, VerticalScroll)
        shown = all(node.display for node in widget.ancestors_with_self)
        if widget.region and shown and not scrolls:
            assert screen.region.contains_region(widget.region), widget


def app_of(db: Database) -> TauscopeApp:
    return TauscopeApp(db.url, remembered=db.path.parent / "state" / "one.json")
