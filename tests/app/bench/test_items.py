"""The items of tasks and the documents of probe sets, as prompts for the bench."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.bench import items
from core.errors import StudyError
from core.evaluation.answers import CUT, Answer
from core.study.study import Probe, Study
from storage.database import Database, open_database
from storage.runs import create_run
from tests.app.bench.scored import ITEMS, STUDY, results, scored


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "runs.db"), write=True)
    yield opened
    opened.close()


def test_an_item_has_its_results_and_its_right_answer() -> None:
    listed = list(items.of_task("sum", ITEMS, [results(1, 0, 0), results(1, 1, 0)]))
    assert [each.words for each in listed] == [
        "0   right → right  One is · 1",
        "1   wrong → right  Two is · 2",
        "4   wrong → wrong  Nine is · 9",
    ]
    assert [each.prompt for each in listed] == [
        {"prompt": "Example.\n\nOne is", "continuation": " 1"},
        {"prompt": "Two is", "continuation": " 2"},
        {"prompt": "Nine is", "continuation": " 9"},
    ]
    (alone,) = items.of_task("sum", ITEMS[:1], [None, results(0, 0, 0)])
    assert alone.words.startswith("0   ? → wrong")
    (unknown,) = items.of_task("sum", ITEMS[:1], [None])
    assert unknown.words == "0   One is · 1"


def test_a_text_is_scored_whole_and_a_cut_one_says_so() -> None:
    text, cut = Answer(0, "", ("A text.",), (True,)), Answer(1, f"{CUT}end:", target=f"x{CUT}")
    whole, part = items.of_task("t", [text, cut], [])
    assert whole.prompt == {"prompt": "", "continuation": "A text.", "alone": "text"}
    assert part.prompt == {"prompt": "end:", "continuation": " x", "note": items.IS_CUT}


def test_items_are_listed_of_every_task_within_a_bound(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = scored(db)
    offered = items.of_tasks(db, run_id, {"sum": "maths"})
    assert [each.words[:17] for each in offered.listed[:2]] == [
        "0   right → right", "1   wrong → right"
    ]  # fmt: skip
    monkeypatch.setattr(items, "MOST", 2)
    bound = items.of_tasks(db, run_id, {})
    assert (len(bound.listed), bound.total) == (2, 3)
    assert bound.listed[1].words.startswith("1   wrong  Two")


def test_a_run_without_prompts_says_why(db: Database) -> None:
    with pytest.raises(StudyError, match="has no run"):
        items.of_tasks(db, "", {})
    for analyses, why in (
        (("alignment",), "'evaluation'"),
        (("evaluation",), "not scored a task yet"),
    ):
        run_id = create_run(db, Study.model_validate(STUDY), analyses)
        with pytest.raises(StudyError, match=why):
            items.of_tasks(db, run_id, {})
    with pytest.raises(StudyError, match="without their prompts"):
        items.of_tasks(db, scored(db, prompts=False), {})


def test_a_document_gives_its_prompt_or_its_first_words(tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    long = " ".join(map(str, range(20)))
    file.write_text(f'{{"text": "b", "prompt": "a "}}\n{{"text": "{long}"}}\n{{"text": "one"}}\n')
    study = Study.model_validate({**STUDY, "probes": {"own": {"file": str(file)}}})
    asked, parted, short = items.of_probes(study).listed
    assert asked.prompt == {"prompt": "a ", "continuation": "b"}
    assert parted.prompt["prompt"] == "0 1 2 3 4 5 6 7 8 9 10 11"
    assert parted.prompt["prompt"] + parted.prompt["continuation"] == long
    assert short.prompt == {"prompt": "", "continuation": "one", "alone": "document"}
    assert (parted.name, parted.words[:5]) == ("own", "2 0 1")
    assert items.of_probes(None).listed[0].name == "general"
    of_tasks = Study.model_validate({**STUDY, "probe": Probe(task="sum")})
    with pytest.raises(StudyError, match="consist of tasks"):
        items.of_probes(of_tasks)
