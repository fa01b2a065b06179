"""Measurements as Parquet: one table with the columns of the contract, each with its own type; and
the values of one figure.

A coordinate or number that does not apply is null. Each analysis begins a row group, and a group
has few enough rows for the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from app.render.data.clippings import Clipping
from app.results.figures import analyses_of, lines
from core.engine.measurement import COLUMNS, OVERALL, TYPES
from core.files.partial import placed
from storage.database import Database
from storage.listing import Line
from storage.runs import RunSummary

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}

SCHEMA = pa.schema(
    (name, pa.int32() if name in OVERALL else _TYPES[TYPES.get(name, str)]) for name in COLUMNS
)

GROUP = 1 << 15
"""The rows of a row group, at most."""


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The file written."""
    path = folder / "measurements.parquet"
    with placed(path) as part, parquet.ParquetWriter(part, SCHEMA) as file:
        for analysis in analyses_of(run):
            with lines(db, run, analysis) as rows:
                for group in _groups(rows):
                    columns = {
                        name: [_given(line[place]) for line in group]
                        for place, name in enumerate(COLUMNS[1:])
                    }
                    named = {"analysis": [analysis.name] * len(group), **columns}
                    file.write_table(pa.table(named, schema=SCHEMA))
    return [path]


def write_clipping(clip: Clipping, path: Path) -> None:
    """The values of one figure as a table; a column with any text holds only text."""
    columns = [list(column) for column in zip(*clip.rows, strict=True)] or [[] for _ in clip.head]
    typed = [
        pa.array([None if v is None else str(v) for v in column], pa.string())
        if any(isinstance(v, str) for v in column)
        else pa.array(column)
        for column in columns
    ]
    parquet.write_table(pa.table(typed, names=list(clip.head)), path)


def _groups(rows: Iterator[Line]) -> Iterator[list[Line]]:
    """Groups of GROUP rows; an analysis without rows gives one empty group."""
    group = list(islice(rows, GROUP))
    yield group
    while group := list(islice(rows, GROUP)):
        yield group


def _given(value: str | float | None) -> str | float | None:
    return None if value == "" else value
