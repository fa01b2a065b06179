"""Trials kept from the bench, as CSV: a row for each column of a trial.

Numbers are written so that reading gives the same number again, text by app.render.data.cells.
"""

from __future__ import annotations

from pathlib import Path

from app.bench.trials import HEAD, outcomes
from app.render.data.cells import Rows
from app.render.data.listings import FOLDER
from core.files.partial import written
from storage.database import Database
from storage.runs import RunSummary
from storage.trials import trials


def write(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    """The file written, if the run has trials."""
    results = outcomes(trials(db, run.id))
    if not results:
        return []
    (folder / FOLDER).mkdir(exist_ok=True)
    path = folder / FOLDER / "bench.csv"
    with written(path) as file:
        rows = Rows(file)
        rows.write(("trial", "created", "mode", "prompt", "settings", *HEAD))
        for each in results:
            created = each.created.isoformat() if each.created else ""
            facts = (each.id, created, each.do, each.prompt, each.settings)
            rows.write_all((*facts, *row.values) for row in each.rows)
    return [path]
