"""A run in short, as a list shows it. Owns what its status reads as, and how long it will take.

A worker that was killed can't say so: a run that claims to be running, with a heart that no
longer beats, reads as interrupted.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import psutil
from sqlalchemy import ColumnElement, Row, func, select

from storage.schema import RunRow, WarningRow

Status = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]

STALE = 15.0
"""Seconds without a heartbeat after which a worker counts as dead."""

CLOCK = 60.0
"""Seconds that the start of a process may be told wrong by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """One run. `models` are the tuned ones in the study's order; times are in UTC. `expected` is
    when its worker thinks that it will be done, by `rough` rates in part. `begun` numbers runs in
    the order in which they were begun or resumed; `took` are the seconds of its attempt up to its
    last heartbeat, None where nobody counted them."""

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

    @property
    def ended_early(self) -> bool:
        """Has it ended with work left, which a worker may take up again?"""
        return self.status in ("failed", "cancelled", "interrupted")

    def lasted(self, now: datetime) -> float | None:
        """The seconds that this attempt took, or has taken so far; None before it began. The clock
        may have been set meanwhile where its worker counted them."""
        running = self.status == "running"
        if self.took is not None:
            since = (now - self.heartbeat).total_seconds() if running and self.heartbeat else 0.0
            return self.took + min(max(0.0, since), STALE)
        end = self.finished or (now if running else self.heartbeat)
        return (end - self.started).total_seconds() if self.started and end else None

    def throughput(self, now: datetime) -> float | None:
        """The units that this attempt computes in a second; None while unknown."""
        computed, passed = self.done - self.reused, self.lasted(now)
        if self.status != "running" or computed <= 0 or not passed or passed < 0:
            return None
        return computed / passed

    def eta(self, now: datetime) -> float | None:
        """The seconds it will still take, as its worker sees it: less than none when it takes
        longer than was thought; None while unknown."""
        if self.status != "running" or self.expected is None:
            return None
        return (self.expected - now).total_seconds()


_WARNED = (
    select(func.count())
    .where(WarningRow.run_id == RunRow.id)
    .correlate(RunRow)
    .scalar_subquery()
    .label("warnings")
)
COLUMNS = (
    RunRow.id, RunRow.name, RunRow.status, RunRow.analyses, RunRow.study, RunRow.fresh,
    RunRow.created, RunRow.started, RunRow.finished, RunRow.heartbeat, RunRow.host, RunRow.pid,
    RunRow.done, RunRow.total, RunRow.reused, RunRow.label, RunRow.expected, RunRow.rough,
    RunRow.cancel_requested, RunRow.error_title, RunRow.error_hint, RunRow.begun, RunRow.ticked,
    RunRow.took, _WARNED,
)  # fmt: skip
"""What `summarise` needs of a run."""


def summarise(row: Row[*tuple[Any, ...]], now: datetime, beside: Callable[[], float]) -> RunSummary:
    """The summary of a row of COLUMNS. `beside` gives the last beat that was left beside the
    database; it is asked where that in the row is old."""
    tuned: dict[str, Any] = row.study["models"]["tuned"]
    return RunSummary(
        id=row.id,
        name=row.name,
        status=_status(row, now.timestamp(), beside),
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
        error_title=row.error_title,
        error_hint=row.error_hint,
        warnings=row.warnings,
        begun=row.begun,
        took=row.took,
    )


def passed() -> ColumnElement[float | None]:
    """What `took` is now, in the words of the database: for whoever works on the run."""
    since = func.max(0.0, time.monotonic() - RunRow.ticked)
    return RunRow.took + since


def _status(row: Row[*tuple[Any, ...]], now: float, beside: Callable[[], float]) -> Status:
    """A queued run with a process was given to a worker that has yet to take it."""
    status: Status = row.status
    silent = _silent(row, now)
    if status == "running" and silent > STALE and now - beside() > STALE:
        return "interrupted"
    if status in ("running", "queued") and row.pid is not None and _is_dead(row, silent):
        return "interrupted"
    return status


def _silent(row: Row[*tuple[Any, ...]], now: float) -> float:
    """The seconds since its last heartbeat; less than none for one from the future."""
    if row.ticked is not None and row.host == socket.gethostname():
        since: float = time.monotonic() - row.ticked
        if since >= 0:  # else the host was booted since
            return since
    return now - float(row.heartbeat or 0.0)


def _is_dead(row: Row[*tuple[Any, ...]], silent: float) -> bool:
    """Is the run's process certainly gone? Only its own host can say. One that is younger than the
    heartbeat is another, which has its number."""
    if row.host != socket.gethostname():
        return False
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
