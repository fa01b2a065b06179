"""A child of this process that is killed, as by the system, at a moment of its work."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any


def killed_at_rename(work: Callable[[], object], suffix: str = "") -> None:
    """Do it in a child that dies before a file or folder with this end takes its place."""

    def dying(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(path: Path, target: Path) -> Any:
            if Path(target).name.endswith(suffix):
                die()
            return move(path, target)

        return moved

    def child() -> None:
        for name in ("replace", "rename"):
            setattr(Path, name, dying(getattr(Path, name)))
        work()

    assert killed(child), "it was not killed"


def killed(work: Callable[[], object]) -> bool:
    """Do it in a child; was that killed?"""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def die() -> None:
    """End this process as the system's killer does: nothing is tidied up."""
    os.kill(os.getpid(), signal.SIGKILL)
