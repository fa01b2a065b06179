"""A warning about a unit's results belongs to every run that uses the unit, and goes with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlalchemy import func, select

from core.engine.measurement import Doubt, UnitResult
from storage import garbage, runs
from storage.database import Database
from storage.schema import UnitWarningRow
from storage.sink import RunSink
from tests.storage.conftest import numbered, unit

Begin = Callable[..., RunSink]
CUT, TWIN, ODD = ("medical", "has cut prompts."), ("maths", "is a twin."), ("libraries", "odd.")


def _doubtful(*doubts: Doubt) -> UnitResult:
    return replace(numbered([1.0]), warnings=list(doubts))


def _known(db: Database, run_id: str = "latest") -> list[Doubt]:
    run = runs.find_run(db, run_id)
    known = [(each.subject, each.message) for each in runs.warnings(db, run.id)]
    assert run.warnings == len(known), "the count of the lists"
    assert runs.list_runs(db)[0].warnings == run.warnings
    return known


def _end(db: Database) -> str:
    run_id = runs.find_run(db, "latest").id
    runs.finish(db, run_id, 1, "failed")
    return run_id


def test_warnings_of_units_follow_those_of_the_run_each_once(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.save(unit("a"), _doubtful(CUT, ODD), 1.0)
    sink.save_slice([(unit(key), _doubtful(ODD, TWIN), 1.0) for key in "bc"])
    sink.warn(*TWIN)
    assert _known(db) == [TWIN, CUT, ODD]
    assert sink.load("a").warnings == [CUT, ODD]


def test_a_run_that_is_resumed_keeps_the_warnings_of_its_finished_units(
    db: Database, begin: Begin
) -> None:
    sink = begin()
    sink.warn(*TWIN)
    sink.save(unit("a"), _doubtful(CUT), 1.0)
    run_id = _end(db)
    runs.requeue(db, run_id)
    sink = begin(run_id)
    assert _known(db) == [CUT]
    sink.adopt(sink.finished(["a", "b"]))
    assert _known(db) == [CUT]


def test_another_run_has_the_warnings_of_the_units_that_it_reuses(
    db: Database, begin: Begin
) -> None:
    first = begin()
    first.warn(*TWIN)
    for key, doubt in (("a", CUT), ("b", ODD)):
        first.save(unit(key), _doubtful(doubt), 1.0)
    _end(db)
    second = begin()
    second.adopt(second.finished(["a", "c"]))
    assert _known(db) == [CUT]
    second.adopt([])
    assert _known(db) == []


def test_a_unit_that_is_computed_again_has_its_new_warnings_alone(
    db: Database, begin: Begin
) -> None:
    begin().save(unit("a"), _doubtful(CUT), 1.0)
    first = _end(db)
    begin(fresh=True).save(unit("a"), _doubtful(ODD), 1.0)
    assert _known(db) == _known(db, first) == [ODD]


def test_warnings_go_with_their_units(db: Database, begin: Begin) -> None:
    begin().save(unit("a"), _doubtful(CUT), 1.0)
    runs.delete_run(db, _end(db))

    def count() -> int:
        with db.reading() as connection:
            return connection.scalar(select(func.count()).select_from(UnitWarningRow)) or 0

    assert count() == 1
    assert garbage.collect(db).units == 1
    assert count() == 0
