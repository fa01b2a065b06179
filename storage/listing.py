"""All rows of an analysis in the order of every export, a few at a time in memory.

Owns the order in SQL: the database sorts, in its temporary files if there are many rows. Callers
pass the order of metrics, models and modules.
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
"""The values of a measurement for COLUMNS, without the analysis."""

_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Names in their order; other names follow alphabetically."""

    metrics: Sequence[str]
    models: Sequence[str]
    modules: Sequence[str]


@contextmanager
def lines(db: Database, run_id: str, analysis: str, order: Order) -> Iterator[Iterator[Line]]:
    """The rows of one analysis of a run: by metric, models, setting, layer (over all last),
    module, expert and head.

    They come from one state of the database, with a read transaction until the block ends, so a
    slow consumer needs a copy. Raises StorageError.
    """
    wanted = of_run(select(*SELECTED), run_id, analysis).order_by(*_by(order))
    with db.reading() as connection:
        rows = connection.execution_options(yield_per=_AT_ONCE).execute(wanted)
        try:
            yield map(tuple, checked(rows, SELECTED))
        finally:
            rows.close()


def _by(order: Order) -> list[ColumnElement[Any]]:
    row = MeasurementRow
    order_by: list[Any] = [
        _place(row.metric, order.metrics), row.metric, row.metric_of,
        _place(row.model, order.models), _place(row.reference, order.models), row.setting,
        row.layer == OVER_ALL, row.layer, _place(row.module, order.modules), row.expert, row.head,
    ]  # fmt: skip
    # Then the coordinates without an order of their own.
    return [*order_by, *(getattr(row, name) for name in KEY_COLUMNS[1:])]


def _place(column: InstrumentedAttribute[str], names: Sequence[str]) -> ColumnElement[int]:
    places = {name: place for place, name in enumerate(names)}
    return case(places, value=column, else_=len(places))
