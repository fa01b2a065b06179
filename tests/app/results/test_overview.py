"""The overview from the database: what is read, what it waits for, and studies that can't be."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.results import overview
from core.engine.measurement import Unit, UnitResult
from core.study.study import Evaluation
from storage.database import Database, open_database
from storage.runs import catalogue, claim, create_run, find_run, finish
from storage.schema import RunRow
from storage.sink import RunSink
from tests.app.tui.conftest import study
from tests.core.overview.samples import difference, row


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return open_database(str(tmp_path / "runs.db"))


def _run(db: Database, *, done: bool = True) -> str:
    """A run with sizes and scores, and no alignment."""
    tasks = {"medical": ("text",), "general": ("stories",)}
    asked = study().model_copy(update={"evaluation": Evaluation(tasks=tasks)})
    run_id = create_run(db, asked, ["tuning_vectors", "alignment", "evaluation"])
    attempt = claim(db, run_id)
    sink = RunSink(db, run_id, attempt)
    sizes = {"medical": 0.3, "maths": 0.2, "retrained": 0.1}
    rows = [row("relative_norm", v, model=m, module="all") for m, v in sizes.items()]
    rows.append(row("relative_norm", 9.0, model="medical", module="all", head=0))
    sink.save(Unit(key="s", analysis="tuning_vectors", label=""), UnitResult(rows), 1.0)
    scores = [
        difference("medical", "text", -2.0, metric="bits"), difference("maths", "stories", -0.5)
    ]  # fmt: skip
    state = {
        "scores": {"bits": {"value": 1.0, "higher": False}, "acc": {"value": 0.5, "higher": True},
                   "odd": {"value": 1.0, "higher": None}, "worse": "damaged"}
    }  # fmt: skip
    sink.save(Unit(key="e", analysis="evaluation", label=""), UnitResult(scores, state=state), 1.0)
    sink.adopt(["s", "e"])
    if done:
        finish(db, run_id, attempt, "done")
    return run_id


def test_cards_and_findings_come_from_the_run(db: Database) -> None:
    run_id = _run(db)
    contents = overview.read(db, find_run(db, run_id))
    assert [(f.kind, f.subjects) for f in contents.findings] == [
        ("gain", ("medical",)), ("loss", ("maths",)), ("size", ("medical",)),
    ], "5.6 and 1.4 standard deviations of an item, and a factor of 3"  # fmt: skip
    assert [card.model for card in contents.cards] == ["instruct", "medical", "maths", "retrained"]
    assert [card.size for card in contents.cards] == [None, 0.3, 0.2, 0.1], "a head is no model"
    assert contents.cards[1].own[0].better is True
    assert (contents.waits, contents.waiting, contents.instead) == ((), "", "")
    assert catalogue(db, run_id, "evaluation").better == {"bits": "lower", "acc": "higher"}


def test_a_run_at_work_says_what_its_overview_waits_for(db: Database) -> None:
    contents = overview.read(db, find_run(db, _run(db, done=False)))
    assert contents.waiting == "Still to come: Alignment."
    asked = create_run(db, study("later"), ["alignment"])
    contents = overview.read(db, find_run(db, asked))
    assert (contents.instead, contents.waits) == (overview.NOT_YET, ("Alignment",))


def test_a_finished_run_without_findings_says_so(db: Database) -> None:
    run_id = create_run(db, study("nothing"), ["alignment"])
    finish(db, run_id, claim(db, run_id), "done")
    assert overview.read(db, find_run(db, run_id)).instead == "Nothing exceeds chance."


def test_a_run_of_other_analyses_does_not_say_that_nothing_exceeds_chance(db: Database) -> None:
    run_id = create_run(db, study("other"), ["token_shift", "forgetting"])
    finish(db, run_id, claim(db, run_id), "done")
    sentence = overview.read(db, find_run(db, run_id)).instead
    assert sentence == "The overview uses none of this run's analyses."


def test_a_study_of_another_version_leaves_cards(db: Database) -> None:
    """Without the study's domains nothing is a gain on a model's own."""
    run_id = _run(db)
    with db.writing() as connection:
        stored = connection.scalar(select(RunRow.study))
        assert isinstance(stored, dict)
        connection.execute(update(RunRow).values(study={**stored, "unknown": 1}))
    contents = overview.read(db, find_run(db, run_id))
    assert [card.size for card in contents.cards][1:] == [0.3, 0.2, 0.1]
    assert {f.kind for f in contents.findings} == {"loss", "transfer", "size"}
