"""A model's folder that appears whole or not at all.

Owns the refusal of occupied folders, and the errors. core.files.partial moves the folder into
place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from core.errors import RunError, StudyError
from core.files import partial
from core.files.making import made
from core.study.places import expanded, resolved


def refuse_occupied(target: Path) -> None:
    """Raise StudyError as `appearing` does, before anything is read for the folder."""
    with contextlib.suppress(OSError):
        _refuse_occupied(resolved(expanded(target)))


@contextlib.contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """A temporary sibling folder to write into, renamed to `target` when the block succeeds.

    Raises StudyError if the target exists, RunError if it can't be written. An empty folder is
    accepted as target.
    """
    try:
        target = resolved(expanded(target))
        _refuse_occupied(target)
        with made(target.parent), partial.appearing(target) as part:
            yield part
    except OSError as error:
        raise RunError(
            f"{target} can't be written: {error.strerror or error}.",
            hint="Name a writable folder on a disk with enough space.",
        ) from error


def _refuse_occupied(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise StudyError(f"{target} is a file.", hint="Name a new folder.")
    if target.is_dir() and any(target.iterdir()):
        raise StudyError(f"{target} is not empty.", hint="Name a new or an empty folder.")
