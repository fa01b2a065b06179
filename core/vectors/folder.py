"""A folder that appears whole or not at all.

Owns the temporary sibling that it is written in, and the clearing away of those that a killed
process left behind. Knows nothing of what is written.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from core.errors import RunError, StudyError
from core.places import expanded

_PARTIAL = ".partial-"


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary sibling to write into, renamed to `target` when the block ends well.

    Raises StudyError when there is something at the target already, RunError when it can't be
    written. A target that is an empty folder is taken.
    """
    try:
        target = expanded(target).resolve()
        if target.exists() and not target.is_dir():
            raise StudyError(f"{target} is a file.", hint="Name a new folder.")
        if target.is_dir() and any(target.iterdir()):
            raise StudyError(f"{target} is not empty.", hint="Name a new or an empty folder.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        with _claimed(target) as partial:
            yield partial
            partial.rename(target)
    except OSError as error:
        raise RunError(
            f"{target} can't be written: {error.strerror or error}.",
            hint="Name a folder that you may write, on a disk with space for it.",
        ) from error


@contextlib.contextmanager
def _claimed(target: Path) -> Iterator[Path]:
    """A new sibling, locked as long as its process lives, removed if it is still there after."""
    partial, lock = _make(target)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        os.close(lock)


def _make(target: Path) -> tuple[Path, int]:
    while True:
        partial = target.with_name(f".{target.name}{_PARTIAL}{uuid.uuid4().hex[:8]}")
        partial.mkdir()
        lock = os.open(partial, os.O_RDONLY)
        _lock(lock)
        if partial.exists():  # else another process swept it before it was locked
            return partial, lock
        os.close(lock)


def _sweep(target: Path) -> None:
    """Remove the siblings whose process is dead: their locks died with it."""
    for left in target.parent.glob(f".{glob.escape(target.name)}{_PARTIAL}*"):
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY)
            try:
                if _lock(lock):
                    shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _lock(descriptor: int) -> bool:
    """Lock it without waiting; False where another holds it, or where there are no locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True
