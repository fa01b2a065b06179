"""Where a run and its analyses stand, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.results import wording
from core.engine import registry
from core.engine.measurement import Progress
from storage import runs
from storage.database import Database
from storage.runs import RunSummary
from storage.sink import RunSink
from storage.standing import PLANNED, Standing, standings
from tests.app.tui.conftest import WEIGHTS, fill, study

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def running(db: Database) -> RunSummary:
    run_id = runs.create_run(db, study(), [*WEIGHTS, "ablation", "activation"])
    attempt = runs.claim(db, run_id)
    fill(db, run_id, attempt)
    sink = RunSink(db, run_id, attempt)
    sink.describe({PLANNED: {"alignment": 10_000, "ablation": 7, "activation": "many"}})
    sink.progress(Progress(90, 100, label="layer 3"))
    return runs.find_run(db, run_id)


def test_the_share_done_is_of_the_time_and_not_of_the_units(running: RunSummary) -> None:
    started = replace(running, took=None, started=NOW - timedelta(seconds=30), done=90, total=100)
    foreseen = replace(started, expected=NOW + timedelta(seconds=90))
    assert wording.share(foreseen, NOW) == pytest.approx(0.25)
    assert wording.share(replace(foreseen, expected=NOW), NOW) == pytest.approx(1.0)
    assert wording.share(replace(foreseen, expected=None), NOW) == pytest.approx(0.9)
    assert wording.share(replace(foreseen, status="cancelled"), NOW) == pytest.approx(0.9)
    assert wording.share(replace(foreseen, done=100), NOW) == pytest.approx(1.0)
    late = replace(started, started=wording.now(), expected=wording.now() - timedelta(days=1))
    assert wording.percent(late) == "99 %", "all of it only at the end"


def test_each_analysis_is_done_at_work_or_waits(db: Database, running: RunSummary) -> None:
    by_name = standings(db, running.id)
    assert by_name["ablation"] == Standing(total=7)
    assert by_name["alignment"].total == 10_000
    assert by_name["alignment"].done > 0
    vectors = by_name["tuning_vectors"]
    assert vectors.total == vectors.done, "never less than are finished"
    assert "activation" not in by_name, "a damaged plan says nothing"
    words = dict(wording.standing(running, by_name))
    assert words["Ablation"] == "○ 0 of 7 units, waits"
    assert words["Alignment"].startswith("► ")
    assert " left" in words["Alignment"]
    assert vectors.done == 1
    assert words["Vectors"].startswith("✓ 1 of 1 unit, took ")
    ended = dict(wording.standing(replace(running, status="cancelled"), by_name))
    assert " left" not in ended["Alignment"]
    assert "waits" not in ended["Ablation"]


def test_a_run_of_an_earlier_version_has_no_plan(db: Database) -> None:
    run_id = runs.create_run(db, study(), WEIGHTS)
    fill(db, run_id, runs.claim(db, run_id))
    by_name = standings(db, run_id)
    assert {progress.total for progress in by_name.values()} == {0}
    run = runs.find_run(db, run_id)
    assert dict(wording.standing(run, by_name))["Alignment"].startswith("► 1 unit, ")
    done = replace(run, status="done")
    assert dict(wording.standing(done, by_name))["Alignment"].startswith("✓ 1 unit, took ")


def test_an_analysis_says_what_it_waits_for(running: RunSummary) -> None:
    expected = wording.now() + timedelta(seconds=61)
    words = wording.absence(replace(running, expected=expected), "r", registry.get("ablation"))
    assert words.startswith(
        "No values yet. Ablation is computed model by model, after Activation. "
        "The run is at layer 3. The whole run: ETA "
    )
