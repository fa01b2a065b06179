"""A file that is written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """An empty file to write into, which takes its place when the block ends well.

    Raises OSError.
    """
    number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(number)
    part = Path(name)
    try:
        yield part
        # A temporary file is its owner's alone; this one is like any other that they make.
        part.chmod(0o666 & ~_umask())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """A text file that takes its place when the block ends well. Raises OSError."""
    with placed(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        yield file


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
