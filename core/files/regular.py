"""Regular files, and what stands in their places: a pipe or a device never ends, and may block.

Owns the question whether a path can be read to an end. Knows no format.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from pathlib import Path

LONGEST = 100_000_000
"""Bytes of a file that is read whole."""


def content(file: Path, longest: int = LONGEST) -> bytes:
    """The bytes of a regular file. Raises OSError, also for one that is longer than `longest`."""
    found = file.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(file))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(file))
    if found.st_size > longest:
        raise OSError(errno.EFBIG, "it is far larger than such files are", str(file))
    with file.open("rb") as stream:
        return stream.read(longest)


def pipes(paths: Iterator[Path]) -> Iterator[Path]:
    """Those of some paths that are a pipe, a socket or a device; what can't be looked at is none.

    A library that opens one of them may wait for ever.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield path
