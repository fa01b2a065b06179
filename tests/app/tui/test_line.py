"""Between the workstation and its terminal: keys that come early, and a line that drops."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.tui.memory import path_for, recall
from storage.database import Database
from storage.runs import list_runs
from tests.patience import PATIENCE, eventually
from tests.pty_terminal import Terminal

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "import sys; from app.tui.app import run; run(sys.argv[1])"


@pytest.fixture
def environment(db: Database, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Settings that keep it to the test's own folder, for it and for what looks at its state."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(db.path.parent))
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def opened(db: Database, environment: dict[str, str]) -> Terminal:
    return Terminal([sys.executable, "-c", PROGRAM, db.url], env=environment)


def test_keys_from_before_the_first_list_act_on_it(
    filled: Database, environment: dict[str, str]
) -> None:
    with opened(filled, environment) as terminal:
        terminal.press("j\r2")
        second_run = terminal.until("tauscope finished-one", terminal.started)
        third_tab = terminal.until("two-sided alignment", terminal.started)
        assert terminal.started < min(second_run, third_tab)


def test_a_screen_is_there_again_after_the_shell(
    filled: Database, environment: dict[str, str]
) -> None:
    with opened(filled, environment) as terminal:
        terminal.until("running-one", terminal.started)
        since = terminal.press("j\r")
        terminal.until("largest first", since)
        terminal.settled(since)
        terminal.press("\x1a")
        pid = terminal.process.pid
        assert eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
        since = time.perf_counter()
        os.kill(pid, signal.SIGCONT)
        terminal.until("largest first", since)


@pytest.mark.parametrize("how", ["hang up", "terminate"])
def test_where_the_user_was_outlives_the_terminal(
    filled: Database, environment: dict[str, str], how: str
) -> None:
    with opened(filled, environment) as terminal:
        terminal.until("running-one", terminal.started)
        since = terminal.press("j\r2")
        terminal.until("two-sided alignment", since)
        since = terminal.press("jj")
        terminal.until("layer 2", since)
        if how == "hang up":
            terminal.cut()
            assert terminal.process.wait(PATIENCE) == -signal.SIGHUP
        else:
            terminal.process.terminate()
            assert terminal.process.wait(PATIENCE) == 0
    place = recall(path_for(filled.path)).place
    assert place is not None
    assert place.run == list_runs(filled)[1].id
    assert place.tab == "alignment"
    assert place.stands["alignment:heat"].cursor == (2, 0)
