"""The demo in a separate process: starting it, finding it again, and its progress.

Training its models precedes its run, and outlives the terminal like a run. Owns the two files
beside the database that identify the process. Imports no screen.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psutil

from app.jobs.launcher import detach, tail
from core.errors import RunError
from core.files.partial import written
from storage.database import Database
from storage.summary import CLOCK

BOOT = 2.0
"""Possible error in seconds of a process's start, counted from the host's boot."""
INTERRUPTED = "The demo's training was interrupted; d resumes it."


def start(db: Database) -> None:
    """Train the demo's models and start its run, unless it is running. Raises RunError."""
    if stage(db):
        return
    log, mark = _log(db), _mark(db)
    try:
        db.access.make_folder(log.parent)
        log.unlink(missing_ok=True)  # earlier errors do not concern this start
        db.access.make_file(log)
        pid = detach(command(db.url), log)
        with written(mark, mode=0o600) as file:
            json.dump([pid, *_born(pid)], file)
            db.access.grant(Path(file.name))
    except (OSError, psutil.Error) as error:
        raise RunError(f"The demo can't be started: {error}.") from error


def stage(db: Database) -> str:
    """Its current step, from its own output; empty unless it is running."""
    return (_last(_log(db)) or "starting") if _process(db) is not None else ""


def trouble(db: Database) -> str:
    """The error that ended the last demo before its run was done; empty if it was cancelled."""
    if _process(db) is not None or not _mark(db).exists():
        return ""
    line = _last(_log(db), "error: ")
    return f"The demo: {line.removeprefix('error: ')}" if line else INTERRUPTED


def cancel(db: Database) -> None:
    """Stop the training of its models. Raises RunError if it isn't running."""
    process = _process(db)
    if process is None:
        raise RunError("The demo is not running.")
    _mark(db).unlink(missing_ok=True)  # its absence is no error then
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise RunError(f"The demo can't be stopped: {error}.") from error


def command(url: str) -> list[str]:
    """The command line of the demo."""
    return [sys.executable, "-P", "-m", "app.cli.main", "--db", url, "demo"]


def _process(db: Database) -> psutil.Process | None:
    """The demo's process; None if it has ended."""
    try:
        pid, *began = json.loads(_mark(db).read_text())
        process = psutil.Process(int(pid))
        clocks = zip(began, _born(process.pid), (CLOCK, BOOT), strict=False)
        same = any(abs(then - now) <= slack for then, now, slack in clocks)
        gone = not same or process.status() == psutil.STATUS_ZOMBIE
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return None if gone else process


def _born(pid: int) -> tuple[float, ...]:
    """A process's start: by the clock, and in seconds after the host's boot; nothing if it has
    ended. If the clock is set, one of the two stays the same, depending on the system."""
    try:
        began = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return ()
    return began, began - psutil.boot_time()


def _last(log: Path, begins: str = "") -> str:
    """The last line of a log that begins with `begins`."""
    return next((line for line in reversed(tail(log)) if line.startswith(begins)), "")


def _log(db: Database) -> Path:
    return db.folder("logs") / "demo.log"


def _mark(db: Database) -> Path:
    return db.folder("logs") / "demo.json"
