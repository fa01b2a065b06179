"""Garbage of a database: units, rows, files of arrays and logs that no run refers to, singular
bases, and hashes of missing files. Owns their removal.

Workers may write meanwhile, from other hosts too. So each item is checked again under the lock of
its removal, and only a few items are removed at a time: no worker waits for long.
"""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, delete, func, select

from core.errors import StorageError
from core.files import partial
from storage import identities
from storage.beats import SUFFIX
from storage.database import Database
from storage.runs import list_runs
from storage.schema import ArtifactRow, RunRow, RunUnitRow, UnitRow

HOUR = 3600.0
"""Least age in seconds of a removed file: a file is written before the row that refers to it."""

_UNITS = 20  # units at a time; one may have a hundred thousand rows
_FILES = 200
_STINT = 0.5  # seconds before a rest
_REST = 0.15  # seconds; a waiting process tries again every tenth of a second
_HEADER = b"SQLite format 3\x00"

_UNUSED = ~select(RunUnitRow.unit_id).where(RunUnitRow.unit_id == UnitRow.id).exists()
_Item = TypeVar("_Item")
_Referred = Callable[[Connection, Sequence[str]], set[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """The freed garbage, or the garbage to free. `notes` report exceptions and their reasons.

    `identities`: cached hashes of missing or changed model files. `database_bytes`: the decrease of
    the database's file; 0 in a dry run, since it is unknown.
    """

    units: int
    files: int
    file_bytes: int
    identities: int = 0
    database_bytes: int = 0
    notes: tuple[str, ...] = ()


def collect(db: Database, *, dry_run: bool = False, age: float = HOUR) -> Collected:
    """Remove units that no run refers to, then files older than `age` seconds, then free disk
    space.

    `dry_run` changes nothing. Raises StorageError when a file can't be deleted.
    """
    notes = []
    units = _collect_units(db, dry_run)
    forgotten = _collect_identities(db, dry_run)
    sizes: list[int] = []
    namesake = _namesake(db.path)
    if namesake is None:
        before = time.time() - age
        parts = _collect_parts(db.folder("artifacts"), dry_run)
        sizes += parts.values()
        for kind, patterns, referred in _KINDS:
            files = [path for each in patterns for path in db.folder(kind).glob(each)]
            files = [path for path in files if path not in parts]
            sizes += _collect_files(db, db.folder(kind), files, referred, before, dry_run)
    else:
        notes.append(
            f"No files were removed: {namesake} has the same folders. Rename one of the two."
        )
    shrunk = 0
    if not dry_run and any(run.status == "running" for run in list_runs(db)):
        # Rewriting the file blocks writers for longer than a worker waits.
        if units:
            notes.append(
                "The database's file will shrink at the next collection without a running run."
            )
    elif not dry_run:
        try:
            shrunk = db.compact()
        except StorageError as error:
            notes.append(f"The database's file kept its size. {error.title}")
    return Collected(
        units=units,
        files=len(sizes),
        file_bytes=sum(sizes),
        identities=forgotten,
        database_bytes=shrunk,
        notes=tuple(notes),
    )


def _collect_units(db: Database, dry_run: bool) -> int:
    """Delete the units that no run refers to, with their rows; returns their number."""
    with db.reading() as connection:
        if dry_run:
            counted = select(func.count()).select_from(UnitRow).where(_UNUSED)
            return int(connection.scalar(counted) or 0)
        unused = connection.scalars(select(UnitRow.id).where(_UNUSED)).all()
    gone = 0
    for chunk in _in_turns(unused, _UNITS):
        with db.writing() as connection:
            wanted = delete(UnitRow).where(UnitRow.id.in_(chunk), _UNUSED)
            gone += connection.execute(wanted).rowcount
    return gone


def _collect_identities(db: Database, dry_run: bool) -> int:
    """Delete the cached hashes of missing or changed model files; returns their number."""
    stale = identities.stale(db)
    if dry_run:
        return len(stale)
    gone = 0
    for chunk in _in_turns(stale, _FILES):
        with db.writing() as connection:
            gone += identities.forget(connection, chunk)
    return gone


def _collect_parts(folder: Path, dry_run: bool) -> dict[Path, int]:
    """Remove the partial files of killed workers; returns them with their sizes."""
    sizes: dict[Path, int] = {}
    for below in folder.glob("??"):
        sizes |= {path: _age_and_size(path)[1] for path in partial.left(below)}
        if not dry_run:
            partial.sweep(below)
    return sizes


def _collect_files(
    db: Database,
    folder: Path,
    files: Sequence[Path],
    referred: _Referred,
    before: float,
    dry_run: bool,
) -> list[int]:
    """Delete the files last written before the time `before` without a reference; returns their
    sizes."""
    sizes = []
    old = [path for path in files if _age_and_size(path)[0] < before]
    for chunk in _in_turns(old, _FILES):
        named = {path.relative_to(folder).as_posix(): path for path in chunk}
        with db.reading() if dry_run else db.writing() as connection:
            for name in named.keys() - referred(connection, list(named)):
                path = named[name]
                written, size = _age_and_size(path)
                if written >= before:  # it was written again meanwhile
                    continue
                if not dry_run:
                    _delete(path)
                sizes.append(size)
    return sizes


def _in_turns(items: Sequence[_Item], count: int) -> Iterator[Sequence[_Item]]:
    """Batches of `count` items, with regular pauses for workers."""
    begun = time.monotonic()
    for start in range(0, len(items), count):
        if time.monotonic() - begun > _STINT:
            time.sleep(_REST)
            begun = time.monotonic()
        yield items[start : start + count]


def _referred_arrays(connection: Connection, paths: Sequence[str]) -> set[str]:
    wanted = select(ArtifactRow.path).join(RunUnitRow, RunUnitRow.unit_id == ArtifactRow.unit_id)
    return set(connection.scalars(wanted.where(ArtifactRow.path.in_(paths))))


def _referred_logs(connection: Connection, names: Sequence[str]) -> set[str]:
    """The referred logs among these names. Logs and heartbeat files are named after their run."""
    by_run = {name: Path(name).stem for name in names}
    wanted = select(RunRow.id).where(RunRow.id.in_(set(by_run.values())))
    known = set(connection.scalars(wanted))
    return {name for name, run in by_run.items() if run in known}


def _referred_bases(connection: Connection, names: Sequence[str]) -> set[str]:
    """No row refers to a basis: all can be computed again."""
    return set()


_KINDS: tuple[tuple[str, tuple[str, ...], _Referred], ...] = (
    ("artifacts", ("??/*.npz", "??/.part-*", f"??/.*{partial.MARK}*"), _referred_arrays),
    ("bases", ("??/*.npz", f"??/.*{partial.MARK}*"), _referred_bases),
    ("logs", ("*.log", f"*{SUFFIX}"), _referred_logs),
)


def _age_and_size(path: Path) -> tuple[float, int]:
    """The file's time of writing and its bytes; an inaccessible file counts as new."""
    try:
        status = path.stat()
    except OSError:
        return time.time(), 0
    return status.st_mtime, status.st_size


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} can't be deleted: {error.strerror or error}.",
            hint="Correct the permissions of its folder; earlier files are already deleted.",
        ) from error


def _namesake(path: Path) -> Path | None:
    """Another database with the same folders: x.sqlite beside x.db."""
    for other in path.parent.glob(f"{glob.escape(path.stem)}.*"):
        # Names that begin with the whole name are this database's temporary journals.
        alike = other.stem == path.stem and not other.name.startswith(path.name)
        if alike and _is_database(other):
            return other
    return None


def _is_database(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEADER)) == _HEADER
    except OSError:  # for instance a folder
        return False
