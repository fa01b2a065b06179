"""A run's life: who may take it, what it reads as, how it is found."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import update

from core.engine.measurement import Progress
from core.errors import Cancelled, RunError
from core.study.study import Study
from storage import runs
from storage.database import Database
from storage.schema import RunRow
from storage.sink import RunSink
from storage.summary import Status

Begin = Callable[..., RunSink]


def _set(db: Database, run_id: str, **values: Any) -> None:
    with db.writing() as connection:
        connection.execute(update(RunRow).where(RunRow.id == run_id).values(**values))


def test_a_run_is_queued_claimed_and_done(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment", "vector_cosine"])
    run = runs.find_run(db, run_id)
    assert (run.status, run.name, run.analyses) == (
        "queued", "domains", ("alignment", "vector_cosine"),
    )  # fmt: skip
    assert (run.models, run.controls) == (("medical", "maths", "again"), frozenset({"again"}))
    assert runs.study_of(db, run_id) == study
    attempt = runs.claim(db, run_id)
    run = runs.find_run(db, run_id)
    assert (run.status, run.pid, run.host) == ("running", os.getpid(), socket.gethostname())
    with pytest.raises(RunError, match="running right now"):
        runs.claim(db, run_id)
    runs.finish(db, run_id, attempt, "done")
    run = runs.find_run(db, run_id)
    assert run.status == "done"
    assert run.finished is not None
    with pytest.raises(RunError, match="is finished"):
        runs.requeue(db, run_id)


def test_only_one_of_many_workers_takes_a_run(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    taken: list[int] = []
    start = threading.Barrier(6)

    def try_it() -> None:
        start.wait()
        with contextlib.suppress(RunError):
            taken.append(runs.claim(db, run_id))

    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken == [1]


def test_a_heart_that_stopped_reads_as_interrupted(db: Database, begin: Begin) -> None:
    begin()
    run = runs.find_run(db, "latest")
    assert run.status == "running"
    _set(db, run.id, heartbeat=time.time() - 14, host="elsewhere")
    assert runs.find_run(db, run.id).status == "running"
    _set(db, run.id, heartbeat=time.time() - 16)
    assert runs.find_run(db, run.id).status == "interrupted"
    assert [r.status for r in runs.list_runs(db)] == ["interrupted"]


def test_a_dead_process_of_this_host_reads_as_interrupted(db: Database, begin: Begin) -> None:
    begin()
    process = subprocess.Popen(["true"])
    run_id = runs.find_run(db, "latest").id
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    _set(db, run_id, pid=process.pid)  # a zombie: nobody has waited for it
    assert runs.find_run(db, run_id).status == "interrupted"
    process.wait()
    assert runs.find_run(db, run_id).status == "interrupted"
    _set(db, run_id, host="elsewhere")
    assert runs.find_run(db, run_id).status == "running"


def test_a_process_born_after_the_last_heartbeat_is_another(db: Database, begin: Begin) -> None:
    begin()
    run = runs.find_run(db, "latest")
    _set(db, run.id, status="queued", heartbeat=1_000_000.0, ticked=None)
    assert runs.find_run(db, run.id).status == "interrupted"


def test_a_worker_that_died_before_its_claim_shows(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    runs.await_worker(db, run_id, os.getpid())
    assert runs.find_run(db, run_id).status == "queued"
    process = subprocess.Popen(["true"])
    process.wait()
    runs.await_worker(db, run_id, process.pid)
    assert runs.find_run(db, run_id).status == "interrupted"
    runs.requeue(db, run_id)
    assert runs.find_run(db, run_id).status == "queued"
    assert runs.claim(db, run_id) == 1


def test_a_resumption_that_died_before_its_claim_took_no_time(db: Database, begin: Begin) -> None:
    begin()
    run_id = runs.find_run(db, "latest").id
    runs.finish(db, run_id, 1, "failed")
    _set(db, run_id, started=time.time() - 120)
    runs.requeue(db, run_id)
    process = subprocess.Popen(["true"])
    process.wait()
    runs.await_worker(db, run_id, process.pid)
    run = runs.find_run(db, run_id)
    assert (run.status, run.started) == ("interrupted", None), "the start was another attempt's"


def test_the_unfinished_run_of_a_study_is_the_newest(db: Database, study: Study) -> None:
    key = study.key(["alignment"])
    assert runs.unfinished_run(db, key) is None
    first = runs.create_run(db, study, ["alignment"])
    runs.create_run(db, study, ["vector_cosine"])
    run = runs.unfinished_run(db, key)
    assert run is not None
    assert run.id == first
    attempt = runs.claim(db, first)
    runs.finish(db, first, attempt, "failed", title="No space", hint="Free some")
    run = runs.unfinished_run(db, key)
    assert run is not None
    assert (run.status, run.error_title, run.error_hint) == (
        "failed",
        "No space",
        "Free some",
    )
    runs.requeue(db, first)
    runs.finish(db, first, runs.claim(db, first), "done")
    assert runs.unfinished_run(db, key) is None
    assert runs.find_run(db, first).error_title == ""


def test_a_run_is_found_by_a_unique_prefix(db: Database, study: Study) -> None:
    with pytest.raises(RunError, match="no runs yet"):
        runs.find_run(db, "latest")
    ids = [runs.create_run(db, study, ["alignment"]) for _ in range(3)]
    for run_id, new in zip(ids, ("abc000000000", "abd000000000", "f00000000000"), strict=True):
        _set(db, run_id, id=new)
    assert runs.find_run(db, "latest").id == "f00000000000"
    assert runs.find_run(db, "F").id == "f00000000000"
    assert runs.find_run(db, "abd").id == "abd000000000"
    with pytest.raises(RunError, match="More than one") as caught:
        runs.find_run(db, "ab")
    assert caught.value.hint == "abd000000000, abc000000000"
    for nothing in ("%", "_bc", "", "abc00000000x"):
        with pytest.raises(RunError, match="There is no run") as caught:
            runs.find_run(db, nothing)
    assert "abc000000000" in caught.value.hint
    assert [r.id for r in runs.list_runs(db)] == ["f00000000000", "abd000000000", "abc000000000"]


def test_a_resumed_run_is_the_latest(db: Database, study: Study) -> None:
    first, second = (runs.create_run(db, study, ["alignment"]) for _ in range(2))
    runs.finish(db, first, runs.claim(db, first), "failed")
    runs.finish(db, second, runs.claim(db, second), "done")
    assert runs.find_run(db, "latest").id == second
    runs.requeue(db, first)
    runs.await_worker(db, first, os.getpid())
    assert runs.find_run(db, "latest").id == first, "also while it waits"
    runs.claim(db, first)
    assert runs.find_run(db, "latest").id == first
    _set(db, second, heartbeat=time.time() + 60)
    assert runs.find_run(db, "latest").id == first, "a heartbeat is no start"
    assert [run.id for run in runs.list_runs(db)] == [second, first]
    third = runs.create_run(db, study, ["alignment"])
    assert runs.find_run(db, "latest").id == third


def test_cancelling_asks_a_worker_and_settles_the_rest(db: Database, begin: Begin) -> None:
    sink = begin()
    run_id = runs.find_run(db, "latest").id
    assert not sink.cancelled()
    runs.request_cancel(db, run_id)
    assert runs.find_run(db, run_id).cancel_requested
    sink._looked = -math.inf  # as if a while had passed
    assert sink.cancelled()
    _set(db, run_id, heartbeat=0.0, ticked=None)
    runs.request_cancel(db, run_id)
    assert runs.find_run(db, run_id).status == "cancelled"
    with pytest.raises(RunError, match="not running"):
        runs.request_cancel(db, run_id)
    with pytest.raises(RunError, match="is cancelled"):
        runs.claim(db, run_id)
    runs.requeue(db, run_id)
    assert not runs.find_run(db, run_id).cancel_requested


def test_a_worker_taken_for_dead_whose_run_was_cancelled_stops(db: Database, begin: Begin) -> None:
    sink = begin()
    run_id = runs.find_run(db, "latest").id
    _set(db, run_id, heartbeat=0.0, ticked=None)
    assert runs.find_run(db, run_id).status == "interrupted"
    runs.request_cancel(db, run_id)
    assert sink.cancelled()
    runs.finish(db, run_id, 1, "cancelled")
    assert runs.find_run(db, run_id).status == "cancelled"


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
def test_a_run_that_ended_is_deleted(db: Database, begin: Begin, status: Status) -> None:
    begin().warn("medical", "is a twin.")
    run_id = runs.find_run(db, "latest").id
    with pytest.raises(RunError, match="running right now") as caught:
        runs.delete_run(db, run_id)
    assert caught.value.hint == f"Stop it first, with 'tauscope cancel {run_id}'."
    runs.finish(db, run_id, 1, status)
    runs.delete_run(db, run_id)
    assert runs.list_runs(db) == []
    assert runs.warnings(db, run_id) == []
    for ask in (runs.find_run, runs.delete_run, runs.study_of):
        with pytest.raises(RunError):
            ask(db, run_id)


def test_the_models_of_every_run(db: Database, study: Study) -> None:
    assert runs.models_of_runs(db) == {}
    tuned = [model.path for model in study.models.tuned.values()]
    ids = [runs.create_run(db, study, ["alignment"]) for _ in range(2)]
    paths = runs.models_of_runs(db)
    assert paths == dict.fromkeys(ids, (study.models.base.path, *tuned))


def test_a_queued_run_is_deleted_before_its_worker_comes(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    runs.await_worker(db, run_id, os.getpid())
    runs.delete_run(db, run_id)
    with pytest.raises(RunError, match="no runs yet"):
        runs.claim(db, run_id)


def test_a_worker_taken_for_dead_whose_run_was_deleted_stops(db: Database, begin: Begin) -> None:
    sink = begin()
    run_id = runs.find_run(db, "latest").id
    _set(db, run_id, heartbeat=0.0, ticked=None)
    runs.delete_run(db, run_id)
    assert sink.cancelled()
    sink.progress(Progress(1, 2))
    with pytest.raises(Cancelled, match="deleted"):
        sink.warn("medical", "is a twin.")
    runs.finish(db, run_id, 1, "done")
    assert runs.list_runs(db) == []


def test_a_worker_that_lost_its_run_stops_and_stays_silent(db: Database, begin: Begin) -> None:
    ousted = begin()
    run_id = runs.find_run(db, "latest").id
    _set(db, run_id, heartbeat=0.0, ticked=None)
    runs.requeue(db, run_id)
    heir = begin(run_id)
    assert ousted.cancelled()
    assert not heir.cancelled()
    heir.progress(Progress(5, 9))
    ousted.progress(Progress(1, 1))
    ousted.describe({"seed": 1})
    runs.finish(db, run_id, 1, "cancelled")
    run = runs.find_run(db, run_id)
    assert (run.status, run.done, run.total) == ("running", 5, 9)
    assert runs.provenance(db, run_id) == {}


def test_the_time_left_is_what_the_worker_expects(db: Database, begin: Begin) -> None:
    sink = begin()
    run = runs.find_run(db, "latest")
    assert run.started is not None
    assert run.eta(run.started) is None
    expected = run.started.timestamp() + 120
    sink.progress(Progress(60, 110, 50, "layer 3", expected, rough=True))
    sink.beat()
    run = runs.find_run(db, run.id)
    assert run.started is not None
    assert run.eta(run.started + timedelta(seconds=20)) == pytest.approx(100)
    assert run.eta(run.started + timedelta(seconds=130)) == pytest.approx(-10), "it is late"
    assert run.rough
    assert run.throughput(run.started + timedelta(seconds=10)) == pytest.approx(1, rel=0.1)
    assert run.label == "layer 3"
    runs.finish(db, run.id, 1, "failed")
    ended = runs.find_run(db, run.id)
    assert (ended.expected, ended.rough) == (None, False)


@pytest.mark.parametrize("ended", [False, True], ids=["killed", "failed"])
def test_a_new_attempt_expects_nothing_of_the_last_ones(
    db: Database, begin: Begin, ended: bool
) -> None:
    sink = begin()
    run = runs.find_run(db, "latest")
    sink.progress(Progress(60, 110, 50, "layer 3", time.time() + 120, rough=True))
    sink.beat()
    if ended:
        runs.finish(db, run.id, 1, "failed")
    else:
        _set(db, run.id, heartbeat=0.0, ticked=None)
    runs.requeue(db, run.id)
    assert runs.find_run(db, run.id).expected is None
    begin(run.id)
    run = runs.find_run(db, run.id)
    assert run.started is not None
    assert (run.expected, run.rough) == (None, False)
    assert run.throughput(run.started + timedelta(seconds=20)) is None, "it has yet to compute"


def test_warnings_are_kept_once_and_begin_anew_with_an_attempt(db: Database, begin: Begin) -> None:
    sink = begin()
    run_id = runs.find_run(db, "latest").id
    for subject in ("medical", "maths", "medical"):
        sink.warn(subject, "is a twin.")
    assert [(w.subject, w.message) for w in runs.warnings(db, run_id)] == [
        ("medical", "is a twin."), ("maths", "is a twin."),
    ]  # fmt: skip
    assert runs.find_run(db, run_id).warnings == 2
    runs.finish(db, run_id, 1, "failed")
    runs.requeue(db, run_id)
    begin(run_id)
    assert runs.warnings(db, run_id) == []


def test_provenance_is_merged(db: Database, begin: Begin) -> None:
    sink = begin()
    sink.describe({"seed": 0, "device": "cpu"})
    sink.describe({"device": "cuda", "models": {"base": {"fingerprint": "f"}}})
    assert runs.provenance(db, runs.find_run(db, "latest").id) == {
        "seed": 0, "device": "cuda", "models": {"base": {"fingerprint": "f"}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "part",
    [
        {"run": {"seed": 2**40, "batch_size": 0, "max_memory": {"cuda:0": "60"}}},
        {"run": {"seed": -1, "max_memory": {}}},
        {"evaluation": {"tasks": {}}},
        {"evaluation": {"tasks": {"medical": []}}},
    ],
)
def test_a_run_of_before_is_read_with_values_that_new_runs_are_refused(
    db: Database, study: Study, part: dict[str, Any]
) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    written = {**study.model_dump(mode="json"), **part}
    with pytest.raises(ValidationError):
        Study.model_validate(written)
    _set(db, run_id, study=written)
    ((name, values),) = part.items()
    stored = getattr(runs.study_of(db, run_id), name).model_dump(mode="json")
    assert {key: stored[key] for key in values} == values


def test_a_study_of_another_version_is_an_error(db: Database, study: Study) -> None:
    run_id = runs.create_run(db, study, ["alignment"])
    _set(db, run_id, study={**study.model_dump(mode="json"), "novelty": 1})
    assert runs.find_run(db, run_id).models == ("medical", "maths", "again")
    with pytest.raises(RunError, match="can't be read by this version"):
        runs.study_of(db, run_id)
    with pytest.raises(RunError, match="no run"):
        runs.study_of(db, "000000000000")
