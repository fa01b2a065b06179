"""A real worker, held still where it is: what is looked at meanwhile doesn't depend on its pace.

Knows the worker by its run alone, and none of the screens.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import psutil
from sqlalchemy import update

from core.errors import RunError, StorageError
from storage.database import Database, open_database
from storage.runs import RunSummary, find_run
from storage.schema import RunRow
from tests.patience import eventually

HOUR = 3600.0
"""Seconds for which nobody takes a worker that is held for dead."""


def until(db: Database, run_id: str, holds: Callable[[RunSummary], object]) -> RunSummary:
    """The run as soon as that holds of it, if there is none yet as soon as there is."""

    def look() -> RunSummary | None:
        with suppress(RunError):
            run = find_run(db, run_id)
            return run if holds(run) else None
        return None

    reached = eventually(look)
    assert reached is not None, find_run(db, run_id)
    return reached


def halt(db: Database, run_id: str) -> RunSummary:
    """The run, once its process stands still and holds no lock of the database."""
    run = find_run(db, run_id)
    assert run.pid is not None
    process = psutil.Process(run.pid)

    def opened() -> Database | None:
        with suppress(StorageError):  # the worker may be writing at this very moment
            return open_database(db.url, patience=0)
        return None

    hasty = eventually(opened)
    assert hasty is not None

    def stop() -> bool:
        process.send_signal(signal.SIGSTOP)
        assert eventually(lambda: process.status() == psutil.STATUS_STOPPED)
        with suppress(StorageError), hasty.writing() as connection:
            beat = {"heartbeat": time.time() + HOUR, "ticked": None}
            connection.execute(update(RunRow).where(RunRow.id == run.id).values(**beat))
            return True
        go_on(run)
        return False

    assert eventually(stop)
    hasty.close()
    return find_run(db, run.id)


def go_on(run: RunSummary) -> None:
    """Let the process of a run that was halted compute again."""
    assert run.pid is not None
    os.kill(run.pid, signal.SIGCONT)
