"""What screens ask of the database, and how often a long question is asked of it."""

from __future__ import annotations

import pytest

from app.tui.source import Source
from core.filters import ALL
from core.measurement import Measurement, Unit, UnitResult
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
    source = Source(filled.url)
    run = source.runs()[0]
    analysis, views = source.contents(run)[0]
    asked.clear()
    for view in views:
        source.draw(run.id, analysis, view, None, ALL)
    assert asked == [analysis.name]
    more = Measurement(metric="norm", value=1.0, model="medical", layer=99, module="all")
    unit = Unit(key="later", analysis=analysis.name, label="later")
    RunSink(filled, run.id, 1).save(unit, UnitResult([more]), 1.0)
    assert 99 in source.draw(run.id, analysis, views[0], None, ALL).catalogue.layers
    assert asked == [analysis.name] * 2
