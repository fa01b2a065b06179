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
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests.app.tui.conftest import HOSTILE, fill, study

ROOT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "transformers", "accelerate")
PROGRAM = "import sys; from app.tui.app import run; run(sys.argv[1])"


def tmux(*arguments: str) -> str:
    done = subprocess.run(["tmux", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def own(db: Database) -> list[str]:
    """Settings that keep it to the test's own folder."""
    folders = [f"{name}={db.path.parent}" for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME")]
    return [f"PYTHONPATH={ROOT}", *folders]


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
    command = shlex.join(["env", *own(filled), sys.executable, "-c", PROGRAM, filled.url])
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


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
@pytest.mark.parametrize(
    "setting", ["TERM=screen", "TERM=screen-256color", "TERM=screen NO_COLOR=1"]
)
def test_hostile_words_act_on_no_terminal(db: Database, setting: str) -> None:
    run_id = create_run(db, study("evil " + HOSTILE), ("alignment",))
    attempt = claim(db, run_id)
    fill(db, run_id, attempt)
    RunSink(db, run_id, attempt).warn(HOSTILE, HOSTILE)
    finish(db, run_id, attempt, "failed", title=HOSTILE, hint=HOSTILE)
    session = f"tauscope-{uuid.uuid4().hex[:8]}"
    clean = ["env", "-u", "COLORTERM", "-u", "NO_COLOR", *setting.split(), *own(db)]
    command = shlex.join([*clean, sys.executable, "-c", PROGRAM, db.url])
    tmux("new-session", "-d", "-s", session, "-x", "80", "-y", "24", f"{command}; sleep 60")
    try:
        title = tmux("display-message", "-p", "-t", session, "#{pane_title}")
        rows = screen(session, "failed").rstrip("\n").split("\n")
        assert "quit" in rows[23], "nothing was pushed off the screen"
        assert "▌" in rows[2], "the selected run shows in any colours"
        tmux("send-keys", "-t", session, "Enter")
        assert "▸" in screen(session, "two_sided"), "so does the cursor"
        tmux("send-keys", "-t", session, "2")
        rows = screen(session, "What went wrong").rstrip("\n").split("\n")
        assert any("[bold red]evil[/] \\x1b[31mred" in row for row in rows)
        assert "quit" in rows[23]
        assert tmux("display-message", "-p", "-t", session, "#{pane_title}") == title
        copied = subprocess.run(["tmux", "show-buffer"], capture_output=True, check=False)
        assert b"evil" not in copied.stdout, "the clipboard was left alone"
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
