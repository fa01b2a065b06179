"""A whole run into a folder: which files each format is, and one error when it can't be written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from app.export import record, report, rows
from core.errors import RunError, StudyError, did_you_mean
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

_WRITERS: dict[str, Callable[[Database, RunSummary, Path], list[Path]]] = {
    "json": record.write,
    "csv": rows.write,
    "md": report.write,
}
FORMATS = tuple(_WRITERS)


def export(db: Database, run_id: str, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a run into a folder, made if need be; the files. `run.json` is always among them.

    Raises StudyError for a format that there is none of, RunError when the folder can't be
    written.
    """
    for name in formats:
        if name not in _WRITERS:
            raise StudyError(f"There is no format '{name}'.", hint=did_you_mean(name, FORMATS))
    run = runs.find_run(db, run_id)
    files: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in dict.fromkeys(("json", *formats)):
            files += _WRITERS[name](db, run, folder)
    except OSError as error:
        raise RunError(
            f"The export to {folder} failed: {error.strerror or error}.",
            hint="Name a folder that you may write, with space for it.",
        ) from error
    return files
