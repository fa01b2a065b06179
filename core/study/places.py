"""Files and folders as people write them. Whether they are there is no question of this module."""

from __future__ import annotations

import os
from pathlib import Path

# Of os.path, which leaves the `~` of somebody unknown where it is: there is then no such folder,
# which whoever opens it can say with the name as it was typed.


def expanded(path: str | Path) -> Path:
    """The path with `~` as the user's home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def is_folder(path: Path) -> bool:
    """Is there a folder? A path that no file system could hold is none."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises for a name that is too long


def is_there(path: Path) -> bool:
    """Is there anything? See `is_folder`."""
    return os.path.exists(path)  # noqa: PTH110


def looks_local(path: str) -> bool:
    """Is this a folder or a GGUF file rather than a hub id, whether or not it is there?"""
    return path.startswith((".", "/", "~")) or path.count("/") > 1 or path.endswith(".gguf")


def below(folder: Path, path: str) -> Path:
    """The path as it is meant in a file of that folder."""
    return folder / expanded(path)
