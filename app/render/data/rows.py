"""Measurements as CSV: one file with all, and one file per analysis, with the columns of the
contract.

Numbers are written so that reading gives the same number again; an empty field does not apply.
"""

from __future__ import annotations

from pathlib import Path

from app.render.data.cells import Rows
from app.results.figures import analyses_of, lines
from core.engine.measurement import COLUMNS
from core.files.partial import written
from storage.database import Database
from storage.runs import RunSummary


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """Write the files and return them."""
    together = folder / "measurements.csv"
    files = [together]
    with written(together) as everything:
        all_rows = Rows(everything)
        all_rows.write(COLUMNS)
        for analysis in analyses_of(run):
            path = folder / f"{analysis.name}.csv"
            with written(path) as alone, lines(db, run, analysis) as rows:
                own_rows = Rows(alone)
                own_rows.write(COLUMNS)
                for line in rows:
                    own_rows.write((analysis.name, *line))
                    all_rows.write((analysis.name, *line))
            files.append(path)
    return files
