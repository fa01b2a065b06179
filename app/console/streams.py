"""The streams of a process: what happens where one is closed, full, or of another encoding.

Data that can't be written to stdout end a command, for that is what was asked of it; narration that
can't be written to stderr ends nothing. Knows no command.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


def prepare() -> None:
    """Make stdin, stdout and stderr of this process usable, whatever they are."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Watched(sys.stdout)
    sys.stderr = forgiving(sys.stderr)


def forgiving(stream: TextIO) -> TextIO:
    """The stream as one that drops what it can't write: a log on a full disk ends no run."""
    return _Forgiving(stream) if isinstance(stream, io.TextIOWrapper) else stream


def fault_of_stdout() -> OSError | None:
    """What has kept stdout from being written to; None where nothing has."""
    return getattr(sys.stdout, "fault", None)  # click may have wrapped the stream


def drop_stdout() -> None:
    """Write what stdout still holds to nowhere: Python flushes it once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Watched(io.TextIOWrapper):
    """A stream that remembers what kept it from being written to. It stands for another one, whose
    buffer it writes to; a model's name does not bring it down where it is not of UTF-8."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.fault: OSError | None = None
        self._other = stream  # which would close the buffer if nobody held it

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.fault = error
            raise

    def close(self) -> None:
        """Left open: the buffer is the other stream's."""


class _Forgiving(_Watched):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()
