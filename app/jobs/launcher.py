"""Runs and the processes that compute them: queue a run, start a worker for it.

A worker is independent: it outlives the terminal that started it, and both communicate only through
the database. Imports neither the worker nor a screen.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

from app.jobs import following
from app.jobs.environment import child_environment
from app.jobs.following import Follow
from core.errors import CheckpointError, RunError, StudyError
from core.models import folders, headers
from core.study import series
from core.study.places import expanded, is_folder, is_there, looks_local
from core.study.study import PLACING, Study
from core.trust import NOBODY, Trust
from storage import runs
from storage.database import Database, open_database
from storage.runs import RunSummary

LONGEST = 4096
"""Bytes read at the end of a log."""
LAST = 5
"""Lines shown from its end."""


def ready(
    db: Database,
    study: Study,
    analyses: Sequence[str],
    *,
    fresh: bool = False,
    follows: bool = False,
) -> str:
    """Queue a run of the study, the unfinished one or a new one; returns its id.

    A run that goes on also gets the checkpoints that its series have by now, and the study's places
    of computation. `fresh` always creates a new one; so does a run whose stored study can't be
    read. A run that `follows` goes on even if it is done. Raises RunError if the same study is
    running.
    """
    key = study.key(analyses)
    unfinished = None if fresh else runs.unfinished_run(db, key, also_done=follows)
    stored = None if unfinished is None else _stored(db, unfinished.id)
    if unfinished is None or stored is None:
        return runs.create_run(db, study, analyses, fresh=fresh)
    going_on = stored
    if study.models.as_written() != study.models.tuned:
        going_on = series.grown(study, stored)
    placing = {name: getattr(study.run, name) for name in PLACING}
    going_on = going_on.model_copy(update={"run": going_on.run.model_copy(update=placing)})
    runs.requeue(db, unfinished.id, also_done=follows)
    if going_on != stored:
        runs.grow(db, unfinished.id, going_on)
    return unfinished.id


def check(study: Study, *, follows: bool = False) -> None:
    """Raise CheckpointError if a local folder or file of a study's models has no model, or if a
    series has no checkpoint yet and the run does not wait for one; StudyError if the study's engine
    is not installed.

    Called at a run's start, while the user can see the error. The run itself checks hub ids.
    """
    check_engine(study)
    if follows:
        following.refuse_none(study)
    else:
        series.refuse_empty(study.models)
    known = [m for name, m in study.models.tuned.items() if name not in study.models.pending]
    for model in (study.models.base, *known):
        place = expanded(model.path)
        if is_folder(place) or folders.is_gguf(place):
            headers.check(place)
        elif looks_local(model.path) and not is_there(place):
            kind = "file" if place.suffix == folders.GGUF else "directory"
            raise CheckpointError(f"There is no {kind} {model.path}.")


def check_engine(study: Study) -> None:
    """Raise StudyError if the study's engine is not installed."""
    if study.run.engine == "ray" and find_spec("ray") is None:
        raise StudyError(
            "The engine 'ray' needs the package ray.",
            hint="Install it with: pip install 'tauscope[cluster]'.",
        )


def start_detached(
    db_url: str,
    run_id: str,
    *,
    now: bool = False,
    trust: Trust = NOBODY,
    follow: Follow | None = None,
) -> int:
    """Start a worker for a queued run, or for one that ended early; returns its process id.

    It waits for the end of the runs started earlier on this host, unless `now`. `trust`: permission
    to run third-party code, which the database does not store. `follow`: the run waits for further
    checkpoints.
    """
    db = open_database(db_url, write=True)
    try:
        runs.requeue(db, run_id)
        log = log_of(db, run_id)
        try:
            db.access.make_folder(log.parent)
            db.access.make_file(log)
            command = [sys.executable, "-P", "-m", "app.worker", run_id, "--db", db.url]
            command += ["--now"] * now + (follow.arguments() if follow else [])
            command += ["--trust-models"] * trust.models + ["--trust-tasks"] * trust.tasks
            pid = detach(command, log)
        except OSError as error:
            raise RunError(f"A worker can't be started: {error}.") from error
        runs.await_worker(db, run_id, pid)
        return pid
    finally:
        db.close()


def detach(command: Sequence[str], log: Path) -> int:
    """Start a detached program that outlives the terminal; returns its process id. Raises OSError.

    Its output is appended to the log: a file, since a pipe would lose its reader.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=child_environment(),
        )
    # If it ends before this process, a thread must wait for it, or it stays a zombie.
    threading.Thread(target=process.wait, daemon=True).start()
    return process.pid


def last_words(db: Database, run: RunSummary) -> tuple[str, ...]:
    """The path and the end of the log of a run with a dead worker. Empty if there is no log, as for
    a worker in a terminal."""
    log = log_of(db, run.id)
    lines = tail(log) if run.status == "interrupted" else []
    return (f"Last lines of its log {log}:", *lines[-LAST:]) if lines else ()


def tail(log: Path, longest: int = LONGEST) -> list[str]:
    """The last non-empty lines of a log; none if it can't be read."""
    return [line.strip() for _, line in numbered(log, longest)]


def numbered(log: Path, longest: int) -> list[tuple[int, str]]:
    """The non-empty lines among the last bytes of a log, each with the place of its last byte by
    which it is known; none if it can't be read."""
    try:
        with log.open("rb") as file:
            start = max(0, log.stat().st_size - longest)
            file.seek(start)
            pieces = file.read().splitlines(keepends=True)
    except OSError:
        return []
    ends = accumulate(map(len, pieces), initial=start)
    texts = (piece.decode(errors="replace").rstrip() for piece in pieces)
    lines = zip(list(ends)[1:], texts, strict=True)
    return [(end, line) for end, line in lines if line.strip()]


def log_of(db: Database, run_id: str) -> Path:
    """The file of a run's output, and of the traceback of a fault."""
    return db.folder("logs") / f"{run_id}.log"


def _stored(db: Database, run_id: str) -> Study | None:
    """The study of a run; None if its row is damaged or of another version."""
    try:
        return runs.study_of(db, run_id)
    except RunError:
        return None
