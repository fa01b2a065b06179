"""Folders that are made for a block's work, and are gone again where it fails.

Knows nothing of contents.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def made(folder: Path, *, emptied: bool = False) -> Iterator[None]:
    """The folder, made if need be. After an error, the empty folders that were made here are
    removed; with `emptied` this folder goes whatever was written into it. Raises OSError."""
    absent = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        if emptied and folder in absent:
            shutil.rmtree(folder, ignore_errors=True)
        for each in absent:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise
