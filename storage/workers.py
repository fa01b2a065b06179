"""The processes that compute units of a run, and the units that it has given up.

Owns when they are forgotten: a worker's state at the end of an attempt, a failure when its unit is
saved or no longer planned. Damaged rows count as missing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, fields
from typing import Any

from sqlalchemy import Connection, delete, insert, select
from sqlalchemy.dialects import sqlite

from core.engine.measurement import FailedUnit, WorkerState
from storage.database import Database
from storage.rows import is_time, misfits, shortened
from storage.schema import FailureRow, RunUnitRow, UnitRow, WorkerRow

_STATE = tuple(getattr(WorkerRow, each.name) for each in fields(WorkerState))
_FAILED = tuple(getattr(FailureRow, each.name) for each in fields(FailedUnit))


def workers(db: Database, run_id: str) -> list[WorkerState]:
    """The workers of a run's present attempt, by name; empty for a run in one process."""
    wanted = select(*_STATE).where(WorkerRow.run_id == run_id).order_by(WorkerRow.name)
    with db.reading() as connection:
        rows = connection.execute(wanted).all()
    states = [WorkerState(*row) for row in rows if not misfits(row, _STATE)]
    return [each for each in states if is_time(each.since) and each.memory >= 0]


def failed_units(db: Database, run_id: str) -> list[FailedUnit]:
    """The units that a run has given up, in the order of their analyses and labels."""
    wanted = select(*_FAILED).where(FailureRow.run_id == run_id)
    wanted = wanted.order_by(FailureRow.analysis, FailureRow.label, FailureRow.key)
    with db.reading() as connection:
        rows = connection.execute(wanted).all()
    return [FailedUnit(*row) for row in rows if not misfits(row, _FAILED)]


def put_workers(connection: Connection, run_id: str, states: Sequence[WorkerState]) -> None:
    """Replace the states of a run's workers."""
    forget_workers(connection, run_id)
    rows: list[dict[str, Any]] = [{"run_id": run_id, **asdict(state)} for state in states]
    if rows:
        connection.execute(insert(WorkerRow), rows)


def forget_workers(connection: Connection, run_id: str) -> None:
    """Remove the states of a run's workers."""
    connection.execute(delete(WorkerRow).where(WorkerRow.run_id == run_id))


def put_failed(connection: Connection, run_id: str, failed: FailedUnit) -> None:
    """Store a failed unit, or its latest cause."""
    values = {**asdict(failed), "cause": shortened(failed.cause)}
    put = sqlite.insert(FailureRow).values(run_id=run_id, **values)
    connection.execute(put.on_conflict_do_update(index_elements=["run_id", "key"], set_=values))


def forget_failed(connection: Connection, run_id: str, keys: Collection[str]) -> None:
    """Remove the failures of these units from a run."""
    mine = delete(FailureRow).where(FailureRow.run_id == run_id)
    connection.execute(mine.where(FailureRow.key.in_(keys)))


def forget_unplanned(connection: Connection, run_id: str, planned: Collection[str]) -> None:
    """Remove the failures of units that the run no longer plans."""
    mine = select(FailureRow.key).where(FailureRow.run_id == run_id)
    if gone := set(connection.scalars(mine)).difference(planned):
        forget_failed(connection, run_id, gone)


def forget_reused(connection: Connection, run_id: str) -> None:
    """Remove the failures of units that are part of the run: another run computed them."""
    part = select(UnitRow.key).join(RunUnitRow).where(RunUnitRow.run_id == run_id)
    mine = delete(FailureRow).where(FailureRow.run_id == run_id)
    connection.execute(mine.where(FailureRow.key.in_(part)))
