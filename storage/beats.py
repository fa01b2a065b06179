"""A heart that beats beside the database while another process lets nobody write in it.

Owns one small file a run, in the folder of logs. Without it, a worker that waits for the database
would read as dead and lose its run.
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
    """Show that a run's worker lives now, where that can be shown."""
    file = _file(db, run_id)
    with contextlib.suppress(OSError, StorageError):
        access = db.access
        access.make_folder(file.parent)
        with written(file, mode=access.mode) as beat:
            beat.write(repr(time.time()))


def last(db: Database, run_id: str) -> float:
    """When a run's worker last left a beat, in seconds since the epoch; 0 where it left none."""
    try:
        return float(_file(db, run_id).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0


def forget(db: Database, run_id: str) -> None:
    """Remove it: the database itself shows again whether the worker lives."""
    with contextlib.suppress(OSError):
        _file(db, run_id).unlink(missing_ok=True)


def _file(db: Database, run_id: str) -> Path:
    return db.folder("logs") / f"{run_id}{SUFFIX}"
