"""Files and folders that appear whole or not at all, and temporary scratch folders.

Owns the names of partial files, the lock that shows a living writer, and the removal of a killed
writer's partial files at the next write into the same folder. Knows nothing of contents.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import psutil

from core.files.regular import refuse_devices

MARK = ".tauscope-"
"""Name of a partial file: `.NAME.tauscope-TOKEN-PID-HOST`."""

DAY = 86400.0
"""Seconds after which another host's partial file counts as abandoned: locks may work on one host
only."""

_LONGEST = 80  # bytes of the final name in a partial file's name
_NAMED = re.compile(rf"\..*{re.escape(MARK)}[0-9a-f]{{8}}-(?P<pid>\d+)-(?P<host>.+)", re.DOTALL)


@contextlib.contextmanager
def placed(path: Path, *, mode: int | None = None, durable: bool = False) -> Iterator[Path]:
    """An empty file to write into, moved to `path` when the block succeeds.

    `mode`: its permissions, by default the replaced file's, else by the user's umask. `durable`:
    flushed to the disk before the rename. A link is replaced as such. Raises OSError, also for a
    pipe or a device.
    """
    refuse_devices(path)
    sweep(path.parent)
    wanted = _mode_of(path) if mode is None else mode
    with _claimed(path.parent, path.name, functools.partial(_new_file, mode=wanted)) as part:
        yield part
        if durable:
            _flush(part)
        part.replace(path)


@contextlib.contextmanager
def written(path: Path, *, mode: int | None = None, durable: bool = False) -> Iterator[TextIO]:
    """A text file in UTF-8, moved to `path` when the block succeeds. Raises OSError."""
    with (
        placed(path, mode=mode, durable=durable) as part,
        part.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A new folder to write into, moved to `target` when the block succeeds.

    `target` must be free, or an empty folder. Raises OSError.
    """
    sweep(target.parent)
    with _claimed(target.parent, target.name, _new_folder) as part:
        yield part
        part.rename(target)


@contextlib.contextmanager
def scratch(purpose: str) -> Iterator[Path]:
    """A private folder in the system's temporary folder, removed after the block."""
    place = Path(tempfile.gettempdir())
    sweep(place)
    with _claimed(place, purpose, functools.partial(_new_folder, mode=0o700)) as folder:
        yield folder


def sweep(folder: Path) -> None:
    """Remove partial files of this user's killed processes from a folder."""
    for path in _parts(folder):
        with _judged(path) as abandoned:
            if abandoned:
                _remove(path)


def left(folder: Path) -> list[Path]:
    """The files and folders that `sweep` would remove."""
    paths = []
    for path in _parts(folder):
        with _judged(path) as abandoned:
            if abandoned:
                paths.append(path)
    return paths


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[bool]:
    """Lock an existing folder of this user inside the block. False if another process holds it, in
    this or another container, or if the folder can't be locked."""
    lock: int | None = None
    with contextlib.suppress(OSError):
        status = folder.lstat()
        if _is_own(status) and stat.S_ISDIR(status.st_mode):
            lock = _opened(folder, status.st_mode)
    try:
        yield lock is not None and _lock(lock) is True
    finally:
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def _claimed(folder: Path, name: str, make: Callable[[Path], int | None]) -> Iterator[Path]:
    """A new partial file, locked while its process lives, removed afterwards if it still exists."""
    part, lock = _made(folder, name, make)
    try:
        yield part
    finally:
        _remove(part)
        if lock is not None:
            os.close(lock)


def _made(folder: Path, name: str, make: Callable[[Path], int | None]) -> tuple[Path, int | None]:
    while True:
        token = f"{uuid.uuid4().hex[:8]}-{os.getpid()}-{_host()}"
        part = folder / f".{_short(name)}{MARK}{token}"
        lock = make(part)
        if lock is None or (_lock(lock) is not False and part.exists()):
            return part, lock
        os.close(lock)  # another process removed it before it was locked
        _remove(part)


def _new_file(part: Path, mode: int | None) -> int:
    # The kernel applies the umask: reading it would change it for other threads meanwhile.
    made = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else 0o600)
    if mode is not None:
        with contextlib.suppress(FileNotFoundError):  # another process removed it: see `_made`
            part.chmod(mode)
    return made


def _new_folder(part: Path, mode: int = 0o777) -> int | None:
    while True:
        part.mkdir(mode)
        if os.name != "posix":
            return None
        with contextlib.suppress(FileNotFoundError):  # another process removed it: make it again
            return os.open(part, os.O_RDONLY)


def _mode_of(path: Path) -> int | None:
    """The permissions of an existing file."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return None
    return stat.S_IMODE(mode) & 0o777 if stat.S_ISREG(mode) else None


def _flush(part: Path) -> None:
    with part.open("rb+") as file:
        os.fsync(file.fileno())


def _parts(folder: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(folder) if MARK in entry.name]
    except OSError:
        return []


@contextlib.contextmanager
def _judged(path: Path) -> Iterator[bool]:
    """Did a dead writer leave it? Its lock is held meanwhile, so no other process uses it."""
    lock: int | None = None
    try:
        named, status = _NAMED.fullmatch(path.name), path.lstat()
        if named is None or not _is_own(status):
            yield False
            return
        lock = _opened(path, status.st_mode)
        locked = None if lock is None else _lock(lock)
    except OSError:
        yield False
        return
    try:
        if locked is False:
            yield False
        elif named["host"] != _host():
            yield time.time() - status.st_mtime > DAY
        else:
            yield locked is True or not psutil.pid_exists(int(named["pid"]))
    finally:
        if lock is not None:
            os.close(lock)


def _is_own(status: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or status.st_uid == os.getuid()


def _opened(path: Path, mode: int) -> int | None:
    """A descriptor for locking; None if the path can't be opened."""
    if os.name != "posix" or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return None
    return os.open(path, (os.O_RDWR if stat.S_ISREG(mode) else os.O_RDONLY) | os.O_NOFOLLOW)


def _lock(descriptor: int) -> bool | None:
    """Lock it without waiting; False if another process has the lock, None if there are no
    locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _short(name: str) -> str:
    """A name cut so that its partial file's name is not too long for a file system."""
    return name.encode("utf-8", "surrogateescape")[:_LONGEST].decode("utf-8", "ignore")


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())[:_LONGEST] or "host"
