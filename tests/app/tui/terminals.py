"""The real program in a real terminal: tmux, with a server of its own for every terminal.

Owns keys and what the screen shows. Never sleeps for long: what is awaited is looked for.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import eventually

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "import sys; from app.cli.main import main; main()"

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def tauscope(folder: Path, *arguments: object, settings: Sequence[str] = ()) -> list[str]:
    """The command with these arguments, as a process that keeps to a folder.

    `settings` are variables of its environment, as `NAME=value`.
    """
    folders = [f"{name}={folder}" for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")]
    unset = ("COLUMNS", "LINES", "COLORTERM", "NO_COLOR")
    clean = ["env", *(word for name in unset for word in ("-u", name))]
    return [
        *clean,
        f"PYTHONPATH={ROOT}",
        "OMP_NUM_THREADS=1",
        *folders,
        *settings,
        sys.executable,
        "-c",
        PROGRAM,
        *map(str, arguments),
    ]


class Terminal:
    """One tmux session of a size, with a command in it."""

    def __init__(self, command: Sequence[str], size: tuple[int, int], folder: Path) -> None:
        self._server = f"tauscope-{uuid.uuid4().hex[:8]}"
        width, height = map(str, size)
        # What it prints on leaving must still be there to be seen.
        line = f"{shlex.join(command)}; sleep 90"
        self.tmux("new-session", "-d", "-x", width, "-y", height, "-c", str(folder), line)
        self.tmux("set-option", "-s", "set-clipboard", "on")  # what a program copies is kept

    def tmux(self, *arguments: str) -> str:
        """A command of tmux to this terminal's own server."""
        whole = ["tmux", "-L", self._server, "-f", "/dev/null", *arguments]
        return subprocess.run(whole, capture_output=True, text=True, check=True).stdout

    def press(self, *keys: str) -> None:
        """Press keys, by tmux's names of them."""
        self.tmux("send-keys", *keys)

    def type(self, words: str) -> None:
        """Type words as they are."""
        self.tmux("send-keys", "-l", words)

    def rows(self) -> list[str]:
        """The screen as it is now."""
        return self.tmux("capture-pane", "-p").rstrip("\n").split("\n")

    def shows(self, *patterns: str, without: str = "") -> str:
        """The screen once it shows all of these patterns, and the other one no more."""

        def look() -> str:
            text = "\n".join(self.rows())
            held = all(re.search(pattern, text) for pattern in patterns)
            return text if held and not (without and re.search(without, text)) else ""

        text = eventually(look)
        if not text:
            raise AssertionError("\n".join([f"{patterns}, without {without!r}:", *self.rows()]))
        return text

    def has_left(self) -> bool:
        """Is the program gone, with nothing but its last words on the screen?"""
        return bool(
            eventually(lambda: self.tmux("display-message", "-p", "#{alternate_on}").strip() == "0")
        )

    def kill(self) -> None:
        """End it as a lost line would: whatever runs in it is hung up."""
        subprocess.run(
            ["tmux", "-L", self._server, "kill-server"], check=False, capture_output=True
        )


@contextmanager
def terminal(
    folder: Path,
    *arguments: object,
    size: tuple[int, int] = (80, 24),
    settings: Sequence[str] = (),
) -> Iterator[Terminal]:
    """The command with these arguments in a terminal, which is gone afterwards."""
    opened = Terminal(tauscope(folder, *arguments, settings=settings), size, folder)
    try:
        yield opened
    finally:
        opened.kill()
