"""One SQLite file: opening it, its transactions, and its faults as StorageErrors.

Owns every connection to the file; nothing else opens one. Knows no table.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from core.errors import StorageError
from core.places import expanded
from storage import journal, rows, upgrade
from storage.journal import Journal

VARIABLE = "TAUSCOPE_DB"

_WORTHWHILE = 0.05  # the unused share of a file for which it is rewritten


def open_database(
    url: str | None = None, *, write: bool | None = None, patience: float = 10.0
) -> Database:
    """Open a database, made or upgraded where that is needed and possible.

    `url` is a path or `sqlite:///path`; None is TAUSCOPE_DB, else a file in the user's data
    folder. `write` None settles for reading where the file can't be written. `patience` is how
    many seconds to wait while another process writes.
    """
    path = path_of(url)
    if os.path.isdir(path):  # noqa: PTH112 - one that may not be looked at is none
        raise StorageError(f"{path} is a folder.", hint="Name a file in it with --db.")
    obstacle = _obstacle(path)
    there = os.path.exists(path)  # noqa: PTH110
    if write is False or (write is None and obstacle and there):
        with _explained(path):
            return _opened_to_read(path, patience)
    if obstacle:
        raise StorageError(obstacle, hint="Name a file that you may write with --db.")
    with _explained(path):
        return _opened_to_write(path, patience)


def path_of(url: str | None) -> Path:
    """The file that a url stands for, absolute."""
    if url is not None and not url.strip():
        raise StorageError("The name of the database is empty.", hint="Name a file with --db.")
    text = url or os.environ.get(VARIABLE)
    if not text:
        from platformdirs import user_data_path

        return user_data_path("tauscope", appauthor=False) / "tauscope.db"
    if "://" in text and not text.startswith("sqlite:///"):
        scheme = text.partition("://")[0]
        raise StorageError(
            f"A database can't be at a '{scheme}' address: {text}.",
            hint="Give a path, or sqlite:///path.",
        )
    name = text.removeprefix("sqlite:///")
    if name in ("", ":memory:"):
        raise StorageError(
            "A database in memory can't be shared with a worker.", hint="Give the path of a file."
        )
    if "\x00" in name:
        raise StorageError("The name of the database holds a null character.")
    return expanded(name).absolute()


class Database:
    """An open database; safe to share between threads. `writable` False: it can only be read."""

    def __init__(self, path: Path, journal: Journal, *, writable: bool, patience: float) -> None:
        self.path = path
        self.journal = journal
        self.writable = writable
        self._patience = patience
        self._file = _identity(path)
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect,
            json_deserializer=rows.read_json,
            # A file that is only read may change its journal under us: look afresh each time.
            poolclass=QueuePool if writable else NullPool,
        )

    @property
    def url(self) -> str:
        """What `open_database` opens this file by."""
        return f"sqlite:///{self.path}"

    def folder(self, kind: str) -> Path:
        """The folder beside the file for what is kept outside of it."""
        return self.path.with_name(f"{self.path.stem}.{kind}")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout."""
        self._check_in_place()
        with _explained(self.path), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that alone may write: all of it is kept, or nothing."""
        if not self.writable:
            raise StorageError(
                f"{self.path} can only be read.",
                hint="Ask its owner for permission to write, or name another file with --db.",
            )
        self._check_in_place()
        with _explained(self.path), self._engine.connect() as connection:
            # Taking the lock at once: a reader that turns writer later may find that it can't.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    def compact(self) -> int:
        """Hand unused space back to the file system, if it is worth it; the bytes handed back.

        The file is rewritten, and nobody can write meanwhile. Its disk needs room for a second
        one, so this may well fail; nothing is lost then.
        """
        self._check_in_place()
        with _explained(self.path), self._engine.connect() as connection:

            def ask(name: str) -> int:
                return int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

            before = ask("page_count")
            if ask("freelist_count") < before * _WORTHWHILE:
                return 0
            connection.exec_driver_sql("VACUUM")
            if self.journal.mode == "wal":
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            return (before - ask("page_count")) * ask("page_size")

    def _check_in_place(self) -> None:
        """Raise StorageError where another file has the name of ours: to go on would play the
        journal of the old one into the new."""
        if self.journal.mode == "wal" and _identity(self.path) != self._file:
            raise StorageError(
                f"The database {self.path} was deleted or replaced while it was open.",
                hint=f"Nothing is written to it. Close all that have the old one open, and take "
                f"{self.path.name}-wal and -shm away if they are the old one's, before you go on.",
            )

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        if self.writable:
            connection = _connection(self.path, "rw", self._patience)
            durable = "NORMAL" if self.journal.mode == "wal" else "FULL"
            connection.execute(f"PRAGMA synchronous = {durable}")
        else:
            connection = _reader(self.path, self._patience)
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


def _opened_to_write(path: Path, patience: float) -> Database:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {path.parent} can't be made: {error.strerror}.",
            hint="Name a file that you may write with --db.",
        ) from None
    with closing(_connection(path, "rwc", patience)) as connection:
        upgrade.check(connection, path)
        chosen = journal.settle(connection, path, patience=patience)
        upgrade.upgrade(connection, path)
    return Database(path, chosen, writable=True, patience=patience)


def _opened_to_read(path: Path, patience: float) -> Database:
    if not os.path.exists(path):  # noqa: PTH110
        raise StorageError(f"There is no database {path} yet.", hint="A first run makes it.")
    with closing(_reader(path, patience)) as connection:
        upgrade.check(connection, path)
        version = upgrade.version_of(connection)
        if version < upgrade.latest():
            raise StorageError(
                f"{path} has the schema of an older tauscope (version {version} of "
                f"{upgrade.latest()}) and can't be upgraded, since it can only be read.",
                hint="Let its owner open it once with this version, or copy it.",
            )
        chosen = journal.found(connection)
    return Database(path, chosen, writable=False, patience=patience)


def _connection(path: Path, mode: str, patience: float, more: str = "") -> sqlite3.Connection:
    """A connection that begins no transaction by itself. It never makes a file unless told to."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}{more}",
        uri=True,
        timeout=patience,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = rows.read_text
    return connection


def _reader(path: Path, patience: float) -> sqlite3.Connection:
    """A connection that only reads, also from a folder where WAL's own files can't be made."""
    connection = _connection(path, "ro", patience)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        if path.with_name(f"{path.name}-wal").exists():
            raise
        # Nobody has it open: the file alone is the whole truth.
        return _connection(path, "ro", patience, "&immutable=1")
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    """What no two files have in common; None where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _obstacle(path: Path) -> str:
    """Why the file can't be written, or nothing."""
    if os.path.exists(path) and not os.access(path, os.W_OK):  # noqa: PTH110
        return f"{path} can't be written."
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    # The journal lies beside the file.
    return "" if os.access(folder, os.W_OK) else f"The folder {folder} can't be written."


_DAMAGED = "Restore a copy, or name another file with --db."
_HINTS = (
    ("locked", "Another process has been writing to it for long. Try again in a moment."),
    ("disk is full", "Free some space; what was finished before is kept."),
    ("disk I/O", "The disk is full, or it or the network file system failed. See to that first."),
    ("readonly", "Its permissions, or those of its -wal and -shm, may have changed meanwhile."),
    ("unable to open", "It may have been moved or deleted, or its folder can't be written."),
    ("not a database", "Name another file with --db."),
    ("malformed", f"The file is damaged. {_DAMAGED}"),
)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """The one place where a fault of SQLite becomes an error that says what to do."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        words = str(getattr(error, "orig", None) or error)
        hint = next((hint for sign, hint in _HINTS if sign in words), "")
        raise StorageError(f"The database {path} can't be used: {words}.", hint=hint) from error
    except rows.MisfitError as error:
        raise StorageError(f"The database {path} is damaged: {error}.", hint=_DAMAGED) from None
