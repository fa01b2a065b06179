"""A program in a terminal of its own: keys go in, and what it paints comes out with its time.

A bare pseudo-terminal, so that every byte can be counted and the line can be cut.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from tests.patience import PATIENCE

OWN = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Has the terminal be the program's own for good, so that it hears when the line is cut."""

_ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[P_^][^\x1b]*\x1b\\|.)"
)


@dataclass(frozen=True, slots=True)
class Said:
    """What came out at one moment, by time.perf_counter()."""

    at: float
    data: bytes


class Terminal:
    """A running program and its terminal. As a context manager it ends both."""

    def __init__(
        self, command: Sequence[str], *, size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None, cwd: Path | None = None,
    ) -> None:  # fmt: skip
        """`size` is columns and rows."""
        self._master, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-ISc", OWN, *command],
            stdin=inner, stdout=inner, stderr=inner, env=env, cwd=cwd, start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        self._said: list[Said] = []
        self._came = threading.Condition()
        self._open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.cut()

    def press(self, keys: str) -> float:
        """Type; the moment at which that was done."""
        moment = time.perf_counter()
        os.write(self._master, keys.encode())
        return moment

    def cut(self) -> None:
        """The terminal is gone, as when a line drops or a window is closed."""
        if self._open:
            self._open = False
            self._reader.join()  # while somebody reads from it, it is not gone
            os.close(self._master)

    def since(self, moment: float) -> list[Said]:
        """What came out after a moment."""
        with self._came:
            return [chunk for chunk in self._said if chunk.at >= moment]

    def text(self) -> str:
        """All words that ever came out, in that order."""
        with self._came:
            return bare(b"".join(chunk.data for chunk in self._said)).decode(errors="replace")

    def until(self, words: str, since: float, *, patience: float = PATIENCE) -> float:
        """The moment at which these words had come out. Raises TimeoutError."""
        end, wanted = time.perf_counter() + patience, words.encode()
        with self._came:
            while True:
                seen = b""
                for chunk in self._said:
                    if chunk.at >= since:
                        seen += chunk.data
                        if wanted in bare(seen):
                            return chunk.at
                left = end - time.perf_counter()
                if left <= 0:
                    raise TimeoutError(f"{words!r} never came: {bare(seen)[-2000:]!r}")
                self._came.wait(left)

    def settled(self, since: float, *, quiet: float = 0.4, patience: float = PATIENCE) -> float:
        """The moment of the last output before a pause of `quiet` seconds."""
        end = time.perf_counter() + patience
        while time.perf_counter() < end:
            last = next((s.at for s in reversed(self._said) if s.at >= since), None)
            left = quiet - (time.perf_counter() - (last or since))
            if left <= 0 and last is not None:
                return last
            time.sleep(max(0.005, left))
        raise TimeoutError("It never came to rest.")

    def _read(self) -> None:
        while self._open:
            if not select.select([self._master], [], [], 0.05)[0]:
                continue
            data = b""
            with contextlib.suppress(OSError):  # its end: the program has left
                data = os.read(self._master, 1 << 16)
            if not data:
                return
            with self._came:
                self._said.append(Said(time.perf_counter(), data))
                self._came.notify_all()


def bare(data: bytes) -> bytes:
    """Text without what moves the cursor or sets colours."""
    return _ESCAPES.sub(b"", data)
