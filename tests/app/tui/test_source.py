"""What screens ask of the database, and how often a long question is asked of it."""

from __future__ import annotations

from typing import Any

import pytest

from app.results import comparing, figures
from app.tui.data import DataSource
from core.engine.measurement import Measurement, Unit, UnitResult
from core.figures.filters import ALL, Filter
from storage import runs
from storage.database import Database
from storage.sink import RunSink


def test_ranges_are_asked_again_only_once_there_are_other_results(
    filled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    original = runs.catalogue

    def counted(db: Database, run_id: str, analysis: str) -> object:
        asked.append(analysis)
        return original(db, run_id, analysis)

    monkeypatch.setattr(runs, "catalogue", counted)
    source = DataSource(filled.url)
    run = source.runs()[0]
    analysis, views = source.contents(run)[0]
    for view in views:
        source.draw(run.id, analysis, view, None, ALL)
    assert asked.count(analysis.name) == 1
    more = Measurement(metric="norm", value=1.0, model="medical", layer=99, module="all")
    unit = Unit(key="later", analysis=analysis.name, label="later")
    RunSink(filled, run.id, 1).save(unit, UnitResult([more]), 1.0)
    assert 99 in source.draw(run.id, analysis, views[0], None, ALL).catalogue.values("layer")
    assert asked.count(analysis.name) == 2


@pytest.fixture
def drawings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs and views of which figures are drawn, in order."""
    requested: list[str] = []
    original = figures.drawn

    def counted(
        db: Database, run_id: str, analysis: Any, view: Any, *rest: Any, **more: Any
    ) -> Any:
        requested.append(f"{run_id} {view.key}")
        return original(db, run_id, analysis, view, *rest, **more)

    for module in (figures, comparing):
        monkeypatch.setattr(module, "drawn", counted)
    return requested


def test_what_a_run_begins_with_is_read_ahead(filled: Database, drawings: list[str]) -> None:
    source = DataSource(filled.url)
    run = source.runs()[0]
    analysis, views = source.contents(run)[0]
    source.read_ahead(run, 2)
    assert drawings == [f"{run.id} {view.key}" for view in views[:2]]
    first = source.draw(run.id, analysis, views[0], None, ALL)
    assert source.draw(run.id, analysis, views[0], first.choice, ALL) is first
    assert len(drawings) == 2
    source.draw(run.id, analysis, views[0], None, Filter(model=("medical",)))
    assert len(drawings) == 3, "under a filter it is another figure"


def test_a_figure_is_drawn_anew_once_there_are_other_results(
    filled: Database, drawings: list[str]
) -> None:
    source = DataSource(filled.url)
    run = source.runs()[0]
    analysis, views = source.contents(run)[0]
    before = source.draw(run.id, analysis, views[0], None, ALL)
    more = Measurement(metric="norm", value=1.0, model="medical", layer=99, module="all")
    unit = Unit(key="later", analysis=analysis.name, label="later")
    RunSink(filled, run.id, 1).save(unit, UnitResult([more]), 1.0)
    assert source.draw(run.id, analysis, views[0], before.choice, ALL) != before
    assert len(drawings) == 2


def test_what_a_comparison_begins_with_is_read_ahead(filled: Database, drawings: list[str]) -> None:
    source = DataSource(filled.url)
    first, second = (run.id for run in source.runs()[:2])
    source.compare_ahead(first, second)
    ahead = len(drawings)
    assert ahead > 0
    analysis, views = source.shared(first, second).views[0]
    made = source.pair(first, second, analysis, views[0], None, by_depth=False)
    assert source.pair(first, second, analysis, views[0], made.choice, by_depth=False) is made
    assert len(drawings) == ahead
    source.pair(first, second, analysis, views[0], None, by_depth=True)
    source.pair(second, first, analysis, views[0], None, by_depth=False)
    assert len(drawings) == 3 * ahead, "matched otherwise, or the other way round, it is another"
