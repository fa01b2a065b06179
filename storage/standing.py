"""The progress of each analysis of a run: its planned and its finished units.

Knows no engine: the run's worker describes the plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from storage.database import Database

PLANNED = "planned"
"""Under which a worker describes its units by analysis."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The finished units of an analysis, all that are planned (0: not known), and the seconds that
    the finished ones took, whichever run computed them; None where no clock tells."""

    done: int = 0
    total: int = 0
    seconds: float | None = None


def standings(db: Database, run_id: str) -> dict[str, Standing]:
    """The progress of each analysis of a run that has units or plans some."""
    from sqlalchemy import func, select

    from storage.rows import checked, is_time
    from storage.runs import provenance
    from storage.schema import RunUnitRow, UnitRow

    columns = UnitRow.analysis, func.count(), func.sum(UnitRow.seconds)
    wanted = (
        select(*columns)
        .join(RunUnitRow, RunUnitRow.unit_id == UnitRow.id)
        .where(RunUnitRow.run_id == run_id)
        .group_by(UnitRow.analysis)
    )
    planned = provenance(db, run_id).get(PLANNED)
    totals = planned if isinstance(planned, dict) else {}
    counts = {name: n for name, n in totals.items() if type(n) is int and n > 0}
    with db.reading() as connection:
        rows = list(checked(connection.execute(wanted), columns))
    by_analysis = {name: Standing(total=n) for name, n in counts.items()}
    for name, done, seconds in rows:
        known = float(seconds) if is_time(seconds) else None
        by_analysis[name] = Standing(done, max(done, counts.get(name, 0)) if counts else 0, known)
    return by_analysis
