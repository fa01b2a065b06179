"""The streams of a process: handling closed and full ones, and other encodings.

A failed write of data to stdout ends a command; a failed write of narration to stderr is ignored.
Knows no command.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TextIO


def prepare() -> None:
    """Make stdin, stdout and stderr of this process usable, even if they are closed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Watched(sys.stdout)
    sys.stderr = forgiving(sys.stderr)


def forgiving(stream: TextIO) -> TextIO:
    """A stream that drops failed writes: a log on a full disk ends no run."""
    return _Forgiving(stream) if isinstance(stream, io.TextIOWrapper) else stream


def fault_of_stdout() -> OSError | None:
    """The error of a failed write to stdout; None if there was none."""
    return getattr(sys.stdout, "fault", None)  # click may have wrapped the stream


def drop_stdout() -> None:
    """Discard stdout's buffer, which Python would flush again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Watched(io.TextIOWrapper):
    """A stream that remembers its first failed write. It wraps another stream's buffer, and escapes
    characters that its encoding lacks."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            encoding=stream.encoding,
            errors="backslashreplace",
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )
        self.fault: OSError | None = None
        self._other = stream  # otherwise its deletion would close the buffer

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
        """Does nothing: the buffer belongs to the other stream."""


class _Forgiving(_Watched):
    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()
