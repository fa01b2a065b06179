"""Git LFS pointers: the short texts that stand where a clone without its large files has none.

Owns how such a text is known and what is said of it. Reads the first bytes of a file, no more.
"""

from __future__ import annotations

from pathlib import Path

from core.errors import CheckpointError

_BEGINNING = b"version https://git-lfs.github.com/spec/v1"
_LONGEST = 1024  # bytes; the format's own limit


def is_pointer(file: Path) -> bool:
    """Is this the text that Git LFS puts in the place of a large file?"""
    try:
        if not 0 < file.stat().st_size <= _LONGEST:  # a pipe has no size
            return False
        with file.open("rb") as stream:
            return stream.read(len(_BEGINNING)) == _BEGINNING
    except OSError:
        return False


def refuse(file: Path) -> None:
    """Raise CheckpointError when a file is a Git LFS pointer."""
    if is_pointer(file):
        raise CheckpointError(
            f"{file} is a Git LFS pointer: the file itself was not fetched.",
            hint=f"Run 'git lfs pull' in {file.parent}.",
        ) from None
