"""Heartbeats in a file, for times when another process locks the database.

Owns one small file per run, in the folder of logs. Without it, a worker that waits for the database
would appear dead and lose its run.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from core.errors import StorageError
from core.files.partial import written
from storage.database import Database

SUFFIX = ".beat"


def leave(db: Database, run_id: str) -> None:
    """Write a heartbeat of a run's worker, if possible."""
    file = _file(db, run_id)
    with contextlib.suppress(OSError, StorageError):
        access = db.access
        access.make_folder(file.parent)
        with written(file, mode=access.mode) as beat:
            beat.write(repr(time.time()))


def last(db: Database, run_id: str) -> float:
    """The time of a worker's last heartbeat here, in seconds since the epoch; 0 if there is
    none."""
    try:
        return float(_file(db, run_id).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


def forget(db: Database, run_id: str) -> None:
    """Remove the file: the database shows the heartbeat again."""
    with contextlib.suppress(OSError):
        _file(db, run_id).unlink(missing_ok=True)


def _file(db: Database, run_id: str) -> Path:
    return db.folder("logs") / f"{run_id}{SUFFIX}"
