"""Bring a database file to this version's schema, one transaction a step.

Owns the order of the steps and the refusal of foreign files. Two processes may open a new file at
the same moment, so each step checks the version again under the lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from core.errors import StorageError

APPLICATION = 1952544115
"""The bytes 'taus', written into the header of every tauscope database."""


def upgrade(connection: sqlite3.Connection, path: Path) -> None:
    """Apply the steps that the file lacks. The connection must not begin transactions itself."""
    check(connection, path)
    while version_of(connection) < latest():
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = version_of(connection)
            if version < latest():
                for statement in _statements(steps()[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def check(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageError if the file belongs to another program or a newer version."""
    # In one transaction: another process may be creating this file between two queries.
    connection.execute("BEGIN")
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        version = version_of(connection)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if tables and application != APPLICATION:
        raise StorageError(
            f"{path} is a database of another program.", hint="Name another file with --db."
        )
    if version < 0 or (version == 0 and tables):
        raise StorageError(
            f"{path} can't be used: the version of its schema is {version}.",
            hint="Restore a copy, or name another file with --db.",
        )
    if version > latest():
        raise StorageError(
            f"{path} was written by a newer tauscope: its schema is version {version}, "
            f"this one reads versions up to {latest()}.",
            hint="Upgrade tauscope, or name another file with --db.",
        )


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the file's schema; 0 for a new file."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def latest() -> int:
    """The schema version that this program writes."""
    return len(steps())


@cache
def steps() -> tuple[str, ...]:
    """The SQL of every step, in order."""
    folder = files("storage.migrations")
    scripts = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(f.read_text(encoding="utf-8") for f in scripts)


def _statements(script: str) -> Iterator[str]:
    """Split a script, since `executescript` would commit halfway."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
