"""Hashes of the tensors of files on disk, remembered from run to run.

Owns when a row still speaks of its file: as long as size, times, inode and device are the same.
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

_BRIEF = 2.0  # seconds that it is worth to wait for


class Remembered:
    """The identities that a database holds, as `core.models.identity` asks for them.

    A file is read again where the database can't be used: that is never an error here.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    def recall(self, stamp: Stamp) -> str | None:
        """The identity of the file that has exactly this stamp; None where it is unknown."""
        wanted = select(IdentityRow.identity).where(*_same(stamp))
        with contextlib.suppress(StorageError), self._db.reading() as connection:
            return connection.scalar(wanted.where(IdentityRow.stamp == _text(stamp)))
        return None

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Remember a file's identity, in place of an older one."""
        told = {"stamp": _text(stamp), "identity": identity}
        put = sqlite.insert(IdentityRow).values(path=_path(stamp), device=str(stamp.device), **told)
        put = put.on_conflict_do_update(index_elements=["path", "device"], set_=told)
        with contextlib.suppress(StorageError), self._db.writing(patience=_BRIEF) as connection:
            connection.execute(put)


def stale(db: Database) -> list[Stamp]:
    """The stamps of remembered files that are gone or have changed, or that lie on another host:
    nobody can tell here what became of these, and to read one again is all that it costs."""
    with db.reading() as connection:
        columns = IdentityRow.path, IdentityRow.device, IdentityRow.stamp
        known = [_stamp(*row) for row in checked(connection.execute(select(*columns)), columns)]
    return [stamp for stamp in known if stamp is not None and not _is_current(stamp)]


def forget(connection: Connection, stamps: Sequence[Stamp]) -> int:
    """Forget files as they were at these stamps; how many."""
    return sum(
        connection.execute(
            delete(IdentityRow).where(*_same(stamp), IdentityRow.stamp == _text(stamp))
        ).rowcount
        for stamp in stamps
    )


def _stamp(path: str, device: str, text: str) -> Stamp | None:
    """The stamp in a row; None for one that no file can have, which is never asked for."""
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
    """The path as SQLite can hold it: names of files need not be text."""
    return stamp.path.encode("utf-8", "backslashreplace").decode()


def _text(stamp: Stamp) -> str:
    """All but path and device; inodes may be too large for SQLite's integers."""
    return f"{stamp.inode} {stamp.size} {stamp.modified} {stamp.changed}"
