"""The warnings of a run, and the warnings of the finished units that the run uses.

Owns their order: first the run's warnings, then the units' warnings in the order of the units.
Equal warnings count once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select, union

from core.engine.measurement import Doubt
from storage.database import Database
from storage.rows import checked
from storage.schema import RunRow, RunUnitRow, UnitRow, UnitWarningRow, WarningRow

_OWN = (WarningRow.subject, WarningRow.message)
_OF_UNIT = (UnitWarningRow.subject, UnitWarningRow.message)


@dataclass(frozen=True, slots=True)
class RunWarning:
    """A doubt about a run's results, and its subject: usually a model's name."""

    subject: str
    message: str


def warnings(db: Database, run_id: str) -> list[RunWarning]:
    """The warnings of a run, in order."""
    with db.reading() as connection:
        own = connection.execute(_own(run_id).order_by(WarningRow.id))
        rows = list(checked(own, _OWN))
        of_units = _of_units(run_id).order_by(UnitWarningRow.unit_id, UnitWarningRow.id)
        rows += checked(connection.execute(of_units), _OF_UNIT)
    return list(dict.fromkeys(RunWarning(*row) for row in rows))


def counted() -> Any:
    """The number of a run's warnings, as a column of a query over runs."""
    both = union(*(each.correlate(RunRow) for each in (_own(RunRow.id), _of_units(RunRow.id))))
    return select(func.count()).select_from(both.subquery()).scalar_subquery()


def of_unit(connection: Connection, key: str) -> list[Doubt]:
    """The warnings of a finished unit, in order."""
    query = select(*_OF_UNIT).join(UnitRow).where(UnitRow.key == key).order_by(UnitWarningRow.id)
    return [(row.subject, row.message) for row in checked(connection.execute(query), _OF_UNIT)]


def put(connection: Connection, unit_id: int, doubts: Sequence[Doubt]) -> None:
    """Replace the warnings of a unit."""
    connection.execute(delete(UnitWarningRow).where(UnitWarningRow.unit_id == unit_id))
    if doubts:
        rows = [{"unit_id": unit_id, "subject": s, "message": m} for s, m in doubts]
        connection.execute(insert(UnitWarningRow), rows)


def _own(run_id: Any) -> Select[str, str]:
    return select(*_OWN).where(WarningRow.run_id == run_id)


def _of_units(run_id: Any) -> Select[str, str]:
    refers = RunUnitRow.unit_id == UnitWarningRow.unit_id
    return select(*_OF_UNIT).join(RunUnitRow, refers).where(RunUnitRow.run_id == run_id)
