"""A run's summary for lists. Owns the displayed status, and the estimated time.

A killed worker can't report its end: a running run without a recent heartbeat counts as
interrupted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Literal, get_args

import psutil
from sqlalchemy import ColumnElement, Row, func, select

from storage import doubts
from storage.rows import misfits, models_in
from storage.schema import FailureRow, RunRow, WorkerRow

Status = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

STALE = 15.0
"""Seconds without a heartbeat after which a worker counts as dead."""

CLOCK = 60.0
"""Possible error of a process's start time, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run. `models` are the tuned ones in the study's order; times are in UTC. `expected`: the
    worker's estimate of the end, partly by `rough` rates. `begun` numbers runs in the order of
    starts and resumes; `took`: seconds of its attempt up to the last heartbeat, None if they were
    not counted. `workers`: the processes that compute for it, 0 where only its own does; `failed`:
    the units that it has given up."""

    id: str
    name: str
    status: Status
    analyses: tuple[str, ...]
    models: tuple[str, ...]
    controls: frozenset[str]
    fresh: bool
    created: datetime
    started: datetime | None
    finished: datetime | None
    heartbeat: datetime | None
    host: str
    pid: int | None
    done: int
    total: int
    reused: int
    label: str
    expected: datetime | None
    rough: bool
    cancel_requested: bool
    error_title: str
    error_hint: str
    warnings: int
    begun: int
    took: float | None
    workers: int = 0
    failed: int = 0

    @property
    def ended_early(self) -> bool:
        """Has it ended with unfinished work that a worker may resume?"""
        return self.status in ("failed", "cancelled", "interrupted")

    @property
    def idles(self) -> bool:
        """Is it running with nothing left to compute, waiting for further checkpoints?"""
        return self.status == "running" and 0 < self.total <= self.done

    def lasted(self, now: datetime) -> float | None:
        """The seconds of this attempt so far; None before its start. Independent of the clock if
        the worker counted them."""
        running = self.status == "running"
        if self.took is not None:
            since = (now - self.heartbeat).total_seconds() if running and self.heartbeat else 0.0
            return self.took + min(max(0.0, since), STALE)
        end = self.finished or (now if running else self.heartbeat)
        return (end - self.started).total_seconds() if self.started and end else None

    def throughput(self, now: datetime) -> float | None:
        """The units per second of this attempt; None while unknown."""
        computed, passed = self.done - self.reused, self.lasted(now)
        if self.status != "running" or computed <= 0 or not passed or passed < 0:
            return None
        return computed / passed

    def eta(self, now: datetime) -> float | None:
        """The remaining seconds by its worker's estimate; negative if it takes longer; None while
        unknown."""
        if self.status != "running" or self.expected is None:
            return None
        return (self.expected - now).total_seconds()


def _counted(table: type[WorkerRow | FailureRow], name: str) -> Any:
    """The rows of a table that belong to the run, as a column."""
    mine = select(func.count()).where(table.run_id == RunRow.id).correlate(RunRow)
    return mine.scalar_subquery().label(name)


COLUMNS = (
    RunRow.id, RunRow.name, RunRow.status, RunRow.analyses, RunRow.study, RunRow.fresh,
    RunRow.created, RunRow.started, RunRow.finished, RunRow.heartbeat, RunRow.host, RunRow.pid,
    RunRow.done, RunRow.total, RunRow.reused, RunRow.label, RunRow.expected, RunRow.rough,
    RunRow.cancel_requested, RunRow.error_title, RunRow.error_hint, RunRow.begun, RunRow.ticked,
    RunRow.took, doubts.counted().label("warnings"), _counted(WorkerRow, "workers"),
    _counted(FailureRow, "failed"),
)  # fmt: skip
"""The columns of a run for `summarise`."""

_REMOVE = "'tauscope delete' removes it; its study file starts it again."
_TIMES = ("created", "started", "finished", "heartbeat", "expected")
_COUNTS = ("done", "total", "reused")
_LAST = datetime.max.replace(tzinfo=UTC).timestamp()
_MOST = 2**31 - 1
_NOBODY = -1
"""Replaces an impossible process id in a row."""

_DEFAULTS: Mapping[str, Any] = {
    "name": "", "status": "failed", "analyses": [], "fresh": False, "created": 0.0, "host": "",
    "done": 0, "total": 0, "reused": 0, "label": "", "rough": False, "cancel_requested": False,
    "error_title": "", "error_hint": "",
}  # fmt: skip
"""Replacements of a run's damaged values, other than None."""


def summarise(row: Row[*tuple[Any, ...]], now: datetime, beside: Callable[[], float]) -> RunSummary:
    """The summary of a row of COLUMNS. `beside` returns the last heartbeat beside the database; it
    is called if the row's heartbeat is old.

    A damaged row counts as a failed run, so it blocks no other run and can be removed.
    """
    row, damage = _mended(row)
    tuned = models_in(row.study)
    tuned.pop("base", None)
    status = "failed" if damage else _status(row, now.timestamp(), beside)
    return RunSummary(
        id=row.id,
        name=row.name,
        status=status,
        analyses=tuple(row.analyses),
        models=tuple(tuned),
        controls=frozenset(name for name, model in tuned.items() if model["role"] == "control"),
        fresh=row.fresh,
        created=_moment(row.created),
        started=_moment_or_none(row.started),
        finished=_moment_or_none(row.finished),
        heartbeat=_moment_or_none(row.heartbeat),
        host=row.host,
        pid=row.pid,
        done=row.done,
        total=row.total,
        reused=row.reused,
        label=row.label,
        expected=_moment_or_none(row.expected),
        rough=row.rough,
        cancel_requested=row.cancel_requested,
        error_title=damage or row.error_title,
        error_hint=_REMOVE if damage else row.error_hint,
        warnings=row.warnings,
        begun=row.begun,
        took=row.took,
        workers=row.workers if status == "running" else 0,  # a killed driver leaves states
        failed=row.failed,
    )


def passed() -> ColumnElement[float | None]:
    """The current value of `took` as an SQL expression, for the run's worker."""
    since = func.max(0.0, time.monotonic() - RunRow.ticked)
    return RunRow.took + since


def _mended(row: Row[*tuple[Any, ...]]) -> tuple[Any, str]:
    """The row with defaults for damaged values, and a sentence about them."""
    values = dict(row._mapping)
    wrong = [name for name in misfits(row, COLUMNS) if name != "pid"]
    wrong += [name for name in _COUNTS if name not in wrong and not 0 <= values[name] <= _MOST]
    wrong += [name for name in _TIMES if name not in wrong and not _is_time(values[name])]
    if "status" not in wrong and values["status"] not in get_args(Status):
        wrong.append("status")
    if "analyses" not in wrong and not all(isinstance(name, str) for name in values["analyses"]):
        wrong.append("analyses")
    if not models_in(values["study"]):
        wrong.append("study")
    if "took" not in wrong and not _is_time(values["took"]):
        wrong.append("took")
    if not isinstance(values["pid"], int) or not 0 < values["pid"] <= _MOST:
        values["pid"] = None if values["pid"] is None else _NOBODY
    for name in wrong:
        values[name] = _DEFAULTS.get(name)
    faults = ", ".join(dict.fromkeys(wrong))
    return SimpleNamespace(**values), f"The row of this run is damaged: {faults}." if faults else ""


def _is_time(value: float | None) -> bool:
    return value is None or 0 <= value < _LAST


def _status(row: Any, now: float, beside: Callable[[], float]) -> Status:
    """The displayed status. A queued run with a process was given to a worker that has not yet
    claimed it."""
    status: Status = row.status
    silent = _silent(row, now)
    if status == "running" and silent > STALE and now - beside() > STALE:
        return "interrupted"
    if status in ("running", "queued") and row.pid is not None and _is_dead(row, silent):
        return "interrupted"
    return status


def _silent(row: Any, now: float) -> float:
    """The seconds since its last heartbeat; negative for one from the future."""
    if row.ticked is not None and row.host == socket.gethostname():
        since: float = time.monotonic() - row.ticked
        if since >= 0:  # otherwise the host was rebooted since
            return since
    return now - float(row.heartbeat or 0.0)


def _is_dead(row: Any, silent: float) -> bool:
    """Has the run's process certainly ended? Only its own host can tell. A process younger than the
    heartbeat is another one with the same id."""
    if row.host != socket.gethostname():
        return False
    if row.pid == _NOBODY:
        return True
    try:
        process = psutil.Process(row.pid)
        age = time.time() - process.create_time()
        return process.status() == psutil.STATUS_ZOMBIE or age + CLOCK < silent
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
