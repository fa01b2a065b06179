"""Measurements as CSV: all together, and a file an analysis, with the columns of the contract.

Numbers are written so that reading gives the same number again; what does not apply is empty.
"""

from __future__ import annotations

import csv
from pathlib import Path

from app.figures import analyses_of, in_order
from core.measurement import COLUMNS, Measurement
from core.partial import written
from storage import runs
from storage.database import Database
from storage.runs import RunSummary


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The files written."""
    together = folder / "measurements.csv"
    files = [together]
    with written(together) as everything:
        all_rows = csv.writer(everything, lineterminator="\n")
        all_rows.writerow(COLUMNS)
        for analysis in analyses_of(run):
            found = runs.measurements(db, run.id, analysis.name)
            lines = [values(analysis.name, row) for row in in_order(found, analysis, run)]
            path = folder / f"{analysis.name}.csv"
            with written(path) as alone:
                own_rows = csv.writer(alone, lineterminator="\n")
                own_rows.writerow(COLUMNS)
                own_rows.writerows(lines)
            all_rows.writerows(lines)
            files.append(path)
    return files


def values(analysis: str, row: Measurement) -> list[str | int | float | None]:
    """A measurement under COLUMNS."""
    return [analysis, *(getattr(row, name) for name in COLUMNS[1:])]
