"""Singular bases of base models, in files beside the database.

Owns the files and the room that they may take. They are a cache: a missing one is computed again,
and 'tauscope gc' removes all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.files.partial import placed
from storage.access import Access
from storage.artifacts import UNREADABLE

LARGEST = 8 << 30
"""Most bytes of all files: two bases of 7 billion parameters."""

SHARE = 0.1
"""Most of the disk's free space that they may take."""


def find(folder: Path, key: str) -> Mapping[str, NDArray[Any]] | None:
    """The arrays kept under a key; None if there are none, or no readable ones."""
    path = _path(folder, key)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            loaded = dict(arrays)
        os.utime(path)
    except UNREADABLE:
        return None
    # numpy hands over a member without its header as bytes.
    return loaded if all(isinstance(each, np.ndarray) for each in loaded.values()) else None


def keep(
    folder: Path, key: str, arrays: Mapping[str, NDArray[Any]], access: Access, *, begun: float
) -> None:
    """Keep arrays under a key, if there is room.

    Makes room by removing files that nobody has used since the time `begun`, the oldest first: a
    base too large for the room keeps its first matrices. Never raises for a full disk.
    """
    path = _path(folder, key)
    size = sum(array.nbytes for array in arrays.values())
    try:
        access.make_folder(folder)
        access.make_folder(path.parent)
        if not _make_room(folder, size, begun):
            return
        with placed(path, mode=0o600) as part:
            with part.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            access.grant(part)
    except OSError:
        return


def _make_room(folder: Path, size: int, begun: float) -> bool:
    files = [(status.st_mtime, status.st_size, path) for path, status in _files(folder)]
    taken = sum(bytes for _, bytes, _ in files)
    free = shutil.disk_usage(folder).free
    most = min(LARGEST, int(SHARE * (free + taken)))
    unused = sorted(each for each in files if each[0] < begun)
    if taken - sum(bytes for _, bytes, _ in unused) + size > most:
        return False
    for _, bytes, path in unused:
        if taken + size <= most:
            break
        path.unlink(missing_ok=True)
        taken -= bytes
    return True


def _files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    listed = []
    for path in folder.glob("??/*.npz"):
        try:
            listed.append((path, path.stat()))
        except OSError:  # removed meanwhile
            continue
    return listed


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.npz"
