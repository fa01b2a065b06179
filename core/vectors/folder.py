"""A model's folder that appears whole or not at all.

Owns which places are taken, and the errors. How it appears is core.files.partial's business.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import RunError, StudyError
from core.files import partial
from core.files.making import made
from core.study.places import expanded


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary sibling to write into, renamed to `target` when the block ends well.

    Raises StudyError when there is something at the target already, RunError when it can't be
    written. A target that is an empty folder is taken.
    """
    try:
        target = expanded(target).resolve()
        if target.exists() and not target.is_dir():
            raise StudyError(f"{target} is a file.", hint="Name a new folder.")
        if target.is_dir() and any(target.iterdir()):
            raise StudyError(f"{target} is not empty.", hint="Name a new or an empty folder.")
        with made(target.parent), partial.appearing(target) as part:
            yield part
    except OSError as error:
        raise RunError(
            f"{target} can't be written: {error.strerror or error}.",
            hint="Name a folder that you may write, on a disk with space for it.",
        ) from error
