"""New folders for a block, removed if it fails.

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
    """The folder, created if it is missing. After an error the new empty folders are removed; with
    `emptied` this folder is removed with its contents. Raises OSError."""
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
