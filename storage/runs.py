"""A run's lifecycle: created, queued, claimed by one worker, ended; and its stored facts.

Owns every change of a run's state. It is the app's interface, so a run's results are available here
as well. Starts no process.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, Select, delete, func, insert, select, update

from core.errors import RunError, did_you_mean
from core.study.study import STORED, Study
from core.trust import NOBODY, granted
from storage import beats, parts
from storage import workers as crew
from storage.database import Database
from storage.doubts import RunWarning, warnings
from storage.results import (
    StoredArtifact,
    arrays,
    artifacts,
    catalogue,
    durations,
    edition,
    measurements,
)
from storage.rows import is_provenance, models_in, shortened
from storage.schema import RunRow, WarningRow
from storage.summary import COLUMNS, RunSummary, Status, passed, summarise

__all__ = [
    "RunSummary", "RunWarning", "StoredArtifact", "arrays", "artifacts", "await_worker", "before",
    "catalogue", "claim", "create_run", "delete_run",
    "durations", "edition", "find_run", "finish", "grow",
    "list_runs", "measurements", "models_of_runs", "provenance", "request_cancel", "requeue",
    "say_waiting", "study_of", "unfinished_run", "warnings",
]  # fmt: skip


def create_run(db: Database, study: Study, analyses: Sequence[str], *, fresh: bool = False) -> str:
    """Create a queued run; returns its id. `fresh`: reuse no unit of another run."""
    run_id = secrets.token_hex(6)
    with db.writing() as connection:
        place = _next(connection)
        connection.execute(
            insert(RunRow).values(
                id=run_id,
                name=study.name,
                study=granted(study, NOBODY).model_dump(mode="json"),
                study_key=study.key(analyses),
                analyses=list(analyses),
                status="queued",
                fresh=fresh,
                created=time.time(),
                made=place,
                begun=place,
            )
        )
    return run_id


def unfinished_run(db: Database, study_key: str, *, also_done: bool = False) -> RunSummary | None:
    """The newest run of this study if it isn't done (`also_done`: in any case). It may be
    running."""
    with db.reading() as connection:
        row = connection.execute(_newest().where(RunRow.study_key == study_key).limit(1)).first()
    summary = _summary(db, row) if row is not None else None
    return summary if summary is not None and (also_done or summary.status != "done") else None


def grow(db: Database, run_id: str, study: Study) -> None:
    """Replace a run's study by the same one with further checkpoints of its series."""
    stored = granted(study, NOBODY).model_dump(mode="json")
    with db.writing() as connection:
        _set(connection, run_id, study=stored)


def list_runs(db: Database) -> list[RunSummary]:
    """All runs, newest first."""
    with db.reading() as connection:
        rows = connection.execute(_newest()).all()
    return [_summary(db, row) for row in rows]


def find_run(db: Database, wanted: str) -> RunSummary:
    """The run of an id, of a unique prefix of one, or of `latest`: the run that was last started or
    resumed. Raises RunError."""
    with db.reading() as connection:
        return _find(db, connection, wanted)


def study_of(db: Database, run_id: str) -> Study:
    """The study at the run's creation, without any trust: the trust is given at each start."""
    data = _column(db, run_id, select(RunRow.study))
    try:
        return granted(Study.model_validate(data, context=STORED), NOBODY)
    except ValidationError as error:
        raise RunError(
            f"The study of run {run_id} can't be read by this version of tauscope: "
            f"{error.errors()[0]['msg']}.",
            hint="Start it again from its study file.",
        ) from None


def models_of_runs(db: Database) -> dict[str, tuple[str, ...]]:
    """The places of the models of every run, by the run's id, the base first."""
    with db.reading() as connection:
        rows = connection.execute(select(RunRow.id, RunRow.study)).all()
    return {
        run_id: tuple(model["path"] for model in models_in(study).values())
        for run_id, study in rows
    }


def provenance(db: Database, run_id: str) -> dict[str, Any]:
    """Where the results come from: environment, device, versions, fingerprints; empty if
    the database holds no valid one."""
    value = _column(db, run_id, select(RunRow.provenance))
    return value if is_provenance(value) else {}


def requeue(db: Database, run_id: str, *, also_done: bool = False) -> None:
    """Queue a run again that ended early, or is done if that is asked for. Raises RunError for any
    other one."""
    with db.writing() as connection:
        run = _find(db, connection, run_id)
        able = run.ended_early or run.status == "queued" or (also_done and run.status == "done")
        if not able:
            raise _not_ready(run)
        _set(
            connection, run.id, status="queued", cancel_requested=False, pid=None, heartbeat=None,
            ticked=None, started=None, finished=None, took=None, expected=None, label="",
            error_title="", error_hint="", begun=_next(connection),
        )  # fmt: skip


def await_worker(db: Database, run_id: str, pid: int) -> None:
    """Store the process that will claim a queued run, to detect its early death."""
    with db.writing() as connection:
        if _find(db, connection, run_id).status == "queued":
            _set(
                connection, run_id, host=socket.gethostname(), pid=pid, heartbeat=time.time(),
                ticked=time.monotonic(), begun=_next(connection),
            )  # fmt: skip


def before(db: Database, run_id: str) -> RunSummary | None:
    """The run of this host that a queued one waits for: a running one, or one given to a worker
    earlier. None if it is its turn, or if it is no longer queued. A running one that has computed
    all of its units waits for checkpoints, and nobody waits for it."""
    by_id = {run.id: run for run in list_runs(db)}
    current = by_id.pop(run_id, None)
    if current is None or current.status != "queued":
        return None
    here = [run for run in by_id.values() if run.host == socket.gethostname()]
    given = [run for run in here if run.status == "queued" and run.pid is not None]
    running = [run for run in here if run.status == "running" and not run.idles]
    earlier = [run for run in given if current.pid is None or run.begun < current.begun]
    return min(running or earlier, key=lambda run: run.begun, default=None)


def say_waiting(db: Database, run_id: str, label: str) -> None:
    """Store the label of the run that a queued run waits for."""
    with db.writing() as connection:
        connection.execute(
            update(RunRow).where(RunRow.id == run_id, RunRow.status == "queued").values(label=label)
        )


def request_cancel(db: Database, run_id: str) -> None:
    """Ask a running worker to stop; a run without a worker is cancelled at once."""
    with db.writing() as connection:
        run = _find(db, connection, run_id)
        if run.status == "running":
            _set(connection, run.id, cancel_requested=True)
        elif run.status in ("queued", "interrupted"):
            # The request stays: the worker of an interrupted run may only have been silent.
            _set(
                connection, run.id, status="cancelled", finished=time.time(), cancel_requested=True
            )
        else:
            raise RunError(f"Run {run.id} is not running: it is {run.status}.")


def delete_run(db: Database, run_id: str) -> None:
    """Remove a run and its own warnings. Raises RunError while it is running.

    Its units stay until garbage collection: other runs may refer to them, and later ones reuse
    them.
    """
    with db.writing() as connection:
        run = _find(db, connection, run_id)
        if run.status == "running":
            hint = f"Stop it first, with 'tauscope cancel {run.id}'."
            raise RunError(f"Run {run.id} is running right now.", hint=hint)
        connection.execute(delete(RunRow).where(RunRow.id == run.id))


def claim(db: Database, run_id: str) -> int:
    """Claim a queued run for this process alone; returns the number of the attempt.

    Raises RunError if it is not queued (any more).
    """
    now = time.time()
    with db.writing() as connection:
        run = _find(db, connection, run_id)
        if run.status != "queued":
            raise _not_ready(run)
        connection.execute(delete(WarningRow).where(WarningRow.run_id == run.id))
        crew.forget_workers(connection, run.id)
        _set(
            connection, run.id, status="running", attempt=RunRow.attempt + 1, started=now,
            heartbeat=now, ticked=time.monotonic(), finished=None, took=0.0,
            host=socket.gethostname(), pid=os.getpid(), label="", begun=_next(connection),
            # the last attempt's values do not apply to this one
            done=0, total=0, reused=0, expected=None, rough=False,
        )  # fmt: skip
        attempt: int = connection.scalar(select(RunRow.attempt).where(RunRow.id == run.id)) or 0
    return attempt


def finish(
    db: Database,
    run_id: str,
    attempt: int,
    status: Status,
    *,
    title: str = "",
    hint: str = "",
    patience: float | None = None,
) -> None:
    """End an attempt, unless another worker has taken over the run. `patience`: as in
    `Database`."""
    with db.writing(patience=patience) as connection:
        ended = connection.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.attempt == attempt, RunRow.status == "running")
            .values(
                status=status,
                finished=time.time(),
                took=passed(),
                label="",
                expected=None,
                rough=False,
                error_title=shortened(title),
                error_hint=shortened(hint),
            )
        )
        if not ended.rowcount:
            return
        crew.forget_workers(connection, run_id)
        if status == "done":
            parts.forget(connection, run_id)  # another run may have computed its units


_HINTS = {
    "running": "Follow it with 'tauscope watch {run}', or stop it with 'tauscope cancel {run}'.",
    "done": "Nothing is left to compute; --fresh computes everything again.",
    "cancelled": "'tauscope run' with its study resumes it.",
    "failed": "'tauscope run' with its study resumes it.",
    "interrupted": "'tauscope run' with its study resumes it.",
}


def _not_ready(run: RunSummary) -> RunError:
    words = {"running": "is running right now", "done": "is finished"}
    title = f"Run {run.id} {words.get(run.status, f'is {run.status}')}."
    return RunError(title, hint=_HINTS.get(run.status, "").format(run=run.id))


def _find(db: Database, connection: Connection, wanted: str) -> RunSummary:
    if wanted == "latest":
        query = _newest(begun=True)
    else:
        query = _newest().where(RunRow.id.startswith(wanted.lower(), autoescape=True))
    matches = connection.execute(query.limit(9)).all()
    if not matches or not wanted:
        ids = connection.scalars(select(RunRow.id).order_by(RunRow.made.desc()).limit(200)).all()
        hint = did_you_mean(wanted, ids) if len(ids) <= 8 else "'tauscope runs' lists them."
        title = "There are no runs yet." if not ids else f"There is no run '{wanted}'."
        raise RunError(title, hint=hint if ids else "'tauscope run STUDY.toml' creates one.")
    if wanted != "latest" and len(matches) > 1:
        ids = [row.id for row in matches]
        more = ", ..." if len(ids) > 8 else ""
        raise RunError(
            f"More than one run begins with '{wanted}'.", hint=f"{', '.join(ids[:8])}{more}"
        )
    return _summary(db, matches[0])


def _newest(*, begun: bool = False) -> Select[*tuple[Any, ...]]:
    """The runs in the order of creation, or of the last start (`begun`), newest first. The order
    does not use clocks, since they may be set."""
    return select(*COLUMNS).order_by((RunRow.begun if begun else RunRow.made).desc())


def _next(connection: Connection) -> int:
    """The next number in the order of creation and starts."""
    last = select(func.max(func.max(RunRow.made, RunRow.begun)))
    return (connection.scalar(last) or 0) + 1


def _column(db: Database, run_id: str, query: Select[*tuple[Any, ...]]) -> Any:
    with db.reading() as connection:
        row = connection.execute(query.where(RunRow.id == run_id)).first()
    if row is None:
        raise RunError(f"There is no run '{run_id}'.")
    return row[0]


def _set(connection: Connection, run_id: str, **values: Any) -> None:
    connection.execute(update(RunRow).where(RunRow.id == run_id).values(**values))


def _summary(db: Database, row: Row[*tuple[Any, ...]]) -> RunSummary:
    return summarise(row, _now(), lambda: beats.last(db, row.id))


def _now() -> datetime:
    return datetime.now(UTC)
