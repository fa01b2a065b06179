"""Regular files, in contrast to pipes and devices, which never end and may block.

Owns the test that a path can be read to the end. Knows no format.
"""

from __future__ import annotations

import errno
import stat
from collections.abc import Iterator
from pathlib import Path

LONGEST = 100_000_000
"""Most bytes of a file that is read whole."""


def content(file: Path, longest: int = LONGEST) -> bytes:
    """The bytes of a regular file. Raises OSError, also for one that is longer than `longest`."""
    status = file.stat()
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "Is a directory", str(file))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(file))
    if status.st_size > longest:
        raise OSError(errno.EFBIG, "it is too large for such a file", str(file))
    with file.open("rb") as stream:
        return stream.read(longest)


def refuse_devices(path: Path) -> None:
    """Raise OSError for a pipe, a socket or a device, which a new file must not replace."""
    for each in pipes(iter([path])):
        raise OSError(errno.EINVAL, "it is a pipe or a device", str(each))


def pipes(paths: Iterator[Path]) -> Iterator[Path]:
    """The paths that are a pipe, a socket or a device; inaccessible paths are skipped.

    A library that opens one of them may wait forever.
    """
    for path in paths:
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            yield path
