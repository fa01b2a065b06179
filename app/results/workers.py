"""The workers of a run and the units that it has given up, in words and rows. No widget."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from app.results.wording import span
from core.engine.measurement import FailedUnit, WorkerState
from core.sizes import counted, size

if TYPE_CHECKING:
    from storage.database import Database
    from storage.runs import RunWarning

HEAD = ("worker", "host", "card", "model", "since", "memory", "done", "failed", "current unit")
"""The headers of `rows`."""
WAITS = "waits"


def rows(states: Sequence[WorkerState], now: datetime) -> list[tuple[str, ...]]:
    """A row for each worker, under HEAD."""
    return [
        (
            each.name, each.host, each.device, each.model, since(each, now),
            size(each.memory) if each.memory else "", str(each.done),
            str(each.failures or ""), each.label or WAITS,
        )
        for each in states
    ]  # fmt: skip


def since(state: WorkerState, now: datetime) -> str:
    """How long a worker has had its current unit; nothing while it waits."""
    if not state.label or not state.since:
        return ""
    return span(now.timestamp() - state.since)


def together(states: Sequence[WorkerState]) -> str:
    """The workers in short: `4 workers on 2 hosts, 3 at work`."""
    hosts = len({each.host for each in states})
    busy = sum(bool(each.label) for each in states)
    return f"{counted(len(states), 'worker')} on {counted(hosts, 'host')}, {busy} at work"


def line(state: WorkerState, now: datetime) -> str:
    """One worker in a line: its place, its unit and its counts."""
    place = f"{state.name} ({state.host}, {state.device})"
    words = [state.label or WAITS, since(state, now)]
    words += [f"holds {state.model}"] if state.model else []
    words += [size(state.memory)] if state.memory else []
    words += [f"{state.done} done"]
    words += [counted(state.failures, "failure")] if state.failures else []
    return f"{place}: {', '.join(filter(None, words))}"


def given_up(failed: FailedUnit) -> str:
    """A failed unit in a sentence, with its cause."""
    tried = f"tried {counted(failed.attempts, 'time')}"
    return f"{failed.analysis}: {failed.label} ({tried}): {failed.cause}"


def doubts(db: Database, run_id: str) -> list[RunWarning]:
    """The warnings of a run, then its failed units, for reports."""
    from storage.runs import RunWarning, warnings
    from storage.workers import failed_units

    failed = [
        RunWarning(
            each.analysis,
            f"{each.label} failed {counted(each.attempts, 'time')} and has no results: "
            f"{each.cause}",
        )
        for each in failed_units(db, run_id)
    ]
    return [*warnings(db, run_id), *failed]
