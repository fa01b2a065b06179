"""The journal mode of a database, by its file system.

WAL lets readers and a writer work at once, but its readers share memory: over a network file system
two hosts would each use their own memory and corrupt the file. There a rollback journal with
waiting is slower and safe.
"""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from storage.patience import is_lock

_NETWORK = (
    "nfs", "lustre", "gpfs", "beegfs", "cifs", "smb", "afs", "ceph", "gluster", "panfs", "pvfs",
    "orangefs", "9p", "ncpfs", "vboxsf", "prl_fs", "webdav", "davfs", "osxfuse", "macfuse",
)  # fmt: skip
_LOCAL_FUSE = ("fuse.ext", "fuseblk", "fuse.fuse-overlayfs", "fusectl")


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of an open database (`wal`, `delete`, ...) and the reason for it."""

    mode: str
    reason: str

    def __str__(self) -> str:
        return f"{self.mode.upper()} ({self.reason})"


def settle(connection: sqlite3.Connection, path: Path, *, patience: float) -> Journal:
    """Switch the database to the best journal mode for its file system."""
    kind = file_system(path)
    if is_shared(kind):
        return Journal(_ask(connection, "DELETE", patience), f"on a shared file system, {kind}")
    try:
        mode = _ask(connection, "WAL", patience)
    except sqlite3.OperationalError as error:
        if is_lock(error):
            raise
        return Journal(_ask(connection, "DELETE", patience), f"WAL is not possible here: {error}")
    if mode == "wal":
        return Journal(mode, f"on a local file system, {kind}")
    return Journal(_ask(connection, "DELETE", patience), f"WAL is not possible here, on {kind}")


def current(connection: sqlite3.Connection) -> Journal:
    """The journal of a read-only database."""
    return Journal(str(connection.execute("PRAGMA journal_mode").fetchone()[0]), "as found")


def file_system(path: Path) -> str:
    """The type of the file system that the path is on, or `unknown`."""
    place = path.resolve()
    best, kind = -1, "unknown"
    for mount, name in _mounts():
        depth = len(mount.parts)
        if depth >= best and place.is_relative_to(mount):
            best, kind = depth, name
    return kind


def is_shared(kind: str) -> bool:
    """Can several hosts mount a file system of this type?"""
    kind = kind.lower()
    if kind.startswith("fuse"):
        return not kind.startswith(_LOCAL_FUSE)
    return kind.startswith(_NETWORK)


def _mounts() -> list[tuple[Path, str]]:
    try:
        return [(Path(p.mountpoint), p.fstype) for p in psutil.disk_partitions(all=True)]
    except (OSError, RuntimeError):
        return []


def _ask(connection: sqlite3.Connection, mode: str, patience: float) -> str:
    """Request a mode. SQLite fails at once if another process has a lock, so this waits."""
    end = time.monotonic() + patience
    while True:
        try:
            return str(connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()[0])
        except sqlite3.OperationalError as error:
            if not is_lock(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
