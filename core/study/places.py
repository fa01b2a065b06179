"""Paths of files and folders as written in studies."""

from __future__ import annotations

import os
from pathlib import Path

# os.path leaves the `~` of an unknown user unchanged, so the later error names the path as typed.


def expanded(path: str | Path) -> Path:
    """The path with `~` as the user's home folder."""
    return Path(os.path.expanduser(path))  # noqa: PTH111


def resolved(path: Path) -> Path:
    """The absolute path without symbolic links. A circle of links stays as it is."""
    return Path(os.path.realpath(path))  # pathlib raises RuntimeError for a circle


def working_folder() -> Path:
    """The working folder; once that is deleted, the home folder."""
    try:
        return Path.cwd()
    except OSError:
        return expanded("~")


def is_folder(path: Path) -> bool:
    """Is it an existing folder? False for an impossible path."""
    return os.path.isdir(path)  # noqa: PTH112 - pathlib raises for a name that is too long


def is_there(path: Path) -> bool:
    """Does the path exist? See `is_folder`."""
    return os.path.exists(path)  # noqa: PTH110


def looks_local(path: str) -> bool:
    """Is this the path of a folder or a GGUF file rather than a hub id? It need not exist."""
    return path.startswith((".", "/", "~")) or path.count("/") > 1 or path.endswith(".gguf")


def below(folder: Path, path: str) -> Path:
    """The path resolved against the folder of its file."""
    return folder / expanded(path)
