"""The real program in a real terminal, and what it imports on its way there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from storage.database import Database
from storage.runs import claim, create_run, finish
from storage.sink import RunSink
from tests.app.tui.conftest import HOSTILE, fill, study
from tests.app.tui.terminals import ROOT, needs_tmux, terminal

HEAVY = ("torch", "transformers", "accelerate")


@needs_tmux
def test_it_opens_in_tmux_and_leaves_with_q(filled: Database) -> None:
    with terminal(filled.path.parent, "--db", filled.url) as window:
        window.shows("finished-one")
        assert "quit" in window.rows()[23], "the bottom line is on the screen"
        window.press("Enter")
        window.shows("Findings")
        window.press("1")
        assert "● instruct" in window.shows("relative norm")
        window.press("2")
        window.shows("two-sided alignment 0")
        window.press("q")
        assert window.has_left()
        assert "Traceback" not in "\n".join(window.rows())


@needs_tmux
@pytest.mark.parametrize(
    "setting", ["TERM=screen", "TERM=screen-256color", "TERM=screen NO_COLOR=1"]
)
def test_hostile_words_act_on_no_terminal(db: Database, setting: str) -> None:
    run_id = create_run(db, study("evil " + HOSTILE), ("alignment",))
    attempt = claim(db, run_id)
    fill(db, run_id, attempt)
    RunSink(db, run_id, attempt).warn(HOSTILE, HOSTILE)
    finish(db, run_id, attempt, "failed", title=HOSTILE, hint=HOSTILE)
    with terminal(db.path.parent, "--db", db.url, settings=setting.split()) as window:
        title = window.tmux("display-message", "-p", "#{pane_title}")
        rows = window.shows("failed").split("\n")
        assert "quit" in rows[23], "nothing was pushed off the screen"
        assert "▌" in rows[2], "the selected run shows in any colours"
        window.press("Enter")
        window.press("1")
        assert "▸" in window.shows("two-sided alignment 0"), "so does the cursor"
        window.press("2")
        rows = window.shows("(?m)^ *Error").split("\n")
        assert any("[bold red]evil[/] \\x1b[31mred" in row for row in rows)
        assert "quit" in rows[23]
        assert window.tmux("display-message", "-p", "#{pane_title}") == title
        assert window.tmux("list-buffers") == "", "the clipboard was left alone"


def test_no_screen_imports_a_model_library() -> None:
    code = (
        "import sys\n"
        "import app.tui.app\n"
        f"light = [m for m in (*{HEAVY}, 'sqlalchemy', 'plotext', 'numpy') if m in sys.modules]\n"
        "assert not light, light\n"
        "from app.tui.warmup import MODULES, warm_up\n"
        "warm_up()\n"
        "assert set(MODULES) <= set(sys.modules)\n"
        f"heavy = [m for m in {HEAVY} if m in sys.modules]\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
