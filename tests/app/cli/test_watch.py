"""Following a run: what is told of it, how that ends, and what ends it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from app.cli import watch
from app.jobs.launcher import last_words, log_of
from app.results import wording
from core.engine.measurement import Progress, Unit, WorkerState
from core.errors import RunError
from core.study.study import Study
from storage import runs
from storage.database import Database, open_database
from storage.schema import RunRow
from storage.sink import RunSink

STUDY = Study.model_validate({"name": "s", "models": {"base": "b", "tuned": {"medical": "m"}}})
Steps = list[Callable[[], object]]


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """What the commands of this test use too."""
    monkeypatch.setattr(watch, "_PAUSE", 0.02)
    opened = open_database(str(tmp_path / "db" / "x.db"))
    yield opened
    opened.close()


@pytest.fixture
def run_id(db: Database) -> str:
    return runs.create_run(db, STUDY, ["alignment"])


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Steps], None]:
    """Have these steps happen one by one, each after the watcher has told of the one before."""

    def begin(steps: Steps) -> None:
        left = iter(steps)
        monkeypatch.setattr(watch, "time", SimpleNamespace(sleep=lambda seconds: next(left)()))

    return begin


LEFT = 1000.0
"""Seconds that the worker expects to need yet."""


def _life(db: Database, run_id: str) -> Steps:
    """A worker's, from its claim to a good end."""
    sinks: list[RunSink] = []
    return [
        lambda: sinks.append(RunSink(db, run_id, runs.claim(db, run_id))),
        lambda: sinks[0].progress(Progress(3, 10, 1, "layer 3", time.time() + LEFT)),
        lambda: sinks[0].warn("medical", "is\x1b odd."),
        lambda: (sinks[0].progress(Progress(10, 10, 1, "")), sinks[0].beat()),
        lambda: runs.finish(db, run_id, 1, "done"),
    ]


def test_a_run_is_followed_to_its_end(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    meanwhile(_life(db, run_id))
    result = tauscope("watch", run_id[:9])
    assert result.code == 0
    assert result.out == ""
    assert result.err.startswith(f"run {run_id}: s: alignment\n")
    assert result.err.count("warning: medical: is\\x1b odd.\n") == 1
    assert result.err.endswith(f"100 % 10/10\nrun {run_id}: 10 units, 1 of them reused\n")


def test_json_has_a_line_for_every_change(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    meanwhile(_life(db, run_id))
    result = tauscope("watch", "latest", "--json")
    assert (result.code, result.err) == (0, "")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert len(lines) == 6, "none for a heartbeat"
    assert [line["status"] for line in lines] == ["queued", *["running"] * 4, "done"]
    assert [line["done"] for line in lines] == [0, 0, 3, 3, 10, 10]
    assert lines[1]["units_per_second"] is None
    assert lines[2]["label"] == "layer 3"
    assert lines[2]["units_per_second"] > 0
    assert 0 < lines[2]["eta_seconds"] <= LEFT
    new = [warning for line in lines for warning in line["new_warnings"]]
    assert new == [{"subject": "medical", "message": "is\x1b odd."}]
    assert "\x1b" not in result.out


def test_a_failed_run_ends_it_with_its_own_two_lines(
    tauscope: Any, db: Database, run_id: str
) -> None:
    attempt = runs.claim(db, run_id)
    runs.finish(db, run_id, attempt, "failed", title="base is cut short.", hint="Fetch it again.")
    result = tauscope("watch", run_id)
    assert result.code == 1
    assert result.err.endswith("error: base is cut short.\n  Fetch it again.\n")
    result = tauscope("watch", run_id, "--json")
    assert result.code == 1
    assert json.loads(result.out)["error_title"] == "base is cut short."


def test_a_cancelled_run_ends_it(tauscope: Any, db: Database, run_id: str) -> None:
    runs.request_cancel(db, run_id)
    result = tauscope("watch", run_id)
    assert result.code == 130
    assert f"error: Run {run_id} was cancelled.\n  'tauscope run'" in result.err


def test_a_silent_worker_reads_as_interrupted(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    runs.claim(db, run_id)

    def fall_silent() -> None:
        with db.writing() as connection:
            connection.execute(update(RunRow).values(heartbeat=time.time() - 16, host="elsewhere"))

    meanwhile([fall_silent])
    result = tauscope("watch", run_id)
    assert result.code == 130
    where = f"(process {os.getpid()} on elsewhere)"
    end = (
        f"error: Run {run_id} was interrupted. Its worker {where} ended without an error message.\n"
    )
    assert f"{end}  'tauscope run' with its study" in result.err
    assert "its log" not in result.err, "it has none"


def test_how_the_log_of_a_silent_worker_ends_is_told(
    tauscope: Any, db: Database, run_id: str
) -> None:
    runs.claim(db, run_id)
    with db.writing() as connection:
        connection.execute(update(RunRow).values(heartbeat=time.time() - 16, host="elsewhere"))
    log = log_of(db, run_id)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"line {i}\n\n" for i in range(2000)) + "Killed\x1b[2J\n")
    result = tauscope("watch", run_id)
    ending = [
        f"Last lines of its log {log}:",
        *(f"line {i}" for i in range(1996, 2000)),
        "Killed\\x1b[2J",
    ]
    assert "\n".join(ending) + "\nerror: " in result.err
    assert tauscope("watch", run_id, "--json").err.startswith("error: ")
    runs.requeue(db, run_id)
    assert last_words(db, runs.find_run(db, run_id)) == ()


def test_a_run_that_is_deleted_ends_it(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    runs.create_run(db, STUDY, ["alignment"])
    meanwhile([lambda: runs.delete_run(db, run_id)])
    result = tauscope("watch", run_id)
    assert result.code == 1
    assert f"There is no run '{run_id}'" in result.err


def test_an_interrupt_stops_watching_and_not_the_run(
    tauscope: Any, db: Database, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    runs.claim(db, run_id)
    monkeypatch.setattr("time.sleep", interrupt)
    result = tauscope("watch", run_id)
    assert result.code == 130
    assert result.err.endswith(
        f"error: Stopped watching; run {run_id} continues.\n"
        f"  'tauscope watch {run_id}' follows it again, 'tauscope cancel {run_id}' stops it.\n"
    )
    assert not runs.find_run(db, run_id).cancel_requested


def test_a_new_attempt_tells_no_warning_twice(db: Database, run_id: str) -> None:
    moments = watch.follow(db, run_id)
    assert next(moments).warnings == ()
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    sink.warn("medical", "is odd.")
    assert [w.message for w in next(moments).warnings] == ["is odd."]
    runs.finish(db, run_id, 1, "failed")
    runs.requeue(db, run_id)
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    sink.warn("medical", "is odd.")
    sink.warn("", "is new.")
    assert [w.message for w in next(moments).warnings] == ["is new."]
    runs.finish(db, run_id, 2, "done")
    assert next(moments).run.status == "done"
    with pytest.raises(StopIteration):
        next(moments)


def test_waiting_and_stopping_are_said(db: Database, run_id: str) -> None:
    assert wording.in_hand(runs.find_run(db, run_id)) == "waiting for a worker"
    sink = RunSink(db, run_id, runs.claim(db, run_id))
    sink.progress(Progress(0, 1, 0, "layer 0"))
    assert wording.in_hand(runs.find_run(db, run_id)) == "layer 0"
    runs.request_cancel(db, run_id)
    assert wording.in_hand(runs.find_run(db, run_id)) == "stopping"


def test_there_must_be_a_run(db: Database) -> None:
    with pytest.raises(RunError, match="no runs yet"):
        next(watch.follow(db, "latest"))


def _crew(db: Database, run_id: str) -> Steps:
    """Two workers, of which one dies; a unit is given up, twice."""
    sinks: list[RunSink] = []
    first = WorkerState("w1", "node-a", "cuda:0", "medical", "top-1%", 2**30)
    second = WorkerState("w2", "node-b\x1b", "cuda:1")
    unit = Unit(key="k", analysis="ablation", label="top-1%")
    return [
        lambda: sinks.append(RunSink(db, run_id, runs.claim(db, run_id))),
        lambda: (sinks[0].workers([first, second]), sinks[0].beat()),
        lambda: (sinks[0].workers([replace(first, memory=2**31), second]), sinks[0].beat()),
        lambda: (sinks[0].workers([first]), sinks[0].beat()),
        lambda: sinks[0].failed(unit, "out of memory", 3),
        lambda: runs.finish(db, run_id, 1, "failed", title="1 of 2 units failed."),
    ]


def test_workers_come_and_go_and_units_fail(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    meanwhile(_crew(db, run_id))
    result = tauscope("watch", run_id)
    assert result.code == 1
    came = "2 workers on 2 hosts, 1 at work; new: w1 (node-a, cuda:0), w2 (node-b\\x1b, cuda:1)\n"
    assert result.err.count(came) == 1
    assert result.err.count("\nw2 (node-b\\x1b, cuda:1) is gone\n") == 1
    assert result.err.count("failed: ablation: top-1% (tried 3 times): out of memory\n") == 1
    assert "w1 (node-a, cuda:0) is gone" not in result.err, "the run has ended"


def test_json_has_the_workers_and_the_failed_units(
    tauscope: Any, db: Database, run_id: str, meanwhile: Any
) -> None:
    meanwhile(_crew(db, run_id))
    result = tauscope("watch", run_id, "--json")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert len(lines) == 6, "none for a worker's memory"
    assert [line["workers"] for line in lines] == [0, 0, 2, 1, 1, 0]
    first = lines[2]["worker_states"][0]
    assert (first["name"], first["host"], first["memory"]) == ("w1", "node-a", 2**30)
    failed = {"key": "k", "analysis": "ablation", "label": "top-1%"}
    assert lines[-1]["failed_units"] == [{**failed, "cause": "out of memory", "attempts": 3}]
    assert [run["failed"] for run in json.loads(tauscope("runs", "--json").out)] == [1]
