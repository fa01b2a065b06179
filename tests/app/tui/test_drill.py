"""Enter opens what lies behind a value, with its coordinates; escape comes back."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.widgets import Input

from app.tui.app import TauscopeApp
from app.tui.data import DataSource
from app.tui.screens.column import TypedScreen
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from core.engine.measurement import Artifact, Measurement, Unit, UnitResult
from storage.database import Database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests.app.tui.conftest import rows, study
from tests.app.tui.display import SMALL, drawn, opened, readout, words
from tests.app.tui.rest import until


@pytest.fixture
def spectra(db: Database) -> Database:
    """A finished run of alignment with the arrays of one matrix."""
    run_id = create_run(db, study(), ["tuning_vectors", "alignment"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    share = np.linspace(0, 1, 9)
    arrays = {f"k.{name}": share for name in ("write", "read", "two_sided")}
    arrays["k.singular_values"] = share[::-1] + 0.5
    curves = Artifact(name="alignment_curves", arrays=arrays, model="medical", layer=2)
    for name, artifacts in (("tuning_vectors", []), ("alignment", [curves])):
        unit = Unit(key=f"unit-{name}", analysis=name, label=name)
        sink.save(unit, UnitResult(rows(name), artifacts), 1.0)
    finish(db, run_id, attempt, "done")
    return db


async def test_behind_a_cell_of_alignment_is_its_matrix(spectra: Database) -> None:
    app = TauscopeApp(spectra.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2", "full_stop", "down", "down", "right")
        before = screen.pane
        assert before is not None
        await pilot.press("enter")
        await until(pilot, lambda: drawn(screen) and "By rank · layer 2 · k" in title(screen))
        assert screen.pane is not None
        assert screen.pane.view.key == "spectrum"
        await until(pilot, lambda: "model medical  rank 1" in readout(screen))
        await pilot.press("end")
        await until(pilot, lambda: "rank 9" in readout(screen))
        assert "share of Δ, two-sided" in words(app)
        await pilot.press("escape")
        await until(pilot, lambda: screen.pane is before)
        assert "layer 2  module k" in readout(screen), "where it was left"
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_behind_a_cell_of_alignment_are_its_tokens_where_the_run_has_them(
    db: Database,
) -> None:
    """Then the matrix by rank; and that alone where a matrix has no tokens."""
    run_id = create_run(db, study(), ["alignment", "directions"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    arrays = {
        "k.share": np.ones(1), "k.kurtosis": np.full(1, 9.0), "k.products": np.ones((1, 2, 1)),
        "k.tokens": np.array([[[0], [1]]]), "vocabulary": np.array(["aspirin", "the"]),
    }  # fmt: skip
    row = Measurement(
        metric="concentration", model="medical", layer=2, module="k", value=9.0, chance=3.0,
        chance_sd=0.5,
    )  # fmt: skip
    directions = Artifact(name="directions", arrays=arrays, model="medical", layer=2)
    for name, result in (
        ("alignment", UnitResult(rows("alignment"), [])),
        ("directions", UnitResult([row], [directions])),
    ):
        sink.save(Unit(key=f"unit-{name}", analysis=name, label=name), result, 1.0)
    finish(db, run_id, attempt, "done")
    app = TauscopeApp(db.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "full_stop", "down", "down", "right")
        await pilot.press("enter")
        await until(pilot, lambda: drawn(screen) and "What Δ reads" in title(screen))
        assert "aspirin at one end" in " ".join(words(app).split())
        await pilot.press("enter")
        await until(pilot, lambda: drawn(screen) and "By rank · layer 2 · k" in title(screen))
        await pilot.press("escape", "escape", "right")
        await until(pilot, lambda: "module v" in readout(screen))
        await pilot.press("enter")
        await until(pilot, lambda: drawn(screen) and "By rank · layer 2 · v" in title(screen))


async def test_enter_is_offered_only_where_something_lies_behind(spectra: Database) -> None:
    app = TauscopeApp(spectra.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2")
        assert screen.check_action("drill", ())
        await pilot.press("v", "v", "v")
        await until(pilot, lambda: drawn(screen))
        assert not screen.check_action("drill", ())
        await pilot.press("enter", "1", "enter", "1", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


def title(screen: RunScreen) -> str:
    drawn_ = screen.pane.drawn if screen.pane else None
    return drawn_.figure.title if drawn_ else ""


async def test_a_matrix_whose_arrays_are_gone_says_so_for_as_long_as_it_is_looked_at(
    spectra: Database,
) -> None:
    app = TauscopeApp(spectra.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "2", "full_stop", "down", "down", "right")
        for file in spectra.folder("artifacts").rglob("*.npz"):
            file.rename(file.with_suffix(".away"))
        await pilot.press("enter")
        await until(pilot, lambda: "missing" in words(app))
        polls = screen.feed.beat
        await until(pilot, lambda: screen.feed.beat != polls)
        assert "missing" in words(app)
        assert "Reading" not in words(app)
        for file in spectra.folder("artifacts").rglob("*.away"):
            file.rename(file.with_suffix(".npz"))
        await pilot.press("escape", "enter")
        await until(pilot, lambda: drawn(screen) and "By rank · layer 2 · k" in title(screen))


@pytest.fixture
def scored(db: Database) -> Database:
    """A finished run of two tasks, with the items of one, and no prompts."""
    run_id = create_run(db, study(), ["evaluation"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    items = {"base": [1.0, 0.0, 1.0], "medical": [1.0, 1.0, 0.0]}
    for model, totals in items.items():
        arrays = {"acc|index": np.arange(3), "acc|total": np.array(totals)}
        arrays |= {"acc|weight": np.ones(3), "acc|form": np.array("mean")}
        measured = [Measurement(metric="acc", model=model, task="exam", value=2 / 3)]
        if model != "base":
            coordinates: dict[str, Any] = {"model": model, "reference": "base", "task": "exam"}
            measured.append(
                Measurement(metric="difference", metric_of="acc", value=0.0, **coordinates)
            )
        artifacts = [Artifact(name="items", arrays=arrays, model=model, task="exam")]
        unit = Unit(key=f"unit-{model}", analysis="evaluation", label=model)
        sink.save(unit, UnitResult(measured, artifacts), 1.0)
    finish(db, run_id, attempt, "done")
    return db


async def test_behind_a_score_are_its_items_and_behind_an_item_its_text(scored: Database) -> None:
    app = TauscopeApp(scored.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "1")
        assert "model medical" in readout(screen), "a score with items behind it"
        assert screen.check_action("drill", ())
        await pilot.press("up")
        await until(pilot, lambda: "model base" in readout(screen))
        assert not screen.check_action("drill", ()), "the base has no difference from itself"
        await pilot.press("down")
        await until(pilot, lambda: "model medical" in readout(screen))
        await pilot.press("enter")
        await until(pilot, lambda: "1 went from wrong to right and 1 from right" in words(app))
        assert "--fresh" in words(app), "prompts were not stored"
        await pilot.press("enter")
        await until(pilot, lambda: drawn(screen) and "base 0, medical 1" in words(app))
        assert not screen.check_action("drill", ())
        await pilot.press("escape", "escape")
        await until(pilot, lambda: "model medical" in readout(screen))


@pytest.fixture
def mixed(db: Database) -> Database:
    """A finished run with a plane of coefficients, and selections of neurons side by side."""
    run_id = create_run(db, study(), ["arithmetic", "ablation"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    points = ("base", "medical=1", "maths=1", "medical=1,maths=1")
    coordinates: dict[str, Any] = {"metric_of": "acc", "task": "exam", "reference": "base"}
    measured = {
        "arithmetic": [
            Measurement(metric="normalised", value=0.1 * i, setting=setting, **coordinates)
            for i, setting in enumerate(points)
        ],
        "ablation": [
            Measurement(metric="drop_percent", value=7.0, setting=name, model=model,
                        **coordinates | {"reference": source})
            for model, source in (("medical", "base"), ("medical", "medical"), ("base", "base"))
            for name in ("top-1%", "all-active")
        ],
    }  # fmt: skip
    for name, scores in measured.items():
        sink.save(Unit(key=name, analysis=name, label=name), UnitResult(scores), 1.0)
    finish(db, run_id, attempt, "done")
    return db


async def test_behind_a_cell_of_a_plane_is_its_own_point(mixed: Database) -> None:
    """Its rows and columns are no coordinates, but it has some."""
    app = TauscopeApp(mixed.url)
    top, all_own = ({"model": "medical", "reference": "medical", "setting": setting}
                    for setting in ("top-1%", "all-active"))  # fmt: skip
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "1")
        for path, key, behind in (
            ("arithmetic:grid", "down", {"setting": "medical=1"}),
            ("arithmetic:grid", "right", {"setting": "medical=1,maths=1"}),
            ("ablation:selections", "down", top),
            ("ablation:selections", "left", top | {"reference": "base"}),
            ("ablation:selections", "end", all_own),
        ):
            await _to(pilot, screen, path)
            await pilot.press(key)
            assert screen.check_action("drill", ())
            await pilot.press("enter")
            await until(pilot, partial(_stands, screen, behind))
            await pilot.press("escape")
        await _to(pilot, screen, "ablation:selections")
        await pilot.press("up", "left")
        assert not screen.check_action("drill", ()), "nothing was measured there"


async def test_the_point_at_the_cursor_is_written_as_a_model(
    mixed: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, Path]] = []
    monkeypatch.setattr(
        DataSource, "merge", lambda self, study, mix, folder: written.append((mix.text, folder))
    )
    app = TauscopeApp(mixed.url)
    async with app.run_test(size=SMALL) as pilot:
        screen = await opened(pilot, app, "1")
        await _to(pilot, screen, "arithmetic:grid")
        await pilot.press("down", "right")
        assert screen.check_action("write", ())
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, TypedScreen))
        box = app.screen.query_one(Input)
        box.value = str(tmp_path)
        await pilot.press("enter")
        await until(pilot, lambda: "already exists" in words(app))
        box.value = f" {tmp_path / 'new'} "
        await pilot.press("enter")
        await until(pilot, lambda: written)
        assert written == [("medical=1,maths=1", tmp_path / "new")]
        await pilot.press("w")
        await until(pilot, lambda: isinstance(app.screen, TypedScreen))
        for impossible in ("~nobody-of-this-name/x", "x" * 300):
            app.screen.query_one(Input).value = impossible
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, RunScreen))
            await pilot.press("w")
            await until(pilot, lambda: isinstance(app.screen, TypedScreen))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        await _to(pilot, screen, "ablation:selections")
        assert not screen.check_action("write", ()), "it is no point"


async def _to(pilot: Any, screen: RunScreen, path: str) -> None:
    place = screen._found(path)
    assert place is not None
    await screen._show(*place)
    await until(pilot, lambda: screen.pane is place[1] and drawn(screen))


def _stands(screen: RunScreen, coordinates: dict[str, str]) -> bool:
    """Is a text shown, of these coordinates?"""
    pane = screen.pane
    if pane is None or pane.choice is None or pane.view.kind != "text":
        return False
    return (
        drawn(screen) and {name: getattr(pane.choice, name) for name in coordinates} == coordinates
    )
