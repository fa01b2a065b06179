"""Enter opens what lies behind a value, with its coordinates; escape comes back."""

from __future__ import annotations

import numpy as np
import pytest

from app.tui.app import TauscopeApp
from app.tui.screens.run import RunScreen
from app.tui.screens.runs import RunsScreen
from core.engine.measurement import Artifact, Unit, UnitResult
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
    kept = Artifact(name="alignment_curves", arrays=arrays, model="medical", layer=2)
    for name, artifacts in (("tuning_vectors", []), ("alignment", [kept])):
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
