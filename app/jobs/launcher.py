"""Runs and the processes that compute them: ready a run, start a worker for it.

A worker owns itself: it outlives the terminal that started it, and all that passes between the
two goes through the database. Imports neither the worker nor a screen.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from app.jobs.environment import child_environment
from core.errors import CheckpointError, RunError
from core.models import folders, headers
from core.study.places import expanded, is_folder, is_there, looks_local
from core.study.study import Study
from core.trust import NOBODY, Trust
from storage import runs
from storage.database import Database, open_database
from storage.runs import RunSummary

LONGEST = 4096
"""Bytes at the end of a log that are read."""
LAST = 5
"""Lines at its end that are told."""


def ready(db: Database, study: Study, analyses: Sequence[str], *, fresh: bool = False) -> str:
    """A queued run of the study, by its id: the unfinished one, else a new one.

    `fresh` always makes a new one. Raises RunError when the same study is running right now.
    """
    found = None if fresh else runs.unfinished_run(db, study.key(analyses))
    if found is None:
        return runs.create_run(db, study, analyses, fresh=fresh)
    runs.requeue(db, found.id)
    return found.id


def check(study: Study) -> None:
    """Raise CheckpointError when a local folder or file of a study's models plainly holds none.

    For whoever starts a run and is still there to be told. Hub ids are left to the run itself.
    """
    for model in (study.models.base, *study.models.tuned.values()):
        place = expanded(model.path)
        if is_folder(place) or folders.is_gguf(place):
            headers.check(place)
        elif looks_local(model.path) and not is_there(place):
            kind = "file" if place.suffix == folders.GGUF else "directory"
            raise CheckpointError(f"There is no {kind} {model.path}.")


def start_detached(db_url: str, run_id: str, *, now: bool = False, trust: Trust = NOBODY) -> int:
    """Start a worker for a queued run, or for one that ended early; its process id.

    It waits until the runs that were started before it on this host have ended, unless `now`.
    `trust`: whose code it may run, which no database says.
    """
    db = open_database(db_url, write=True)
    try:
        runs.requeue(db, run_id)
        log = log_of(db, run_id)
        try:
            db.access.make_folder(log.parent)
            db.access.make_file(log)
            command = [sys.executable, "-P", "-m", "app.worker", run_id, "--db", db.url]
            command += ["--now"] * now
            command += ["--trust-models"] * trust.models + ["--trust-tasks"] * trust.tasks
            pid = detach(command, log)
        except OSError as error:
            raise RunError(f"A worker can't be started: {error}.") from error
        runs.await_worker(db, run_id, pid)
        return pid
    finally:
        db.close()


def detach(command: Sequence[str], log: Path) -> int:
    """Start a program of ours that outlives the terminal; its process id. Raises OSError.

    All that it says is added to the log: a file, not a pipe, which nobody would be there to read.
    """
    with log.open("ab") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env=child_environment(),
        )
    # Should it end before we do, somebody must take note, or it stays as a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def last_words(db: Database, run: RunSummary) -> tuple[str, ...]:
    """Of a run whose worker died: where its log is, and how that ends. Nothing where there is no
    log, as of a worker in a terminal."""
    log = log_of(db, run.id)
    said = tail(log) if run.status == "interrupted" else []
    return (f"Its log, {log}, ends:", *said[-LAST:]) if said else ()


def tail(log: Path) -> list[str]:
    """The last lines of a log, but for empty ones; none where it can't be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LONGEST))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return [line.strip() for line in lines if line.strip()]


def log_of(db: Database, run_id: str) -> Path:
    """The file for what a run's worker says, and for the traceback of a fault."""
    return db.folder("logs") / f"{run_id}.log"
