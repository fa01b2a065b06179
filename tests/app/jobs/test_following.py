"""A run that follows a training run: each new checkpoint is added to it and alone computed."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.jobs import launcher, worker
from app.jobs.following import Follow
from core.engine import runner
from core.engine.measurement import Progress
from core.errors import Cancelled, CheckpointError, RunError, StudyError
from core.study.intake import read
from storage import runs
from storage.database import Database, open_database
from tests.app.families import write_family
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model
from tests.patience import eventually

ANALYSES = ["tuning_vectors", "vector_cosine"]
SERIES = 'sft = { path = "sft", checkpoints = "checkpoint-*" }\n'


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """The file of a study with a series of two checkpoints."""
    file = write_family(tmp_path)
    file.write_text(file.read_text() + SERIES)
    for step in (10, 20):
        save(tmp_path, step)
    return file


def save(folder: Path, step: int) -> Path:
    """What a trainer saves, put in its place at once."""
    made = write_model(
        folder / f"new-{step}", tiny_config(), tuned_from(tiny_tensors(), 5, step / 1e4)
    )
    (folder / "sft").mkdir(exist_ok=True)
    return made.rename(folder / "sft" / f"checkpoint-{step}")


def follow(db: Database, file: Path, listener: Callable[[Progress], None], **how: Any) -> Any:
    """Follow the study of a file; `listener` hears the progress."""
    study = read(file)
    launcher.check(study, follows=True)
    run_id = launcher.ready(db, study, ANALYSES, follows=True)
    return worker.work(db, run_id, on_progress=listener, follow=Follow(**{"every": 0.02, **how}))


def cosines(db: Database, run_id: str) -> set[tuple[str, str]]:
    rows = runs.measurements(db, run_id, "vector_cosine")
    return {(row.model, row.reference) for row in rows}


def test_a_checkpoint_that_comes_while_it_waits_is_added_to_the_run(
    db: Database, trained: Path
) -> None:
    heard: list[Progress] = []

    def hear(progress: Progress) -> None:
        heard.append(progress)
        if "waiting for checkpoints of sft" in progress.label and progress.done:
            step = 30 if not (trained.parent / "sft" / "checkpoint-30").exists() else 45
            save(trained.parent, step)

    run = follow(db, trained, hear, until=40)
    assert run.status == "done"
    assert len(runs.list_runs(db)) == 1
    assert run.models[2:] == ("sft@10", "sft@20", "sft@30", "sft@45")
    assert ("sft@45", "sft@10") in cosines(db, run.id)
    waits = [progress for progress in heard if "waiting" in progress.label]
    assert [p.done for p in waits] == [p.total for p in waits]
    assert run.reused == waits[-1].done  # all but the last checkpoint's units


def test_stopping_a_run_that_waits_ends_it_as_done(db: Database, trained: Path) -> None:
    def hear(progress: Progress) -> None:
        if "waiting" in progress.label:
            assert not runs.find_run(db, "latest").ended_early
            runs.request_cancel(db, "latest")

    run = follow(db, trained, hear)
    assert run.status == "done"
    again = follow(db, trained, lambda progress: None, idle=0.0)
    assert again.id == run.id
    assert again.reused == again.total


def test_a_run_that_waits_holds_up_no_other(db: Database, trained: Path) -> None:
    other = runs.create_run(db, read(trained), ["alignment"])
    seen: list[Any] = []

    def hear(progress: Progress) -> None:
        if progress.total and not seen and progress.done < progress.total:
            seen.append(runs.before(db, other))
        if "waiting" in progress.label:
            eventually(lambda: runs.find_run(db, following).idles)
            seen.append(runs.before(db, other))

    study = read(trained)
    following = launcher.ready(db, study, ANALYSES, follows=True)
    worker.work(db, following, on_progress=hear, follow=Follow(idle=0.0, every=0.01))
    assert seen[-1] is None


def test_a_checkpoint_is_added_once_it_is_whole(
    db: Database, trained: Path, tmp_path: Path
) -> None:
    whole = write_model(tmp_path / "w", tiny_config(), tuned_from(tiny_tensors(), 5, 0.02))
    content = (whole / "model.safetensors").read_bytes()
    place = trained.parent / "sft" / "checkpoint-30"
    grew: list[int] = []

    def write_slowly() -> None:
        place.mkdir()
        shutil.copy(whole / "config.json", place)
        with (place / "model.safetensors").open("wb") as file:
            for start in range(0, len(content), 4000):
                file.write(content[start : start + 4000])
                file.flush()
                grew.append(start)
                threading.Event().wait(0.02)

    def hear(progress: Progress) -> None:
        if "waiting" in progress.label and not place.exists():
            threading.Thread(target=write_slowly).start()

    run = follow(db, trained, hear, until=30)
    assert run.status == "done"
    assert grew[-1] + 4000 >= len(content)
    assert not [w for w in runs.warnings(db, run.id) if "is skipped" in w.message]
    assert "sft@30" in run.models


def test_results_of_a_deleted_checkpoint_remain(db: Database, trained: Path) -> None:
    def hear(progress: Progress) -> None:
        if "waiting" in progress.label and (trained.parent / "sft" / "checkpoint-10").exists():
            shutil.rmtree(trained.parent / "sft" / "checkpoint-10")
            save(trained.parent, 30)

    run = follow(db, trained, hear, until=30)
    assert run.models[2:] == ("sft@10", "sft@20", "sft@30")
    pairs = cosines(db, run.id)
    assert {("sft@10", "sft@20"), ("sft@30", "sft@20")} <= pairs
    assert ("sft@30", "sft@10") not in pairs
    assert ("sft@10", "its folder was deleted; results computed from it remain.") in {
        (w.subject, w.message) for w in runs.warnings(db, run.id)
    }


def test_units_given_up_with_a_deleted_checkpoint_do_not_end_the_run(
    db: Database, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, gone = runner.run, trained.parent / "sft" / "checkpoint-10"

    def losing(*given: Any) -> None:
        if gone.exists():
            shutil.rmtree(gone)
            raise RunError("1 of 9 units failed; all others are stored.")
        compute(*given)

    monkeypatch.setattr(runner, "run", losing)
    run = follow(db, trained, lambda progress: None, until=20)
    assert run.status == "done"
    assert "sft@20" in (names := {name for pair in cosines(db, run.id) for name in pair})
    assert "sft@10" not in names


def test_it_waits_for_the_first_checkpoint(db: Database, trained: Path) -> None:
    shutil.rmtree(trained.parent / "sft")
    with pytest.raises(CheckpointError):
        launcher.check(read(trained))

    def hear(progress: Progress) -> None:
        if "waiting" in progress.label and not (trained.parent / "sft").exists():
            save(trained.parent, 10)

    assert follow(db, trained, hear, until=10).models[2:] == ("sft@10",)


def test_a_stop_before_the_first_checkpoint_cancels(db: Database, trained: Path) -> None:
    shutil.rmtree(trained.parent / "sft")

    def hear(progress: Progress) -> None:
        if "waiting" in progress.label:
            runs.request_cancel(db, "latest")

    with pytest.raises(Cancelled, match="before the first checkpoint"):
        follow(db, trained, hear)


def test_only_a_study_with_a_series_can_be_followed(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="no series of checkpoints to follow"):
        launcher.check(read(write_family(tmp_path)), follows=True)


def test_a_run_tells_of_folders_that_are_not_whole(db: Database, trained: Path) -> None:
    (trained.parent / "sft" / "checkpoint-30").mkdir()
    run = worker.work(db, launcher.ready(db, read(trained), ["vector_cosine"]))
    (warning,) = [w for w in runs.warnings(db, run.id) if w.subject == "sft"]
    assert warning.message.startswith("checkpoint-30 is skipped: ")


def test_a_resumed_run_gets_the_checkpoints_that_came(db: Database, trained: Path) -> None:
    first = launcher.ready(db, read(trained), ANALYSES)
    save(trained.parent, 30)
    assert launcher.ready(db, read(trained), ANALYSES) == first
    assert list(runs.study_of(db, first).models.tuned)[2:] == ["sft@10", "sft@20", "sft@30"]


def test_options_reach_a_detached_worker() -> None:
    assert Follow(500, 60.0).arguments() == ["--follow", "--until", "500", "--idle", "60.0"]
