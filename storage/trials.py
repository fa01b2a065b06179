"""Trials that a user stored from the bench, by run. Each is a JSON object of any form."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert, select

from core.errors import RunError
from storage.database import Database
from storage.rows import is_time
from storage.schema import RunRow, TrialRow

_LAST = datetime.max.replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class KeptTrial:
    """A trial of a run. `created` in UTC; None if it is damaged. `content`: see
    `app.bench.trials`."""

    id: int
    created: datetime | None
    content: dict[str, Any]


def keep_trial(db: Database, run_id: str, content: Mapping[str, Any]) -> int:
    """Write a trial into a run; returns its id. Numbers that JSON lacks become null. Raises
    RunError if the run is gone."""
    with db.writing() as connection:
        if connection.scalar(select(RunRow.id).where(RunRow.id == run_id)) is None:
            raise RunError(f"There is no run {run_id}.")
        values = {"run_id": run_id, "created": time.time(), "content": _finite(content)}
        inserted = connection.execute(insert(TrialRow).values(values).returning(TrialRow.id))
        return int(inserted.scalar_one())


def trials(db: Database, run_id: str) -> list[KeptTrial]:
    """The trials of a run, oldest first."""
    wanted = select(TrialRow.id, TrialRow.created, TrialRow.content)
    with db.reading() as connection:
        rows = connection.execute(wanted.where(TrialRow.run_id == run_id).order_by(TrialRow.id))
        return [
            KeptTrial(
                row.id,
                _moment(row.created),
                row.content,
            )
            for row in rows
            if isinstance(row.content, dict)
        ]


def _moment(seconds: Any) -> datetime | None:
    known = is_time(seconds) and seconds < _LAST
    return datetime.fromtimestamp(seconds, UTC) if known else None


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
