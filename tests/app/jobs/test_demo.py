"""The demo's process: one at a time, found again by others, and what is said of how it is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from app.jobs import demo
from app.jobs.launcher import detach
from core.errors import RunError
from storage.database import Database, open_database
from tests.patience import eventually

SAYING = "import sys, time; print({words!r}, file=sys.stderr, flush=True); time.sleep({seconds})"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(str(tmp_path / "runs.db"))
    yield opened
    opened.close()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, float], None]:
    """Have a process that says something and lives for so long stand in for the command."""

    def pretend(words: str, seconds: float) -> None:
        program = SAYING.format(words=words, seconds=seconds)
        monkeypatch.setattr(demo, "command", lambda url: [sys.executable, "-c", program])

    return pretend


def process_of(db: Database) -> psutil.Process:
    mark = db.folder("logs") / "demo.json"
    return psutil.Process(int(mark.read_text().strip("[").split(",")[0]))


def test_it_is_found_again_by_what_it_says_last(
    db: Database, made: Callable[[str, float], None]
) -> None:
    assert demo.stage(db) == ""
    made("  3 % 1/30\n 10 % 3/30  training base", 60)
    demo.start(db)
    assert eventually(lambda: demo.stage(db) == "10 % 3/30  training base")
    first = process_of(db)
    demo.start(db)
    assert process_of(db) == first, "one at a time"
    first.kill()
    assert eventually(lambda: demo.stage(db) == "")
    assert demo.trouble(db) == demo.INTERRUPTED, "it died without a word"


def test_it_is_stopped_and_that_is_no_trouble(
    db: Database, made: Callable[[str, float], None]
) -> None:
    with pytest.raises(RunError, match="not running"):
        demo.cancel(db)
    made(" 10 % 3/30  training base", 60)
    demo.start(db)
    process = process_of(db)
    demo.cancel(db)
    assert eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE)
    assert (demo.stage(db), demo.trouble(db)) == ("", "")


def test_why_it_ended_is_told(db: Database, made: Callable[[str, float], None]) -> None:
    made("error: The disk is full.\n  Free some space.", 0)
    demo.start(db)
    assert eventually(lambda: demo.trouble(db) == "The demo: The disk is full.")


def test_why_it_ended_before_it_was_looked_at_is_told(
    db: Database, made: Callable[[str, float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(command: list[str], log: Path) -> int:
        pid = detach(command, log)
        assert eventually(lambda: not psutil.pid_exists(pid))
        return pid

    monkeypatch.setattr(demo, "detach", late)
    made("error: The disk is full.", 0)
    demo.start(db)
    assert demo.trouble(db) == "The demo: The disk is full."


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[1, 2, 3]", '["x", 0]', "\udcff"])
def test_a_mark_that_makes_no_sense_is_nobody(db: Database, text: str) -> None:
    mark = db.folder("logs") / "demo.json"
    mark.parent.mkdir(parents=True)
    mark.write_text(text, errors="surrogateescape")
    assert demo.stage(db) == ""


def test_another_process_of_that_number_is_not_the_demo(db: Database) -> None:
    mark = db.folder("logs") / "demo.json"
    mark.parent.mkdir(parents=True)
    mark.write_text(f"[{psutil.Process().pid}, 1.0]")
    assert demo.stage(db) == ""


@pytest.mark.parametrize(("off", "stage"), [(-50, "starting"), (50, "starting"), (70, "")])
def test_a_clock_that_was_set_makes_no_other_process_of_it(
    db: Database, off: float, stage: str
) -> None:
    process = psutil.Process()
    mark = db.folder("logs") / "demo.json"
    mark.parent.mkdir(parents=True)
    mark.write_text(f"[{process.pid}, {process.create_time() + off}]")
    assert demo.stage(db) == stage


@pytest.mark.parametrize(("off", "stage"), [(0, "starting"), (30, "")])
def test_a_clock_that_was_set_by_an_hour_neither(db: Database, off: float, stage: str) -> None:
    process = psutil.Process()
    mark = db.folder("logs") / "demo.json"
    mark.parent.mkdir(parents=True)
    booted = process.create_time() - psutil.boot_time() + off
    mark.write_text(f"[{process.pid}, {process.create_time() + 3600}, {booted}]")
    assert demo.stage(db) == stage


def test_a_program_that_is_not_there_is_one_clear_error(
    db: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demo, "command", lambda url: [str(tmp_path / "none")])
    with pytest.raises(RunError, match="can't be started"):
        demo.start(db)


def test_what_is_run_is_the_command() -> None:
    assert demo.command("sqlite:////x.db")[-3:] == ["--db", "sqlite:////x.db", "demo"]
