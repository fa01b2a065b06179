"""One SQLite file: opening it, its transactions, and its errors as StorageErrors.

Owns every connection to the file; nothing else opens one. Knows no table.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool

from core.errors import BusyError, StorageError
from core.study.places import expanded, resolved
from storage import journal, rows, upgrade
from storage.access import Access
from storage.journal import Journal
from storage.patience import PATIENCE, TURN, Waiting, is_lock, patiently, say_nothing

VARIABLE = "TAUSCOPE_DB"

_WORTHWHILE = 0.05  # least unused share of a file for rewriting it


def open_database(
    url: str | None = None,
    *,
    write: bool | None = None,
    patience: float = PATIENCE,
    waiting: Waiting = say_nothing,
) -> Database:
    """Open a database; create or upgrade it if needed and possible.

    `url` is a path or `sqlite:///path`; None is TAUSCOPE_DB, else a file in the user's data folder.
    `write` None opens an unwritable file for reading. `patience`: seconds to wait while another
    process writes; `waiting` is called meanwhile. Raises StorageError, or BusyError after
    `patience`.
    """
    path = path_of(url)
    if os.path.isdir(path):  # noqa: PTH112 - an inaccessible folder counts as none
        raise StorageError(f"{path} is a folder.", hint="Name a file in it with --db.")
    obstacle = _obstacle(path)
    there = os.path.exists(path)  # noqa: PTH110
    if write is False or (write is None and obstacle and there):
        with _explained(path):
            return patiently(lambda: _opened_to_read(path, patience, waiting), patience, waiting)
    if obstacle:
        raise StorageError(obstacle, hint="Name a writable file with --db.")
    with _explained(path):
        return patiently(lambda: _opened_to_write(path, patience, waiting), patience, waiting)


def path_of(url: str | None) -> Path:
    """The absolute path of a url, without symbolic links: one file has one path, and so one folder
    of artifacts, one of logs and one of benches."""
    if url is not None and not url.strip():
        raise StorageError("The name of the database is empty.", hint="Name a file with --db.")
    text = url or os.environ.get(VARIABLE)
    if not text:
        from platformdirs import user_data_path

        return resolved(user_data_path("tauscope", appauthor=False) / "tauscope.db")
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
        raise StorageError("The name of the database contains a null character.")
    try:
        return resolved(expanded(name))
    except OSError:
        raise StorageError(
            f"There is no folder for the database {name}: the working folder is deleted.",
            hint="Give an absolute path.",
        ) from None


class Database:
    """An open database, thread-safe. `writable` False: read-only."""

    def __init__(
        self, path: Path, journal: Journal, *, writable: bool, patience: float, waiting: Waiting
    ) -> None:
        self.path = path
        self.journal = journal
        self.writable = writable
        self._patience = patience
        self.waiting = waiting
        self._file = _identity(path)
        self._engine = create_engine(
            "sqlite://",
            creator=self._connect,
            json_deserializer=rows.read_json,
            # Another process may change the journal of a read-only file, so ask each time.
            poolclass=QueuePool if writable else NullPool,
        )

    @property
    def url(self) -> str:
        """The url of this file for `open_database`."""
        return f"sqlite:///{self.path}"

    @property
    def access(self) -> Access:
        """The permissions of files beside the database. Raises StorageError if the database is
        gone."""
        try:
            return Access.of(self.path)
        except OSError as error:
            raise StorageError(
                f"The database {self.path} can't be used: {error.strerror}.",
                hint="Check for a moved or deleted file.",
            ) from None

    def folder(self, kind: str) -> Path:
        """A folder beside the database, for data outside of it."""
        return self.path.with_name(f"{self.path.stem}.{kind}")

    @contextmanager
    def reading(self, *, waiting: Waiting | None = None) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout.

        `waiting` is called while another process has the lock. Raises StorageError.
        """
        self._check_in_place()
        with _explained(self.path), self._engine.connect() as connection:
            driver = _own(connection)
            driver.execute("BEGIN")
            # The first read fixes the state: with a rollback journal no writer blocks it later.
            self._patiently(
                lambda: driver.execute("PRAGMA schema_version").fetchone(), None, waiting
            )
            yield connection

    @contextmanager
    def writing(
        self, *, patience: float | None = None, waiting: Waiting | None = None
    ) -> Iterator[Connection]:
        """An exclusive write transaction: all or nothing.

        `patience` and `waiting` replace the database's own. Raises StorageError.
        """
        if not self.writable:
            raise StorageError(
                f"{self.path} can only be read.",
                hint="Ask its owner for permission to write, or name another file with --db.",
            )
        self._check_in_place()
        with _explained(self.path), self._engine.connect() as connection:
            # Takes the lock at once: a reader may fail to become a writer later.
            driver = _own(connection)
            self._patiently(lambda: driver.execute("BEGIN IMMEDIATE"), patience, waiting)
            yield connection
            # With a rollback journal, readers must end first.
            self._patiently(lambda: driver.execute("COMMIT"), patience, waiting)

    def compact(self) -> int:
        """Return unused space to the file system, if it is enough; returns the freed bytes.

        Rewrites the file, which blocks writers meanwhile. The disk needs space for a second copy;
        without it this fails and nothing is lost.
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

    def _patiently(
        self, attempt: Callable[[], object], patience: float | None, waiting: Waiting | None
    ) -> None:
        patience = self._patience if patience is None else patience
        patiently(attempt, patience, waiting or self.waiting)

    def _check_in_place(self) -> None:
        """Raise StorageError if another file has replaced ours: continuing would apply the old
        journal to the new file."""
        if self.journal.mode == "wal" and _identity(self.path) != self._file:
            raise StorageError(
                f"The database {self.path} was deleted or replaced while it was open.",
                hint="Nothing is written to it. Close all programs with the old one open, and "
                f"remove {self.path.name}-wal and -shm if they belong to it, before you continue.",
            )

    def close(self) -> None:
        """Close unused connections."""
        self._engine.dispose()

    def _connect(self) -> sqlite3.Connection:
        return patiently(self._connected, self._patience, self.waiting)

    def _connected(self) -> sqlite3.Connection:
        if self.writable:
            connection = _connection(self.path, "rw", min(self._patience, TURN))
            durable = "NORMAL" if self.journal.mode == "wal" else "FULL"
            connection.execute(f"PRAGMA synchronous = {durable}")
        else:
            connection = _reader(self.path, min(self._patience, TURN))
        connection.execute("PRAGMA foreign_keys = ON")
        return connection


def _opened_to_write(path: Path, patience: float, waiting: Waiting) -> Database:
    """Open the file for writing; create or upgrade it. Waits for at most a TURN."""
    turn = min(patience, TURN)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder {path.parent} can't be made: {error.strerror}.",
            hint="Name a writable file with --db.",
        ) from None
    with closing(_connection(path, "rwc", turn)) as connection:
        upgrade.check(connection, path)
        chosen = journal.settle(connection, path, patience=turn)
        upgrade.upgrade(connection, path)
    return Database(path, chosen, writable=True, patience=patience, waiting=waiting)


def _opened_to_read(path: Path, patience: float, waiting: Waiting) -> Database:
    """Open the file for reading. Waits for at most a TURN."""
    if not os.path.exists(path):  # noqa: PTH110
        raise StorageError(f"There is no database {path} yet.", hint="The first run creates it.")
    with closing(_reader(path, min(patience, TURN))) as connection:
        upgrade.check(connection, path)
        version = upgrade.version_of(connection)
        if version < upgrade.latest():
            raise StorageError(
                f"{path} has the schema of an older tauscope (version {version} of "
                f"{upgrade.latest()}) and can't be upgraded, since it is read-only.",
                hint="Let its owner open it once with this version, or copy it.",
            )
        chosen = journal.current(connection)
    return Database(path, chosen, writable=False, patience=patience, waiting=waiting)


def _own(connection: Connection) -> sqlite3.Connection:
    """SQLite's own connection: SQLAlchemy treats a failed attempt as the end of a transaction."""
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    return driver


def _connection(path: Path, mode: str, turn: float, more: str = "") -> sqlite3.Connection:
    """A connection without automatic transactions. It creates no file unless `mode` allows it."""
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}{more}",
        uri=True,
        timeout=turn,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = rows.read_text
    return connection


def _reader(path: Path, turn: float) -> sqlite3.Connection:
    """A read-only connection, also in a folder where WAL's own files can't be created."""
    connection = _connection(path, "ro", turn)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if is_lock(error) or path.with_name(f"{path.name}-wal").exists():
            raise
        # No process has it open, so the file alone is complete.
        return _connection(path, "ro", turn, "&immutable=1")
    return connection


def _identity(path: Path) -> tuple[int, int] | None:
    """The device and inode of a file; None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _obstacle(path: Path) -> str:
    """The reason that the file can't be written, or ""."""
    if os.path.exists(path) and not os.access(path, os.W_OK):  # noqa: PTH110
        return f"{path} can't be written."
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    # The journal is beside the file.
    return "" if os.access(folder, os.W_OK) else f"The folder {folder} can't be written."


_DAMAGED = "Restore a copy, or name another file with --db."
_HINTS = (
    ("locked", "Another process has locked it. Try again in a moment."),
    ("disk is full", "Free some space; earlier results are stored."),
    ("disk I/O", "Check its disk and file system: is there space, and do they respond?"),
    (
        "readonly",
        "Check its permissions, and the permissions of its -wal and -shm and of their folder.",
    ),
    ("unable to open", "Check that it still exists, and that its folder is writable."),
    ("not a database", "Name another file with --db."),
    ("malformed", _DAMAGED),
)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn any error of SQLite into a StorageError with a hint."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        words = str(getattr(error, "orig", None) or error)
        hint = next((hint for sign, hint in _HINTS if sign in words), "")
        kind = BusyError if is_lock(error) else StorageError
        raise kind(f"The database {path} can't be used: {words}.", hint=hint) from error
    except rows.ColumnMisfitError as error:
        raise StorageError(f"The database {path} can't be read: {error}.", hint=_DAMAGED) from None
