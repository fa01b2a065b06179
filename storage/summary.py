"""A run in short, as a list shows it. Owns what its status reads as, and how long it will take.

A worker that was killed can't say so: a run that claims to be running, with a heart that no
longer beats, reads as interrupted.
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

from storage.rows import misfits, models_in
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

_REMOVE = "'tauscope delete' removes it; its study file starts it anew."
_TIMES = ("created", "started", "finished", "heartbeat", "expected")
_COUNTS = ("done", "total", "reused")
_LAST = datetime.max.replace(tzinfo=UTC).timestamp()
_MOST = 2**31 - 1
_NOBODY = -1
"""Stands for the process of a row that can be none's."""

_DEFAULTS: Mapping[str, Any] = {
    "name": "", "status": "failed", "analyses": [], "fresh": False, "created": 0.0, "host": "",
    "done": 0, "total": 0, "reused": 0, "label": "", "rough": False, "cancel_requested": False,
    "error_title": "", "error_hint": "",
}  # fmt: skip
"""What is shown of a run in the place of a value that is damaged, but for None."""


def summarise(row: Row[*tuple[Any, ...]], now: datetime, beside: Callable[[], float]) -> RunSummary:
    """The summary of a row of COLUMNS. `beside` gives the last beat that was left beside the
    database; it is asked where that in the row is old.

    A row that is damaged reads as a run that failed, so that it stands in no other's way and can be
    removed.
    """
    row, damage = _mended(row)
    tuned = models_in(row.study)
    tuned.pop("base", None)
    return RunSummary(
        id=row.id,
        name=row.name,
        status="failed" if damage else _status(row, now.timestamp(), beside),
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
    )


def passed() -> ColumnElement[float | None]:
    """What `took` is now, in the words of the database: for whoever works on the run."""
    since = func.max(0.0, time.monotonic() - RunRow.ticked)
    return RunRow.took + since


def _mended(row: Row[*tuple[Any, ...]]) -> tuple[Any, str]:
    """The row with the default for each value that can't be one of its column, and words for it."""
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
    told = ", ".join(dict.fromkeys(wrong))
    return SimpleNamespace(**values), f"The row of this run is damaged: {told}." if told else ""


def _is_time(value: float | None) -> bool:
    return value is None or 0 <= value < _LAST


def _status(row: Any, now: float, beside: Callable[[], float]) -> Status:
    """A queued run with a process was given to a worker that has yet to take it."""
    status: Status = row.status
    silent = _silent(row, now)
    if status == "running" and silent > STALE and now - beside() > STALE:
        return "interrupted"
    if status in ("running", "queued") and row.pid is not None and _is_dead(row, silent):
        return "interrupted"
    return status


def _silent(row: Any, now: float) -> float:
    """The seconds since its last heartbeat; less than none for one from the future."""
    if row.ticked is not None and row.host == socket.gethostname():
        since: float = time.monotonic() - row.ticked
        if since >= 0:  # else the host was booted since
            return since
    return now - float(row.heartbeat or 0.0)


def _is_dead(row: Any, silent: float) -> bool:
    """Is the run's process certainly gone? Only its own host can say. One that is younger than the
    heartbeat is another, which has its number."""
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
