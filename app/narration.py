"""What a command says on stderr while it works: a bar on a terminal, a line now and then in a log.

Owns stderr. Data goes to stdout, and is not its business.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from app.text import plain
from app.wording import span

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_SELDOM = 2.0  # seconds between two lines of progress in a log


def say(words: str) -> None:
    """One line on stderr."""
    print(plain(words), file=sys.stderr, flush=True)


def fits_a_bar() -> bool:
    """Is stderr a terminal that can redraw a line?"""
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


class Narrator:
    """Tells of one piece of work, from `with` to its end."""

    def __init__(self) -> None:
        self._bar = _bar() if fits_a_bar() else None
        self._started = self._said = time.monotonic()
        self._last = ""

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None and self._last:
            say(self._last)

    def say(self, words: str) -> None:
        """One line above the bar."""
        if self._bar is None:
            say(words)
        else:
            self._bar.console.print(plain(words), markup=False, highlight=False, soft_wrap=True)

    def warn(self, subject: str, message: str) -> None:
        """A warning, as the engine gives it."""
        self.say(f"warning: {subject}: {message}" if subject else f"warning: {message}")

    def progress(self, done: int, total: int, reused: int, label: str) -> None:
        """How far it is. `reused` of what is done took no time."""
        left = self._left(done - reused, total - done)
        if self._bar is None:
            self._line(done, total, left, label)
            return
        (task,) = self._bar.task_ids
        self._bar.update(
            task, completed=done, total=total or None, left=left, label=_short(plain(label))
        )

    def _left(self, computed: int, missing: int) -> str:
        if computed <= 0 or missing <= 0:
            return ""
        return f"ETA {span((time.monotonic() - self._started) / computed * missing)}"

    def _line(self, done: int, total: int, left: str, label: str) -> None:
        share = f"{done * 100 // total:3d} % {done}/{total}" if total else "..."
        self._last = "  ".join(part for part in (share, left, label) if part)
        if time.monotonic() - self._said >= _SELDOM:
            self._said = time.monotonic()
            say(self._last)
            self._last = ""


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[label]}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
    bar.add_task("", total=None, left="", label="")
    return bar


def _short(text: str, width: int = 44) -> str:
    """What fits beside a bar in 80 columns."""
    return text if len(text) <= width else f"{text[: width - 1]}…"
