"""Hashes of the tensors of files on disk, cached across runs.

Owns the validity of a row: it holds while size, times, inode and device of the file are the same.
Reads no file: core.models.identity does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, delete, select
from sqlalchemy.dialects import sqlite

from core.errors import CheckpointError, StorageError
from core.models.identity import Stamp, stamp_of
from storage.database import Database
from storage.rows import checked
from storage.schema import IdentityRow

_BRIEF = 2.0  # seconds to wait for the database


class Remembered:
    """The cached identities of a database, for `core.models.identity`.

    If the database can't be used, the file is read again: this is not an error here.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def recall(self, stamp: Stamp) -> str | None:
        """The identity of the file with exactly this stamp; None if it is unknown."""
        wanted = select(IdentityRow.identity).where(*_same(stamp))
        with contextlib.suppress(StorageError), self._db.reading() as connection:
            return connection.scalar(wanted.where(IdentityRow.stamp == _text(stamp)))
        return None

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Store a file's identity in place of an older one."""
        values = {"stamp": _text(stamp), "identity": identity}
        put = sqlite.insert(IdentityRow).values(
            path=_path(stamp), device=str(stamp.device), **values
        )
        put = put.on_conflict_do_update(index_elements=["path", "device"], set_=values)
        with contextlib.suppress(StorageError), self._db.writing(patience=_BRIEF) as connection:
            connection.execute(put)


def stale(db: Database) -> list[Stamp]:
    """The stamps of cached files that are missing, changed or on another host. Files on other hosts
    can't be checked here; reading one again is the only cost."""
    with db.reading() as connection:
        columns = IdentityRow.path, IdentityRow.device, IdentityRow.stamp
        known = [_stamp(*row) for row in checked(connection.execute(select(*columns)), columns)]
    return [stamp for stamp in known if stamp is not None and not _is_current(stamp)]


def forget(connection: Connection, stamps: Sequence[Stamp]) -> int:
    """Delete the entries with these stamps; returns their number."""
    return sum(
        connection.execute(
            delete(IdentityRow).where(*_same(stamp), IdentityRow.stamp == _text(stamp))
        ).rowcount
        for stamp in stamps
    )


def _stamp(path: str, device: str, text: str) -> Stamp | None:
    """The stamp in a row; None for an impossible one."""
    try:
        inode, size, modified, changed = map(int, text.split())
        return Stamp(path, int(device), inode, size, modified, changed)
    except ValueError:
        return None


def _is_current(stamp: Stamp) -> bool:
    try:
        return stamp_of(Path(stamp.path)) == stamp
    except CheckpointError:
        return False


def _same(stamp: Stamp) -> tuple[ColumnElement[bool], ...]:
    return IdentityRow.path == _path(stamp), IdentityRow.device == str(stamp.device)


def _path(stamp: Stamp) -> str:
    """The path as text for SQLite: names of files need not be UTF-8."""
    return stamp.path.encode("utf-8", "backslashreplace").decode()


def _text(stamp: Stamp) -> str:
    """The stamp without path and device, as text: inodes may be too large for SQLite's integers."""
    return f"{stamp.inode} {stamp.size} {stamp.modified} {stamp.changed}"
