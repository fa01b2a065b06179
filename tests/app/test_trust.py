"""Whose code may run is said by whoever starts a run, never by the database."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from app.drafts import building
from app.jobs import launcher, worker
from app.tui import pages
from core import trust
from core.engine import runner
from core.engine.measurement import content_key
from core.study.study import PLACING, Study
from core.trust import Trust
from storage import runs
from storage.database import Database, open_database
from storage.schema import RunRow
from tests.app.families import write_family
from tests.core import harness_zoo

BOTH = Trust(models=True, tasks=True)
DATA: dict[str, Any] = {
    "name": "s",
    "models": {"base": "b", "tuned": {"medical": "m"}, "trust_remote_code": True},
    "evaluation": {"tasks": {"a": ["x"]}, "trust_task_code": True},
}
STUDY = Study.model_validate(DATA)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[Study]:
    """The studies that the engine was given."""
    given: list[Study] = []
    monkeypatch.setattr(runner, "run", lambda study, *_: given.append(study))
    return given


def test_no_run_stores_trust(db: Database) -> None:
    run_id = runs.create_run(db, STUDY, ["alignment"])
    with db.reading() as connection:
        stored = connection.scalar(select(RunRow.study).where(RunRow.id == run_id))
    assert stored is not None
    assert stored["models"]["trust_remote_code"] is False
    assert stored["evaluation"]["trust_task_code"] is False


@pytest.mark.parametrize("flags", [(), ("--trust-models",), ("--trust-tasks",)])
def test_a_worker_obeys_its_command_line_and_no_database(
    flags: tuple[str, ...], db: Database, computed: list[Study]
) -> None:
    run_id = runs.create_run(db, STUDY, ["alignment"])
    with db.writing() as connection:  # somebody else's database, or an older one
        trusting = STUDY.model_dump(mode="json")
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(study=trusting))
    assert worker.main([run_id, "--db", db.url, *flags]) == 0
    (study,) = computed
    assert study.models.trust_remote_code is ("--trust-models" in flags)
    assert trust.of(study).tasks is ("--trust-tasks" in flags)
    assert ("trust" in runs.provenance(db, run_id)) is bool(flags)


def test_a_detached_worker_is_told_whom_to_trust(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(
        launcher, "detach", lambda command, _: commands.append(command) or os.getpid()
    )
    run_id = runs.create_run(db, STUDY, ["alignment"])
    launcher.start_detached(db.url, run_id, trust=BOTH)
    launcher.start_detached(db.url, run_id)
    assert [[word for word in command if "trust" in word] for command in commands] == [
        ["--trust-models", "--trust-tasks"],
        [],
    ]


def test_trust_changes_no_key() -> None:
    """The key is what it was when studies had no `trust_task_code`."""
    plain = trust.granted(STUDY, Trust())
    data = plain.model_dump(mode="json")
    del data["evaluation"]["trust_task_code"]
    del data["models"]["template"]
    del data["probes"]
    for name in PLACING:
        del data["run"][name]
    for model in (data["models"]["base"], *data["models"]["tuned"].values()):
        del model["checkpoints"], model["group"]
    assert plain.key(["a"]) == content_key({"study": data, "only": ["a"]})
    assert {trust.granted(STUDY, each).key(["a"]) for each in (Trust(), BOTH)} == {plain.key(["a"])}


def test_code_of_a_task_runs_by_the_flag_alone(tauscope: Any, tmp_path: Path) -> None:
    folder = harness_zoo.write_tasks(tmp_path / "tasks")
    (folder / "mine.py").write_text(
        f"open({str(tmp_path / 'trace')!r}, 'a').close()\n"
        "def write(doc):\n    return doc['question']\n"
    )
    text = harness_zoo.CHOICE.replace('"{{question}}"', "!function mine.write")
    (folder / "choice.yaml").write_text(text)
    study = write_family(tmp_path)
    with study.open("a") as file:
        file.write('\n[evaluation]\ninclude = "tasks"\ntasks = { a = ["tiny_choice"] }\n')
    for command in (["plan"], ["run"]):
        result = tauscope(*command, study, "--only", "evaluation")
        assert result.code == 3
        for words in ("choice.yaml", "mine.write", "--trust-task-code", "trust_task_code = true"):
            assert words in result.err.replace("\n", " ")
    assert not (tmp_path / "trace").exists()
    result = tauscope("plan", study, "--only", "evaluation", "--trust-task-code")
    assert result.code == 0
    assert "Code of task files (evaluation.trust_task_code) will run." in result.out
    assert (tmp_path / "trace").exists()
    assert "No code of models or task files" in tauscope("plan", study, "--only", "alignment").out


def test_the_builder_asks_for_trust_among_what_is_folded_away() -> None:
    key = "evaluation.trust_task_code"
    draft = building.with_domain(building.begun("base", ["medical"]))

    def shown(opened: tuple[str, ...]) -> set[str]:
        return {item.key for item in pages.items(pages.TASKS, draft, {}, opened)}

    assert key not in shown(())
    assert key in shown(("more",))
    draft = building.changed(draft, "evaluation.include", "tasks")
    assert building.data(building.changed(draft, key, "yes"))["evaluation"]["trust_task_code"]
