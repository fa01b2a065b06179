"""Parts of slices in the database. Owns their form and their removal.

An unreadable part counts as missing and is computed again.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import sqlite

from core.engine.measurement import TYPES, Measurement, UnitPart
from storage.artifacts import UNREADABLE
from storage.results import SELECTED
from storage.rows import ColumnMisfitError, is_time, misfits
from storage.schema import PartRow

_ROWS = "rows"  # the key of rows
_WARNINGS = "warnings"  # the key of warnings, if there are any; arrays' names have this prefix:
_ARRAY = "="


def put(
    connection: Connection, run_id: str, slice: str, parts: Mapping[str, UnitPart], seconds: float
) -> None:
    """Store parts with their total seconds."""
    rows = [
        {
            "run_id": run_id, "slice": slice, "step": step,
            "seconds": seconds / len(parts), "content": _packed(part),
        }
        for step, part in parts.items()
    ]  # fmt: skip
    if rows:
        put = sqlite.insert(PartRow)
        values = {name: getattr(put.excluded, name) for name in ("seconds", "content")}
        key = ["run_id", "slice", "step"]
        connection.execute(put.on_conflict_do_update(index_elements=key, set_=values), rows)


def get(connection: Connection, run_id: str, slice: str) -> tuple[dict[str, UnitPart], float]:
    """The parts of a slice by step, and their total seconds."""
    wanted = select(PartRow.step, PartRow.content, PartRow.seconds).where(
        PartRow.run_id == run_id, PartRow.slice == slice
    )
    by_step, seconds = {}, 0.0
    for step, content, took in connection.execute(wanted):
        part = _unpacked(content)
        if part is not None and isinstance(step, str) and is_time(took):
            by_step[step] = part
            seconds += took
    return by_step, seconds


def forget(connection: Connection, run_id: str, slice: str | None = None) -> None:
    """Remove the parts of a slice, or all parts of a run."""
    mine = delete(PartRow).where(PartRow.run_id == run_id)
    connection.execute(mine if slice is None else mine.where(PartRow.slice == slice))


def _packed(part: UnitPart) -> bytes:
    rows = [[getattr(row, name) for name in TYPES] for row in part.rows]
    arrays = {f"{_ARRAY}{name}": array for name, array in part.arrays.items()}
    arrays[_ROWS] = _text(rows)
    if part.warnings:
        arrays[_WARNINGS] = _text(part.warnings)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _text(value: Any) -> NDArray[Any]:
    text = json.dumps(value, default=lambda number: number.item())
    return np.frombuffer(text.encode(), np.uint8)


def _unpacked(content: Any) -> UnitPart | None:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            rows = json.loads(file[_ROWS].tobytes())
            said = json.loads(file[_WARNINGS].tobytes()) if _WARNINGS in file.files else []
            names = [n for n in file.files if n.startswith(_ARRAY)]
            arrays = {n.removeprefix(_ARRAY): file[n] for n in names}
        warnings = [(str(subject), str(message)) for subject, message in said]
        return UnitPart([_measurement(row) for row in rows], arrays, warnings)
    except UNREADABLE:
        return None


def _measurement(row: list[Any]) -> Measurement:
    wrong = misfits(row, SELECTED)
    if wrong:
        raise ColumnMisfitError(wrong[0])
    return Measurement(**dict(zip(TYPES, row, strict=True)))
