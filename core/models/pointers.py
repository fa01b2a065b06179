"""Git LFS pointers: short texts in place of large files that a clone did not fetch.

Owns the recognition of such a text and the error for it. Reads only the first bytes of a file.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import CheckpointError

_BEGINNING = b"version https://git-lfs.github.com/spec/v1"
_LONGEST = 1024  # bytes; the format's own limit


def is_pointer(file: Path) -> bool:
    """Is this file a Git LFS pointer?"""
    try:
        if not 0 < file.stat().st_size <= _LONGEST:  # a pipe has no size
            return False
        with file.open("rb") as stream:
            return stream.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def refuse(file: Path) -> None:
    """Raise CheckpointError if a file is a Git LFS pointer."""
    if is_pointer(file):
        raise CheckpointError(
            f"{file} is a Git LFS pointer: the file itself was not fetched.",
            hint=f"Run 'git lfs pull' in {file.parent}.",
        ) from None
