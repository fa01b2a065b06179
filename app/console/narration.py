"""Progress of a command on stderr: a bar on a terminal, occasional lines in a log.

Owns stderr. Data goes to stdout, which this module does not use.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from app.commands import completed
from app.results.wording import left
from app.text import plain

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as Bar


_SELDOM = 2.0  # seconds between two lines of progress in a log
_BAR = 20
_TAKEN = _BAR + 3  # columns of the bar and the gaps
_ABOVE = 3  # rows of a terminal for the bar and what was said before it


def say(words: str) -> None:
    """Print one line on stderr."""
    print(plain(completed(words)), file=sys.stderr, flush=True)


def fits_a_bar() -> bool:
    """Is stderr a terminal that can redraw a line?"""
    return sys.stderr.isatty() and os.environ.get("TERM") not in (None, "", "dumb")


class Patience:
    """Reports once per wait that the database is locked."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._waited = 0.0

    def __call__(self, seconds: float) -> None:
        """Called repeatedly with the seconds waited so far."""
        if seconds >= _SELDOM and not 0 < self._waited <= seconds:
            self._say("another process is writing to the database: waiting for it")
            self._waited = seconds
        if seconds < _SELDOM:
            self._waited = 0.0


class Narrator:
    """Reports one piece of work, from `with` to its end."""

    def __init__(self) -> None:
        self._below: Sequence[str] = ()
        self._bar = _bar(lambda: self._below) if fits_a_bar() else None
        self._started = self._said = time.monotonic()
        self._last = ""
        self._told: tuple[int, int, str] | None = None

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
        """Print one line above the bar."""
        if self._bar is None:
            say(words)
        else:
            self._bar.console.print(
                plain(completed(words)), markup=False, highlight=False, soft_wrap=True
            )

    def warn(self, subject: str, message: str) -> None:
        """Print a warning of the engine."""
        self.say(f"warning: {subject}: {message}" if subject else f"warning: {message}")

    def progress(self, done: int, total: int, label: str) -> None:
        """Show the progress of work in this process, with parts of about equal duration."""
        seconds = None
        if 0 < done < total:
            seconds = (time.monotonic() - self._started) / done * (total - done)
        self.show(done, total, left(seconds), label)

    def show(
        self, done: int, total: int, time_left: str, label: str, percent: int | None = None
    ) -> None:
        """Show the progress, the time left and the current step. `percent`: the share of the time
        that has passed; else the share of the units is shown."""
        share = _share(done, total, percent)
        if self._bar is None:
            self._line((done, total, label), share or "...", time_left)
            return
        (task,) = self._bar.task_ids
        progress = "  ".join(part for part in (share, time_left) if part)
        room = self._bar.console.width - _TAKEN - len(progress)
        self._bar.update(
            task, completed=done if percent is None else percent,
            total=(total or None) if percent is None else 100,
            progress=progress, label=_short(plain(label), room),
        )  # fmt: skip

    def below(self, lines: Sequence[str]) -> None:
        """Show lines under the bar, as many as the terminal has room for. A log has none."""
        if self._bar is not None:
            room = max(1, self._bar.console.height - _ABOVE)
            cut = len(lines) - room
            self._below = [*lines[: room - 1], f"and {cut + 1} more"] if cut > 0 else lines

    def _line(self, state: tuple[int, int, str], share: str, time_left: str) -> None:
        if state == self._told:
            return
        self._last = "  ".join(part for part in (share, time_left, state[-1]) if part)
        if time.monotonic() - self._said >= _SELDOM:
            self._said = time.monotonic()
            self._told = state
            say(self._last)
            self._last = ""


def _bar(below: Callable[[], Sequence[str]]) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.text import Text

    class Lined(Progress):
        def get_renderables(self) -> Iterable[RenderableType]:
            yield from super().get_renderables()
            for line in below():
                yield Text(plain(line), no_wrap=True, overflow="ellipsis")

    bar = Lined(
        BarColumn(bar_width=_BAR),
        TextColumn("{task.fields[progress]}", markup=False),
        TextColumn("{task.fields[label]}", markup=False),
        console=Console(stderr=True, highlight=False),
        transient=True,
    )
    bar.add_task("", total=None, progress="", label="")
    return bar


def _share(done: int, total: int, percent: int | None) -> str:
    """The share of finished work, 100 % only at the end; empty while the total is unknown."""
    if not total:
        return ""
    by_units = done * 100 // total
    share = by_units if percent is None or done == total else min(99, percent)
    return f"{share:3d} % {done}/{total}"


def _short(text: str, width: int) -> str:
    """A text cut to a width in cells."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text
    return f"{set_cell_size(text, max(0, width - 1)).rstrip()}…"
