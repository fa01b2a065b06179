"""All rows of an analysis in the order of every export, a few at a time in memory.

Owns that order in SQL: the database sorts, in its own temporary files where they are many. Which
metrics, models and modules come first it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, select
from sqlalchemy.orm import InstrumentedAttribute

from core.engine.measurement import KEY_COLUMNS
from storage.database import Database
from storage.results import SELECTED, of_run
from storage.rows import checked
from storage.schema import OVER_ALL, MeasurementRow

Line = tuple[str | int | float | None, ...]
"""The values of a measurement under COLUMNS, but for the analysis."""

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Names in the order in which they come; others come after them, by name."""

    metrics: Sequence[str]
    models: Sequence[str]
    modules: Sequence[str]


@contextmanager
def lines(db: Database, run_id: str, analysis: str, order: Order) -> Iterator[Iterator[Line]]:
    """The rows of one analysis of a run: by metric, models, setting, layer (over all last),
    module, expert and head.

    They are of one state of the database, which is read until the block ends: whoever hands them
    to somebody slow lays them aside first. Raises StorageError.
    """
    wanted = of_run(select(*SELECTED), run_id, analysis).order_by(*_by(order))
    with db.reading() as connection:
        found = connection.execution_options(yield_per=_AT_ONCE).execute(wanted)
        try:
            yield map(tuple, checked(found, SELECTED))
        finally:
            found.close()


def _by(order: Order) -> list[ColumnElement[Any]]:
    row = MeasurementRow
    told: list[Any] = [
        _place(row.metric, order.metrics), row.metric, row.metric_of,
        _place(row.model, order.models), _place(row.reference, order.models), row.setting,
        row.layer == OVER_ALL, row.layer, _place(row.module, order.modules), row.expert, row.head,
    ]  # fmt: skip
    # The names of what has no place of its own.
    return [*told, *(getattr(row, name) for name in KEY_COLUMNS[1:])]


def _place(column: InstrumentedAttribute[str], names: Sequence[str]) -> ColumnElement[int]:
    places = {name: place for place, name in enumerate(names)}
    return case(places, value=column, else_=len(places))
