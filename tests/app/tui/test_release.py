"""What a workstation that stays open holds on to: nothing of the screens that were left."""

from __future__ import annotations

import functools
import gc
import os
import sys
import weakref
from collections import Counter
from pathlib import Path

import pytest
from textual._styles_cache import StylesCache
from textual.color import Color
from textual.strip import Strip
from textual.style import Style

from app.config import Config
from app.tui.app import TauscopeApp
from app.tui.data import FIGURES, RANGES
from app.tui.screens.runs import RunsScreen
from app.tui.widgets.figure import FigureView
from app.tui.widgets.run_preview import RunPreview
from storage.database import Database
from tests.app.tui.rest import rest, until
from tests.patience import eventually

AWAY = ("enter 1 escape", "enter 2 escape", "space j equals_sign escape k space", "n escape",
        "question_mark escape")  # fmt: skip
"""Screens, each by the keys that go there and back."""
PAINTED = (StylesCache, Strip)
MANY = 200
OPEN_FILES = Path("/proc/self/fd")


async def test_a_screen_that_was_left_is_gone(filled: Database) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=(160, 45)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await rest(app)  # what is made ready beforehand is left to itself by the collector
        await pilot.press("down")
        seen: list[weakref.ref[object]] = []
        for turn in range(3):
            for keys in AWAY:
                for key in keys.split():
                    await pilot.press(key)
                    if not isinstance(app.screen, RunsScreen):
                        seen += map(weakref.ref, (app.screen, *app.screen.query(FigureView)))
                assert isinstance(app.screen, RunsScreen), keys
            preview = app.screen.query_one(RunPreview)  # it comes a while after the list
            await until(pilot, lambda: preview.overview is not None)  # noqa: B023 - awaited here
            if not turn:
                first = painted()
        assert len(seen) > 20

        def gone() -> bool:
            """Nothing of the first half is there, nor more than after one round: a thread that
            still reads holds its screen for a while, and so does a timer."""
            now = painted()
            return all(now[kind] <= 1.2 * first[kind] + 10 for kind in PAINTED) and all(
                thing() is None for thing in seen[: len(seen) // 2]
            )

        await until(pilot, gone)
        assert len(app.source._figures) <= FIGURES
        assert len(app.source._ranges) <= RANGES
    assert endless() == {}


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="the system does not list open files")
async def test_a_workstation_that_was_left_has_closed_its_database(filled: Database) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test() as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.snapshot)
        await rest(app)
        assert opened(filled) > 0
    filled.close()
    assert eventually(lambda: opened(filled) == 0), "a thread that reads ahead closes it too"


def painted() -> Counter[type]:
    """The number of painted objects in memory, by kind."""
    gc.collect()
    return Counter(type(thing) for thing in gc.get_objects() if type(thing) in PAINTED)


def opened(db: Database) -> int:
    """How many file descriptors of this process are of the database."""
    links = (os.path.realpath(link) for link in OPEN_FILES.iterdir())
    return sum(link.startswith(str(db.path)) for link in links)


def endless() -> dict[str, int]:
    """The caches of ours that have no limit, and have grown beyond what there is of anything."""
    return {
        f"{name}.{key}": value.cache_info().currsize
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] in ("app", "core", "storage")
        for key, value in vars(module).items()
        if isinstance(value, functools._lru_cache_wrapper)
        and value.cache_info().maxsize is None
        and value.cache_info().currsize > MANY
    }


def test_styles_are_those_that_textual_gives() -> None:
    base, inner = Color(1, 2, 3), Color(40, 50, 60, 0.5)
    styles = StylesCache().get_inner_outer(base, inner)
    assert styles == (Style(background=base + inner), Style(background=base))
    original = getattr(StylesCache.get_inner_outer, "__wrapped__", None)
    assert original is None, "ours is in place"
