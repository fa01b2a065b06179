"""A whole run as files in a folder: a writer for each format, and one error if one can't write.

A format's imports happen only if it is requested.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from core.errors import RunError, StudyError, did_you_mean
from core.files.making import made
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

Writer = Callable[[Database, RunSummary, Path], list[Path]]


def export(
    db: Database, run_id: str, folder: Path, formats: Sequence[str] | None = None
) -> list[Path]:
    """Write a run into a folder; return the files. `run.json` is always one of them.

    `formats`: all by default. Raises StudyError for an unknown format, RunError when the folder
    can't be written.
    """
    wanted = FORMATS if formats is None else formats
    for name in wanted:
        if name not in _WRITERS:
            raise StudyError(f"There is no format '{name}'.", hint=did_you_mean(name, FORMATS))
    run = runs.find_run(db, run_id)
    files: list[Path] = []
    try:
        if folder.exists() and not folder.is_dir():
            raise StudyError(f"{folder} is a file.", hint="Name a folder.")
        with made(folder, emptied=True):
            for name in dict.fromkeys(("json", *wanted)):
                files += _WRITERS[name](db, run, folder)
    except OSError as error:
        raise RunError(
            f"The export to {folder} failed: {error.strerror or error}.",
            hint="Name a writable folder with enough space.",
        ) from error
    return files


def _json(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.data.record import write

    return write(db, run, folder)


def _csv(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.data import bench, groups, listings, rows

    writers = rows.write, groups.write, listings.write, bench.write
    return [file for write in writers for file in write(db, run, folder)]


def _parquet(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.data.columnar import write

    return write(db, run, folder)


def _markdown(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.data.report import write

    return write(db, run, folder)


def _html(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.html.document import write

    return write(db, run, folder)


def _svg(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.print.plates import write

    return write(db, run, folder, "svg")


def _png(db: Database, run: RunSummary, folder: Path) -> list[Path]:
    from app.render.print.plates import write

    return write(db, run, folder, "png")


_WRITERS: dict[str, Writer] = {
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
    "md": _markdown,
    "html": _html,
    "svg": _svg,
    "png": _png,
}
FORMATS = tuple(_WRITERS)
