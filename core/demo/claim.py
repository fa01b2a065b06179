"""The owner of the demo's folder, and the process that may write in it.

Owns the marker of the demo's folder, the lock between two builders, and the renaming of finished
folders. Refuses a folder with other contents.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.errors import FamilyError
from core.files import partial

MARKER = "recipe.json"
LOCK = ".build.lock"
FORMAT = "tauscope demo family"


def claim(folder: Path, recipe: dict[str, Any]) -> None:
    """Mark the folder as the demo's, or check the mark; otherwise raise an error and change
    nothing."""
    marker = folder / MARKER
    wanted = {"format": FORMAT, **recipe}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if marker.exists():
            _compare(folder, _read(marker), wanted)
            return
        strangers = [path.name for path in folder.iterdir() if not _ours(path)]
    except OSError as error:
        raise _unusable(folder, error) from error
    if strangers:
        raise FamilyError(
            f"{folder} is not empty and is not a demo family (it holds {sorted(strangers)[0]})",
            hint="Choose an empty or a new folder.",
        )
    write_text(marker, json.dumps(wanted, indent=2) + "\n")


@contextlib.contextmanager
def locked(folder: Path, *, waiting: Callable[[], None]) -> Iterator[bool]:
    """Lock the folder; `waiting` is called twice a second while another builder has the lock.

    The lock ends with its process, so a killed builder leaves none. Yields False if the system or
    the file system has no locks: then two builders do the same work twice, and the renames still
    keep every file whole.
    """
    try:
        import fcntl
    except ImportError:
        yield False
        return
    with open(folder / LOCK, "a", encoding="utf-8") as file:
        yield _acquire(fcntl.flock, file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB, waiting)


@contextlib.contextmanager
def folder_in_place(target: Path) -> Iterator[Path]:
    """A temporary sibling folder to write into, renamed to `target` on success."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.appearing(target) as part:
            yield part
    except OSError as error:
        # Another builder without locks may have been faster; its files are the same.
        if not target.is_dir():
            raise _unusable(target, error) from error


def write_text(target: Path, text: str) -> None:
    """Write a file whole or not at all."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.written(target) as file:
            file.write(text)
    except OSError as error:
        raise _unusable(target, error) from error


def _acquire(
    flock: Callable[[int, int], None], file: int, how: int, waiting: Callable[[], None]
) -> bool:
    while True:
        try:
            flock(file, how)
            return True
        except BlockingIOError:
            waiting()
            time.sleep(0.5)
        except OSError:
            return False


def _read(marker: Path) -> object:
    try:
        return json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        return None


def _compare(folder: Path, marker: object, wanted: dict[str, Any]) -> None:
    if not isinstance(marker, dict) or marker.get("format") != FORMAT:
        raise FamilyError(
            f"{folder} holds a {MARKER} that is not the demo family's",
            hint="Choose an empty or a new folder.",
        )
    # Through JSON, so that tuples and lists compare equal.
    if marker != json.loads(json.dumps(wanted)):
        what = f"version {marker.get('version')}, seed {marker.get('seed')}"
        raise FamilyError(
            f"{folder} holds a demo family made by another recipe ({what})",
            hint="Choose another folder, or remove this one first.",
        )


def _ours(path: Path) -> bool:
    return path.name == LOCK or (path.name.startswith(".") and partial.MARK in path.name)


def _unusable(path: Path, error: OSError) -> FamilyError:
    return FamilyError(
        f"{path} can't be written: {error.strerror or error}",
        hint="Choose a folder that you may write to, on a disk with 50 MB free.",
    )
