"""Which direction of each of a run's metrics is better, out of the states of its units.

The harness says so at each scoring. Owns the reading of that part of a state, and checks it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Text, cast, select

from core.engine.measurement import Better
from core.figures.views import agreed
from storage.rows import read_json
from storage.schema import RunUnitRow, UnitRow

_DEPTH = 3
"""Levels of a state: its parts, the tasks in the scores of arithmetic, the metrics."""


def of_metrics(connection: Connection, run_id: str, analysis: str) -> dict[str, Better]:
    """The better direction of each metric that this analysis of a run scored; none of a metric
    whose tasks disagree."""
    state = cast(UnitRow.state, Text)
    wanted = (
        select(state)
        .join(RunUnitRow, RunUnitRow.unit_id == UnitRow.id)
        .where(
            RunUnitRow.run_id == run_id, UnitRow.analysis == analysis, state.contains('"higher"')
        )
        .distinct()
    )
    return agreed(pair for text in connection.scalars(wanted) for pair in _told(read_json(text)))


def _told(state: Any, depth: int = _DEPTH) -> Iterator[tuple[str, Better]]:
    """Metrics with their direction."""
    if not isinstance(state, Mapping) or not depth:
        return
    for name, inner in state.items():
        higher = inner.get("higher") if isinstance(inner, Mapping) else None
        if isinstance(higher, bool):
            yield name, "higher" if higher else "lower"
        else:
            yield from _told(inner, depth - 1)
