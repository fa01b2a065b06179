"""What a run outlives, in real terminals: its terminal, its worker, other hands on its database."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from app.jobs.launcher import ready, start_detached
from app.results import wording
from core.engine.measurement import Progress
from core.study.intake import read
from storage.database import Database
from storage.runs import RunSummary, claim, create_run, find_run, finish
from storage.schema import RunRow
from storage.sink import RunSink
from tests import forked
from tests.app.families import write_family
from tests.app.tui.conftest import study
from tests.app.tui.halting import go_on, halt, until
from tests.app.tui.terminals import Terminal, needs_tmux, tauscope, terminal
from tests.conftest import WEIGHTS
from tests.patience import PATIENCE, eventually

pytestmark = needs_tmux

LONG = 1000.0
"""Seconds that a run is said to take yet, so that no other clock gives the same ETA."""
SPAN = r"\d+ (?:s|min|h \d\d|d \d+ h)"


@pytest.fixture
def running(db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunSummary]:
    """A run in a detached worker that has computed a little, and is halted there."""
    monkeypatch.setattr("app.jobs.launcher.detach", forked.detach)
    wanted = read(write_family(tmp_path, name="long-one", layers=30))
    run_id = ready(db, wanted, ("tuning_vectors", "alignment"))
    start_detached(db.url, run_id)
    until(db, run_id, lambda run: run.done > 5)
    run = halt(db, run_id)
    assert run.status == "running"
    yield run
    run = find_run(db, run_id)
    if run.status == "running" and run.pid:
        os.kill(run.pid, signal.SIGKILL)


@contextmanager
def child(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process with pipes, which ends with the test even where the test fails."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def eta(db: Database, run_id: str) -> float:
    """The seconds that the run still takes, by what the database holds."""
    seconds = find_run(db, run_id).eta(wording.now())
    assert seconds is not None
    return seconds


def assert_shares_expected_time(window: Terminal, line: str, run: RunSummary) -> None:
    """The screen comes to show the share of the expected time that has gone by, and never more."""
    least = int(100 * wording.share(run, wording.now()))

    def caught_up() -> bool:
        shown = re.search(line, window.shows(line))
        assert shown is not None
        assert int(shown[1]) <= int(100 * wording.share(run, wording.now())) + 1
        return int(shown[1]) >= min(99, least)

    assert eventually(caught_up), (least, window.rows())


def test_a_run_outlives_its_terminal(db: Database, running: RunSummary) -> None:
    folder = db.path.parent
    with terminal(folder, "--db", db.url) as window:
        window.shows(r"► running +long-one .* \d+ %")
    go_on(running)
    assert until(db, running.id, lambda run: run.done > running.done).status == "running"
    run = halt(db, running.id)
    assert run.expected is not None, "its worker expects an end"
    later = run.expected.timestamp() + LONG
    with db.writing() as connection:
        connection.execute(update(RunRow).where(RunRow.id == run.id).values(expected=later))
    longest, least = eta(db, run.id), wording.share(find_run(db, run.id), wording.now())
    with terminal(folder, "--db", db.url) as window:
        window.shows(r"► running +long-one .* \d+ %")
        window.press("Enter")
        text = window.shows(rf"► running .* \d+ %  ETA ~?{SPAN}")
        shortest, most = eta(db, run.id), wording.share(find_run(db, run.id), wording.now())
        shown = re.search(rf"(\d+) %  ETA ~?({SPAN})", text)
        assert shown is not None
        assert int(100 * least) - 1 <= int(shown[1]) <= int(100 * most) + 1
        assert shown[2] in {wording.span(s) for s in range(int(shortest), int(longest) + 2)}
        go_on(run)
        window.shows("✓ done")
    assert find_run(db, run.id).done == run.total


def test_a_run_whose_worker_was_killed_says_so_and_goes_on(
    db: Database, running: RunSummary
) -> None:
    with terminal(db.path.parent, "--db", db.url) as window:
        window.shows(r"► running +long-one")
        window.press("Enter")
        window.shows(r"► running .* \d+ %")
        os.kill(running.pid or 0, signal.SIGKILL)
        window.shows("! interrupted", "r resume", "quit")
        window.press("r")
        window.shows("✓ done", without="interrupted")
    run = find_run(db, running.id)
    assert (run.status, run.done) == ("done", run.total)
    assert running.done <= run.reused < run.total, "what was finished was not computed twice"


def test_many_see_the_same_and_any_may_cancel(db: Database, running: RunSummary) -> None:
    folder = db.path.parent

    def said(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = tauscope(folder, "--db", db.url, *arguments)
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    command = tauscope(folder, "--db", db.url, "watch", running.id)
    with (
        child(command) as watching,
        terminal(folder, "--db", db.url) as first,
        terminal(folder, "--db", db.url, size=(160, 45)) as second,
    ):
        first.shows(r"► running +long-one")
        second.shows(r"► running +long-one")
        second.press("Enter")
        second.shows(r"► running .* \d+ %")
        listing = said("runs", "--json")
        (listed,) = json.loads(listing.stdout)
        assert (listed["id"], listed["status"]) == (running.id, "running")
        assert listed["done"] == running.done
        for window, line in ((first, r"long-one .* (\d+) %"), (second, r"► running .* (\d+) %")):
            assert_shares_expected_time(window, line, running)
        assert said("cancel", running.id).returncode == 0
        second.shows("► stopping")
        go_on(running)
        first.shows("■ cancelled +long-one")
        second.shows("■ cancelled")
        out, err = watching.communicate(timeout=PATIENCE)
        assert watching.returncode == 130, err
        assert f"run {running.id}: long-one" in err
        assert re.search(r"\d+ % \d+/\d+", err)
        screens = "\n".join([*first.rows(), *second.rows()])
    assert out == ""
    for words in (err, listing.stderr, screens):
        assert "lock" not in words
    assert find_run(db, running.id).status == "cancelled"


def test_a_run_on_another_host_is_watched_and_cancelled(db: Database) -> None:
    run_id = create_run(db, study("far-away"), WEIGHTS)
    attempt = claim(db, run_id)
    with db.writing() as connection:  # no process of this host has this id
        connection.execute(update(RunRow).values(host="elsewhere", pid=2**22 + 1))
    sink = RunSink(db, run_id, attempt)
    ended = threading.Event()

    def work() -> None:
        """What a worker does there: it beats, comes on by a step, and heeds the database."""
        done = 0
        while not ended.wait(0.2) and not sink.cancelled():
            done += 1
            sink.progress(Progress(done, 1000, 0, f"layer {done}", time.time() + LONG))
            sink.beat()
        finish(db, run_id, attempt, "cancelled")

    worker = threading.Thread(target=work)
    worker.start()
    try:
        with terminal(db.path.parent, "--db", db.url) as window:
            text = window.shows(r"► running +far-away")
            window.press("Enter")
            window.shows("► running", "ETA")
            seen = find_run(db, run_id).done
            until(db, run_id, lambda run: run.done > seen)
            window.press("3")
            window.shows(r"host +elsewhere")
            window.press("c")
            window.shows("Cancel 'far-away'")
            window.press("y")
            window.shows("■ cancelled")
            assert "interrupted" not in text
    finally:
        ended.set()
        worker.join()
    assert find_run(db, run_id).cancel_requested
