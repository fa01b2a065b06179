"""A newcomer's first minutes in a real terminal: nothing there, a first study, all of its pictures.

The worker is the real one, detached, on a family of tiny models.
"""

from __future__ import annotations

import time
from pathlib import Path

from sqlalchemy import update

from storage.database import open_database
from storage.runs import find_run
from storage.schema import RunRow
from tests.app.families import write_family
from tests.app.tui.halting import go_on, halt, until
from tests.app.tui.terminals import Terminal, needs_tmux, terminal
from tests.patience import eventually

pytestmark = needs_tmux

VIEWS = (
    ("1", "Vectors", 4), ("1", "Cosine", 1), ("1", "Interference", 3),
    ("2", "Alignment", 4), ("2", "Directions", 4), ("2 2", "Spectral regime", 1),
)  # fmt: skip
"""The keys that lead to the tabs of weights, their titles, and how many pictures each holds. The
tab of places in texts is passed over: the family has no texts."""


def begin(window: Terminal, study: Path) -> None:
    """From the empty list to a run, by the key that the list names."""
    assert "o               run a study file" in window.shows("No runs yet")
    window.press("o")
    window.shows("enter starts")
    window.type(str(study))
    window.press("Enter")


def picture(number: int | str, count: int) -> str:
    """What stands above a picture, at the end of its row."""
    return rf"(?m) {number}/{count} ?$"


def readout(window: Terminal) -> str:
    """What is said of the value at the cursor, once anything is."""
    return eventually(lambda: window.rows()[-3].strip())


def visit(window: Terminal, key: str, title: str, count: int) -> None:
    """Every picture of a tab, one after the other."""
    window.press(*key.split())
    window.shows(rf"\d {title} |\d .* {title} ")
    for number in range(1, count + 1):
        if count > 1:
            window.shows(picture(number, count), without=picture(rf"(?!{number}/)\d", count))
        assert readout(window), "\n".join(window.rows())
        assert "No values" not in "\n".join(window.rows())
        window.press("v")  # after the last one comes the first


def test_from_an_empty_database_to_files(tmp_path: Path) -> None:
    study = write_family(tmp_path, name="first-study", layers=8)
    url = tmp_path / "runs.db"
    with terminal(tmp_path, "--db", url) as window:
        begin(window, study)
        db = open_database(str(url))
        until(db, "latest", lambda run: run.total and 100 * run.done >= run.total)
        run = halt(db, "latest")
        with db.writing() as connection:  # its end must not come while it is held
            connection.execute(update(RunRow).values(took=100.0, expected=time.time() + 900))
        window.shows("first-study", r"► running .* [1-9]\d? %  ETA ~?\d+ (s|min)\b")
        go_on(run)
        text = window.shows("✓ done")
        assert {"0", "1", "2", "Wts", "Dir", "Run"} <= set(text.split("\n")[1].split())
        for key, title, count in VIEWS:
            visit(window, key, title, count)
        window.press("6")
        window.shows("Progress", r"Vectors +✓ .* units")

        window.press("2", "2")  # the tab of this topic that was shown last, then the first
        window.shows(picture(1, 4), without=picture(2, 4))
        before = readout(window)
        window.press("Right", "Down", "Down")
        assert eventually(lambda: window.rows()[-3].strip() != before), "the cursor moved"
        window.press("y")
        assert eventually(lambda: window.tmux("list-buffers")), "the clipboard is reached"
        assert "two-sided alignment" in window.tmux("show-buffer")
        window.press("Enter")
        window.shows(picture(3, 4), without=picture(1, 4))
        window.press("Escape")
        window.shows(picture(1, 4), without=picture(3, 4))

        window.press("X")
        window.shows("This figure as text")
        window.press("t")
        window.shows(r"Wrote\b")
        (file,) = (tmp_path / "tauscope-exports").iterdir()
        assert "alignment" in file.read_text(encoding="utf-8").casefold()

        window.press("?")
        window.shows("─ help ─", "Under the cursor")
        window.press("Escape")
        window.shows(picture(1, 4), without="─ help ─")
        window.press("b")
        assert "first-study" in window.shows(r"\b1 run\b")
        window.press("q")
        assert window.has_left()
        assert "Traceback" not in "\n".join(window.rows())
    run = find_run(db, "latest")
    db.close()
    assert (run.status, run.done) == ("done", run.total)
