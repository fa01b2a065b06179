"""Runs made ready, and workers that live by themselves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from app.jobs import launcher
from core.engine import registry
from core.errors import RunError, StudyError
from core.study.intake import read
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.schema import RunRow
from tests import forked
from tests.app.families import write_family
from tests.app.tui.halting import go_on, halt, until
from tests.conftest import WEIGHTS
from tests.patience import eventually


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "x.db"))
    yield opened
    opened.close()


def _wait(db: Database, run_id: str) -> runs.RunSummary:
    def look() -> runs.RunSummary | None:
        run = runs.find_run(db, run_id)
        return None if run.status in ("queued", "running") else run

    run = eventually(look)
    assert run is not None, "it never ended"
    return run


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers begin at once: forks of a process that has imported torch."""
    monkeypatch.setattr(launcher, "detach", forked.detach)


def _placed(study: Study, **settings: str | int) -> Study:
    return study.model_copy(update={"run": study.run.model_copy(update=settings)})


def test_a_run_goes_on_where_the_new_start_says(db: Database, tmp_path: Path) -> None:
    study = read(write_family(tmp_path))
    spread = _placed(study, engine="ray", workers=2)
    run_id = launcher.ready(db, study, ["alignment"])
    assert launcher.ready(db, spread, ["alignment"]) == run_id
    assert runs.study_of(db, run_id) == spread
    assert launcher.ready(db, study, ["alignment"]) == run_id
    assert runs.study_of(db, run_id) == study


def test_an_engine_that_is_not_installed_is_refused_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read(write_family(tmp_path))
    monkeypatch.setattr(launcher, "find_spec", lambda name: None)
    launcher.check(study)
    with pytest.raises(StudyError, match="needs the package ray") as caught:
        launcher.check(_placed(study, engine="ray"))
    assert "pip install 'tauscope[cluster]'" in caught.value.hint


def test_a_study_goes_on_with_its_unfinished_run(db: Database, tmp_path: Path) -> None:
    study = read(write_family(tmp_path))
    first = launcher.ready(db, study, ["alignment"])
    assert launcher.ready(db, study, ["alignment"]) == first
    assert launcher.ready(db, study, ["vector_cosine"]) != first
    attempt = runs.claim(db, first)
    with pytest.raises(RunError, match=f"{first} is running right now"):
        launcher.ready(db, study, ["alignment"])
    fresh = launcher.ready(db, study, ["alignment"], fresh=True)
    assert fresh != first
    assert runs.find_run(db, fresh).fresh
    runs.finish(db, first, attempt, "done")
    runs.request_cancel(db, fresh)
    assert launcher.ready(db, study, ["alignment"]) == fresh
    runs.finish(db, fresh, runs.claim(db, fresh), "done")
    assert launcher.ready(db, study, ["alignment"]) not in (first, fresh)


def test_a_run_whose_study_is_damaged_blocks_no_start(db: Database, tmp_path: Path) -> None:
    study = read(write_family(tmp_path))
    damaged = launcher.ready(db, study, ["alignment"])
    with db.writing() as connection:
        connection.execute(update(RunRow).values(study={"name": "half"}))
    started = launcher.ready(db, study, ["alignment"])
    assert started != damaged
    assert runs.study_of(db, started) == study
    assert launcher.ready(db, study, ["alignment"]) == started


def test_a_detached_worker_computes_by_itself(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = read(write_family(tmp_path))
    # A user's own package of that name must not be taken for ours.
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("raise SystemExit('the wrong app')")
    monkeypatch.chdir(tmp_path)
    run_id = launcher.ready(db, study, WEIGHTS)
    process = launcher.start_detached(db.url, run_id)
    assert process != os.getpid()
    run = _wait(db, run_id)
    log = launcher.log_of(db, run_id).read_text()
    assert (run.status, run.pid) == ("done", process), log
    assert run.done == run.total > 0
    assert "takes run" in log
    assert runs.measurements(db, run_id, "alignment")
    with pytest.raises(RunError, match="is finished"):
        launcher.start_detached(db.url, run_id)


@pytest.fixture
def busy(db: Database, tmp_path: Path, _soon: None) -> Iterator[runs.RunSummary]:
    """A run whose worker is halted in the middle, so that others wait for it."""
    study = read(write_family(tmp_path / "busy", name="long-one", layers=60))
    run_id = launcher.ready(db, study, WEIGHTS)
    launcher.start_detached(db.url, run_id)
    until(db, run_id, lambda run: run.done > 5)
    run = halt(db, run_id)
    assert run.status == "running"
    yield run
    if runs.find_run(db, run_id).status == "running":
        os.kill(run.pid or 0, signal.SIGKILL)


def test_runs_wait_for_those_before_them(
    db: Database, tmp_path: Path, busy: runs.RunSummary
) -> None:
    study, queue = read(write_family(tmp_path)), []
    for name in ("alignment", "vector_cosine", "tuning_vectors"):
        queue.append(launcher.ready(db, study, [name]))
        launcher.start_detached(db.url, queue[-1])
    for run_id, before in zip(queue, (busy.id, busy.id, busy.id), strict=True):
        waiting = until(db, run_id, lambda run: run.label)
        assert (waiting.status, before in waiting.label) == ("queued", True)
    runs.request_cancel(db, queue[1])
    runs.request_cancel(db, busy.id)  # it ends sooner
    go_on(busy)
    first, dropped, last = (_wait(db, run_id) for run_id in queue)
    long_one = runs.find_run(db, busy.id)
    assert (first.status, dropped.status, last.status) == ("done", "cancelled", "done")
    assert dropped.started is None
    assert None not in (long_one.finished, first.started, first.finished, last.started)
    assert long_one.finished <= first.started <= first.finished <= last.started  # type: ignore[operator]
    assert "waits for run" in launcher.log_of(db, queue[0]).read_text()


def test_a_run_may_be_started_beside_others(
    db: Database, tmp_path: Path, busy: runs.RunSummary
) -> None:
    """Also one that waits: the worker that waited finds it taken, and goes."""
    run_id = launcher.ready(db, read(write_family(tmp_path)), ["alignment"])
    waiting = launcher.start_detached(db.url, run_id)
    until(db, run_id, lambda run: run.label)
    launcher.start_detached(db.url, run_id, now=True)
    assert _wait(db, run_id).status == "done"
    assert eventually(lambda: not psutil.pid_exists(waiting))
    assert runs.find_run(db, busy.id).status == "running"
    assert runs.find_run(db, run_id).status == "done"


@pytest.mark.usefixtures("_soon")
def test_a_worker_that_fails_says_so_in_the_database(db: Database, tmp_path: Path) -> None:
    study = read(write_family(tmp_path))
    (tmp_path / "medical" / "model.safetensors").write_bytes(b"short")
    run_id = launcher.ready(db, study, ["vector_cosine"])
    launcher.start_detached(db.url, run_id)
    run = _wait(db, run_id)
    assert run.status == "failed"
    assert str(tmp_path / "medical") in run.error_title
    assert "Traceback" not in launcher.log_of(db, run_id).read_text()


def test_a_worker_that_never_came_to_life_shows(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = launcher.ready(db, read(write_family(tmp_path)), ["alignment"])
    monkeypatch.setattr(sys, "executable", "/bin/false")
    launcher.start_detached(db.url, run_id)
    assert _wait(db, run_id).status == "interrupted"
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    with pytest.raises(RunError, match="can't be started"):
        launcher.start_detached(db.url, run_id)


def test_jobs_import_no_screen_and_no_torch() -> None:
    code = "import sys, app.jobs.launcher; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "textual", "transformers"} & set(loaded)


def test_what_can_be_selected(tmp_path: Path) -> None:
    from app.jobs.selection import select

    study = read(write_family(tmp_path))
    every = select(study)
    texts = {name for name in registry.names() if registry.get(name).needs == "texts"}
    assert set(every.analyses) == {*WEIGHTS, *texts}
    assert "arithmetic" in every.skipped
    assert select(study, ["alignment", "ablation"]).analyses == ("alignment",)
    with pytest.raises(StudyError, match="nothing to run"):
        select(study, ["ablation"])
    with pytest.raises(StudyError, match="no analysis 'alinement'") as caught:
        select(study, ["alinement"])
    assert "alignment" in caught.value.hint
