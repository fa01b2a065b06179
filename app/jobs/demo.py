"""The demo in a process of its own: started, found again by whoever looks, and how far it is.

Training its models comes before there is a run that could say so, and outlives the terminal like
one. Owns the two files beside the database by which it is found. Imports no screen.
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
"""Seconds that the start of a process may be off by, counted from when its host booted."""
INTERRUPTED = "The demo's training was interrupted; d goes on."


def start(db: Database) -> None:
    """Make the demo's models and its run, unless that is under way. Raises RunError."""
    if stage(db):
        return
    log, mark = _log(db), _mark(db)
    try:
        db.access.make_folder(log.parent)
        log.unlink(missing_ok=True)  # what went wrong before is no trouble of this one
        db.access.make_file(log)
        pid = detach(command(db.url), log)
        with written(mark, mode=0o600) as file:
            json.dump([pid, *_born(psutil.Process(pid))], file)
            db.access.grant(Path(file.name))
    except (OSError, psutil.Error) as error:
        raise RunError(f"The demo can't be started: {error}.") from error


def stage(db: Database) -> str:
    """What it is at, in its own words from outside; nothing unless it is under way."""
    return (_last(_log(db)) or "starting") if _process(db) is not None else ""


def trouble(db: Database) -> str:
    """Why the last one ended before its run was done, unless it was cancelled."""
    if _process(db) is not None or not _mark(db).exists():
        return ""
    said = _last(_log(db), "error: ")
    return f"The demo: {said.removeprefix('error: ')}" if said else INTERRUPTED


def cancel(db: Database) -> None:
    """Stop the training of its models. Raises RunError when it isn't under way."""
    process = _process(db)
    if process is None:
        raise RunError("The demo is not being made.")
    _mark(db).unlink(missing_ok=True)  # that it is gone is no trouble then
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return
    except psutil.Error as error:
        raise RunError(f"The demo can't be stopped: {error}.") from error


def command(url: str) -> list[str]:
    """What is run: the command of the same name."""
    return [sys.executable, "-P", "-m", "app.cli.main", "--db", url, "demo"]


def _process(db: Database) -> psutil.Process | None:
    """The one that makes it, while it lives."""
    try:
        pid, *began = json.loads(_mark(db).read_text())
        process = psutil.Process(int(pid))
        told = zip(began, _born(process), (CLOCK, BOOT), strict=False)
        same = any(abs(then - now) <= slack for then, now, slack in told)
        gone = not same or process.status() == psutil.STATUS_ZOMBIE
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return None if gone else process


def _born(process: psutil.Process) -> tuple[float, float]:
    """When a process began: by the clock, and after its host booted. Where the clock is set, one
    of both stays the same, which one depends on the system."""
    began = process.create_time()
    return began, began - psutil.boot_time()


def _last(log: Path, begins: str = "") -> str:
    """The last line of a log that begins like that."""
    return next((line for line in reversed(tail(log)) if line.startswith(begins)), "")


def _log(db: Database) -> Path:
    return db.folder("logs") / "demo.log"


def _mark(db: Database) -> Path:
    return db.folder("logs") / "demo.json"
