"""Whole tables and texts as CSV: a file for each view, or for each model that it shows.

Numbers are written so that reading gives the same number again, text by app.render.data.cells.
"""

from __future__ import annotations

from pathlib import Path

from app.render.data.clippings import as_csv, clipping
from app.results.figures import analyses_of, shown_together
from core.figures.views import Kind
from core.files.partial import written
from storage.database import Database
from storage.runs import RunSummary

FOLDER = "tables"
KINDS: tuple[Kind, ...] = ("table", "text")


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The files written, in a folder of their own if there are any."""
    files = []
    for analysis in analyses_of(run):
        for together in shown_together(db, run, analysis, KINDS):
            for each in together:
                (folder / FOLDER).mkdir(exist_ok=True)
                path = folder / FOLDER / f"{each.name}.csv"
                with written(path) as file:
                    file.write(as_csv(clipping(each.figure)))
                files.append(path)
    return files
