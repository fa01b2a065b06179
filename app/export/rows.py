"""Measurements as CSV: all together, and a file an analysis, with the columns of the contract.

Numbers are written so that reading gives the same number again; what does not apply is empty.
"""

from __future__ import annotations

from pathlib import Path

from app.export.cells import Rows
from app.export.files import written
from app.figures import analyses_of, in_order
from core.measurement import COLUMNS, Measurement
from storage import runs
from storage.database import Database
from storage.runs import RunSummary


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The files written."""
    together = folder / "measurements.csv"
    files = [together]
    with written(together) as everything:
        all_rows = Rows(everything)
        all_rows.write(COLUMNS)
        for analysis in analyses_of(run):
            found = runs.measurements(db, run.id, analysis.name)
            lines = [values(analysis.name, row) for row in in_order(found, analysis, run)]
            path = folder / f"{analysis.name}.csv"
            with written(path) as alone:
                own_rows = Rows(alone)
                own_rows.write(COLUMNS)
                own_rows.write_all(lines)
            all_rows.write_all(lines)
            files.append(path)
    return files


def values(analysis: str, row: Measurement) -> list[str | int | float | None]:
    """A measurement under COLUMNS."""
    return [analysis, *(getattr(row, name) for name in COLUMNS[1:])]
