"""Finished units of earlier runs, and their durations.

Only reads. Similar units have the same analysis, and runs with a base of similar size and the same
kind of device: a card's name, or a device where a run of an earlier version states no card.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import JSON, case, func, select, type_coerce

from storage.database import Database
from storage.rows import is_time
from storage.schema import RunRow, RunUnitRow, UnitRow

_CHUNK = 500  # below SQLite's limit of variables, in all its versions
_ALIKE = 0.1


def finished(db: Database, keys: Collection[str]) -> set[str]:
    """The keys of units with results in the database."""
    listed, done = list(keys), set()
    with db.reading() as connection:
        for start in range(0, len(listed), _CHUNK):
            wanted = UnitRow.key.in_(listed[start : start + _CHUNK])
            done |= set(connection.scalars(select(UnitRow.key).where(wanted)))
    return done


def pace(db: Database, analysis: str, parameters: int, device: str) -> float | None:
    """The mean seconds of an analysis's units in runs on this kind of device with a base of this
    many parameters, within a tenth; None if there are none."""
    valid = case((func.json_valid(RunRow.provenance) == 1, RunRow.provenance))
    provenance = type_coerce(valid, JSON)  # SQLite refuses a whole query for one damaged row
    size = provenance["models"]["base"]["parameters"].as_integer()
    card, place = (provenance[name].as_string() for name in ("card", "device"))
    # A query within the query: a join would read the provenance again for every unit of a run.
    runs = select(RunRow.id).where(
        func.coalesce(card, place) == device,
        size.between((1 - _ALIKE) * parameters, (1 + _ALIKE) * parameters),
    )
    alike = select(RunUnitRow.unit_id).where(RunUnitRow.run_id.in_(runs))
    wanted = select(func.avg(UnitRow.seconds)).where(
        UnitRow.analysis == analysis, UnitRow.id.in_(alike)
    )
    with db.reading() as connection:
        seconds = connection.scalar(wanted)
    return float(seconds) if is_time(seconds) else None
