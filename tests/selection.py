"""Which rows a query asks for and what was measured together, decided row by row.

The database answers the same in SQL; tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable

from core.engine.measurement import Measurement
from core.figures.views import Combination, Query

COUNTED = ("layer", "expert", "head")
"""The coordinates that are numbers, as an independent list."""


def matches(query: Query, row: Measurement) -> bool:
    """Is this row one of those asked for?"""
    for name, wanted in query.items():
        value = getattr(row, name)
        absent = value is None if name in COUNTED else value == ""
        if isinstance(wanted, tuple):
            if value not in wanted:
                return False
        elif wanted != "any" and absent != (wanted == "absent"):
            return False
    return True


def selected(query: Query, rows: Iterable[Measurement]) -> list[Measurement]:
    """The rows asked for, in their order."""
    return [row for row in rows if matches(query, row)]


def combinations(rows: Iterable[Measurement]) -> frozenset[Combination]:
    """What rows were measured at, whatever the part of the model."""
    return frozenset(
        Combination(
            metric=row.metric, model=row.model, reference=row.reference, task=row.task,
            setting=row.setting, metric_of=row.metric_of, probe=row.probe,
        )
        for row in rows
    )  # fmt: skip
