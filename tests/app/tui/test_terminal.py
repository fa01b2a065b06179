"""The real program in a real terminal, and what it imports on its way there."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from storage.database import Database

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "transformers", "accelerate")
PROGRAM = "import sys; from app.tui.app import run; run(sys.argv[1])"


def tmux(*arguments: str) -> str:
    done = subprocess.run(["tmux", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def screen(session: str, wanted: str) -> str:
    """The screen of a session once it shows the wanted words."""
    text = ""
    for _ in range(100):
        text = tmux("capture-pane", "-p", "-t", session)
        if wanted in text:
            return text
        time.sleep(0.1)
    raise AssertionError(f"{wanted!r} never showed:\n{text}")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_it_opens_in_tmux_and_leaves_with_q(filled: Database) -> None:
    session = f"tauscope-{uuid.uuid4().hex[:8]}"
    command = shlex.join(["env", f"PYTHONPATH={ROOT}", sys.executable, "-c", PROGRAM, filled.url])
    tmux("new-session", "-d", "-s", session, "-x", "80", "-y", "24", f"{command}; sleep 60")
    try:
        text = screen(session, "finished-one")
        assert "quit" in text.rstrip("\n").split("\n")[-1], "the bottom line is on the screen"
        tmux("send-keys", "-t", session, "Enter")
        assert "● instruct" in screen(session, "relative norm")
        tmux("send-keys", "-t", session, "3")
        screen(session, "two_sided")
        tmux("send-keys", "-t", session, "q")
        for _ in range(100):
            if tmux("display-message", "-p", "-t", session, "#{alternate_on}").strip() == "0":
                break
            time.sleep(0.1)
        else:
            raise AssertionError("it did not leave")
        assert "Traceback" not in tmux("capture-pane", "-p", "-t", session)
    finally:
        subprocess.run(["tmux", "kill-session", "-t", session], check=False)


def test_no_screen_imports_a_model_library() -> None:
    code = (
        "import sys\n"
        "import app.tui.app\n"
        f"light = [m for m in (*{HEAVY}, 'sqlalchemy', 'plotext', 'numpy') if m in sys.modules]\n"
        "assert not light, light\n"
        "import app.tui.screens.run, app.tui.screens.start, app.charts.canvas\n"
        "from core import registry\n"
        "[registry.get(name) for name in registry.names()]\n"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
