"""Every key on every screen, in every state that a run and its database may be in."""

from __future__ import annotations

import inspect
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete
from textual import actions

import storage.database
from app.config import Config
from app.tui.able import NEEDS, Able
from app.tui.app import TauscopeApp
from app.tui.keys import ACTIONS
from app.tui.screens.tabbed import TabbedScreen
from app.tui.widgets.bar import Row
from core.engine.measurement import Measurement, Unit, UnitResult
from core.study.study import Study
from storage.database import Database
from storage.runs import claim, create_run, finish, list_runs
from storage.schema import RunRow
from storage.sink import RunSink
from tests import pretend
from tests.app.tui.conftest import WEIGHTS, rows, study
from tests.app.tui.pressing import (
    FEW,
    harmless,
    home,
    listed,
    open_run,
    press_pictures,
    press_through,
)
from tests.app.tui.rest import until
from tests.pretend import register

SMALL, TINY, LARGE = (80, 24), (20, 6), (160, 45)
SCREENS = ("", "down enter", "space down equals_sign", "L", "n", "V escape")
"""Every screen, by the keys that lead there."""
DIALOGS = (
    "slash", "D", "apostrophe", "L slash", "n enter", "n 4", "n 6", "o", "question_mark", "colon",
    "V", "V escape a", "enter slash", "enter X", "enter Y", "enter apostrophe",
)  # fmt: skip
"""What lies over a screen, or is typed into."""


def queued(db: Database) -> None:
    create_run(db, study(), WEIGHTS)


def just_started(db: Database) -> None:
    claim(db, create_run(db, study(), WEIGHTS))


def failed(db: Database) -> None:
    run_id = create_run(db, study(), WEIGHTS)
    finish(db, run_id, claim(db, run_id), "failed", title="No space", hint="Free some.")


def cancelled(db: Database) -> None:
    run_id = create_run(db, study(), WEIGHTS)
    finish(db, run_id, claim(db, run_id), "cancelled")


def one_model(db: Database) -> None:
    models = {"base": "/models/base", "tuned": {"medical": "/models/medical"}}
    asked = Study.model_validate({"name": "alone", "models": models})
    run_id = create_run(db, asked, WEIGHTS)
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    for name in ("tuning_vectors", "alignment"):
        of_medical = [row for row in rows(name) if row.model == "medical"]
        sink.save(Unit(key=name, analysis=name, label=name), UnitResult(of_medical), 1.0)
    finish(db, run_id, attempt, "done")


def one_analysis(db: Database) -> None:
    run_id = create_run(db, study(), ("vector_cosine",))
    attempt = claim(db, run_id)
    unit = Unit(key="k", analysis="vector_cosine", label="k")
    RunSink(db, run_id, attempt).save(unit, UnitResult(rows("vector_cosine")), 1.0)
    finish(db, run_id, attempt, "done")


def no_base_scores(db: Database) -> None:
    """Scores of tuned models, what differs, and a plane without its origin."""
    names = ("evaluation", "ablation", "arithmetic", pretend.NAME)
    run_id = create_run(db, study(), names)
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    shared: dict[str, Any] = {"task": "medqa", "low": 0.1, "high": 0.3, "n": 9}
    measured = {
        "evaluation": [Measurement(metric="acc", value=0.2, model="medical", **shared)],
        "ablation": [
            Measurement(metric="ablated_score", metric_of="acc", value=0.1, model="medical",
                        reference="medical", setting="top-1%", **shared)
        ],
        "arithmetic": [
            Measurement(metric="acc", value=0.2, reference="base", setting="medical=1", **shared)
        ],
        pretend.NAME: [replace(r, model="medical") for r in pretend.rows() if r.model == "medical"],
    }  # fmt: skip
    for name, scores in measured.items():
        sink.save(Unit(key=name, analysis=name, label=name), UnitResult(scores), 1.0)
    finish(db, run_id, attempt, "done")


STATES: tuple[Callable[[Database], None], ...] = (
    queued, just_started, failed, cancelled, one_model, one_analysis, no_base_scores,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _harmless(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    harmless(monkeypatch)
    register(monkeypatch)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
async def test_the_pictures_of_a_run(db: Database, state: Callable[[Database], None]) -> None:
    state(db)
    app = TauscopeApp(db.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await open_run(pilot, app)
        await press_pictures(pilot, app)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (queued, "No values yet: the run is waiting for a worker. r starts it."),
        (just_started, "No values yet. Vectors is computed in the pass over the weights."),
    ],
    ids=("queued", "just started"),
)
async def test_a_run_without_values_offers_no_key_that_needs_one(
    db: Database, state: Callable[[Database], None], words: str
) -> None:
    state(db)
    app = TauscopeApp(db.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await open_run(pilot, app)
        screen = app.screen
        assert isinstance(screen, TabbedScreen)
        await pilot.press("1")
        await until(pilot, lambda: screen.pane is not None and screen.pane.drawn is not None)
        assert screen.pane is not None
        assert screen.pane.figure.blank == words
        offered = str(screen.query_one("#keys", Row).words)
        assert [
            word for word in ("measure", "reading", "filter", "details") if word in offered
        ] == []
        for action in ("measure", "reading", "select", "clip", "filter", "drill"):
            assert not screen.check_action(action, ("model", 1) if action == "select" else ())
        runs = list_runs(db)
        if state is queued:
            attempt = claim(db, runs[0].id)
            sink = RunSink(db, runs[0].id, attempt)
            sink.save(Unit(key="k", analysis="tuning_vectors", label="k"),
                      UnitResult(rows("tuning_vectors")), 1.0)  # fmt: skip
            await until(pilot, lambda: "measure" in str(screen.query_one("#keys", Row).words))
            assert screen.check_action("filter", ())


@pytest.mark.parametrize("state", [failed, no_base_scores], ids=lambda state: state.__name__)
async def test_a_tiny_terminal(db: Database, state: Callable[[Database], None]) -> None:
    state(db)
    app = TauscopeApp(db.url, Config())
    async with app.run_test(size=TINY) as pilot:
        await open_run(pilot, app)
        await press_pictures(pilot, app)
        for route in ("", "n", "L", "question_mark", "colon") if state is failed else ():
            await press_through(pilot, app, route, FEW)


async def test_two_runs(filled: Database) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=LARGE) as pilot:
        await open_run(pilot, app, *["space", "down", "equals_sign"])
        await press_pictures(pilot, app)


@pytest.mark.parametrize("route", SCREENS)
async def test_every_key(filled: Database, route: str) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await listed(pilot, app)
        await press_through(pilot, app, route)


async def test_dialogs(filled: Database) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await listed(pilot, app)
        for route in DIALOGS:
            await press_through(pilot, app, route, FEW)


async def test_an_empty_database(db: Database) -> None:
    app = TauscopeApp(db.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await listed(pilot, app)
        for route in ("", "n", "L"):
            await press_through(pilot, app, route, FEW)


def deleted(db: Database) -> None:
    """Another process deletes all runs."""
    with db.writing() as connection:
        connection.execute(delete(RunRow))


def removed(db: Database) -> None:
    """Somebody removes the file."""
    for file in db.path.parent.glob(f"{db.path.name}*"):
        file.unlink()


def replaced(db: Database) -> None:
    """Something else has its name."""
    removed(db)
    db.path.write_bytes(b"no database at all")


@pytest.mark.parametrize("happens", [deleted, removed, replaced], ids=lambda f: f.__name__)
@pytest.mark.parametrize("keys", ["enter", "space down equals_sign"], ids=["one", "two"])
async def test_meanwhile(filled: Database, happens: Callable[[Database], None], keys: str) -> None:
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await open_run(pilot, app, *keys.split())
        happens(filled)
        await press_pictures(pilot, app)
        for route in ("", "D y", "r", "space down equals_sign") if keys == "enter" else ():
            await press_through(pilot, app, route, FEW)


async def test_a_locked_database(filled: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = storage.database.open_database
    for door in ("storage.database.open_database", "app.jobs.launcher.open_database"):
        monkeypatch.setattr(door, partial(opened, patience=0.1))
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await open_run(pilot, app)
        with closing(sqlite3.connect(filled.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            await press_pictures(pilot, app)
            for route in ("", "D y", "c y"):
                await press_through(pilot, app, route, FEW)


def test_every_need_is_of_an_action() -> None:
    known = {(action.where, action.name.partition("(")[0]) for action in ACTIONS}
    assert {(where, name) for where, needs in NEEDS.items() for name in needs} <= known


@pytest.mark.parametrize("opening", ["library", "build", "open", "compare"])
async def test_a_key_before_a_screen_is_made(filled: Database, opening: str) -> None:
    """A key on its way already when its screen opens does nothing, or what it does later too."""
    app = TauscopeApp(filled.url, Config())
    async with app.run_test(size=SMALL) as pilot:
        await listed(pilot, app)
        runs = app.screen
        for key in ("space", "down", "space") if opening == "compare" else ():
            await pilot.press(key)
        place = {"library": "library", "build": "builder", "open": "run"}.get(opening, "compare")
        for action in (each for each in ACTIONS if each.where == place):
            getattr(runs, f"action_{opening}")()
            screen = app.screen
            assert isinstance(screen, Able)
            assert screen is not runs
            assert not screen.is_mounted
            name, parameters = actions.parse(action.name)[1:]
            if screen.check_action(name, parameters):
                done = getattr(screen, f"action_{name}")(*parameters)
                if inspect.isawaitable(done):
                    await done
            await home(app)
            assert screen.check_action(name, parameters) in (False, name in screen.EARLY)
