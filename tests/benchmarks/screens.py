"""How soon the commands and the screens answer, over a database of two hundred runs.

The workstation runs in a real pseudo-terminal; what is measured is what came out of it, and when.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from core.engine import registry
from tests.benchmarks import archive
from tests.benchmarks.archive import Archive
from tests.benchmarks.report import Row
from tests.benchmarks.workload import best
from tests.conftest import WEIGHTS
from tests.pty_terminal import Terminal

ROOT = Path(__file__).resolve().parents[2]
SIZES = ((80, 24), (160, 45))
TIMES = 2
"""Whole tours, each in a process of its own: of every screen the fastest counts."""


def rows(folder: Path) -> Iterator[Row]:
    """Opening, every screen, keys beside a job and an export, bytes, and the commands."""
    from tests.benchmarks import answers, soak

    place = folder / "archive"
    place.mkdir(exist_ok=True)
    for file in place.glob("archive.db*"):
        file.unlink()
    started = time.perf_counter()
    made = archive.build(place)
    took = time.perf_counter() - started
    database = f"{archive.RUNS} runs, {made.measurements / 1e6:.1f} million measurements"
    environment = quiet(place)
    start(made, environment)  # compiles what was never imported
    yield from _opening(made, environment, f"{database}, made in {took:.0f} s")
    for size in SIZES:
        yield from _screens(made, environment, size)
    yield from answers.rows(made, environment)
    yield from soak.rows(made, environment)
    yield from _commands(made, environment)


def quiet(place: Path) -> dict[str, str]:
    """Surroundings of its own: settings, states and compiled files lie in the folder."""
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return given | {
        "PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(place / "compiled"),
        "XDG_STATE_HOME": str(place / "state"), "XDG_CONFIG_HOME": str(place / "state"),
        "TERM": "xterm-256color", "COLORTERM": "truecolor",
    }  # fmt: skip


@contextmanager
def opened(
    made: Archive, environment: Mapping[str, str], size: tuple[int, int] = SIZES[0]
) -> Iterator[Terminal]:
    """The workstation on its list, at rest, remembering nothing of an earlier time."""
    for file in Path(environment["XDG_STATE_HOME"]).rglob("*.json"):
        file.unlink()
    command, folder = program("--db", made.db.url), made.db.path.parent
    with Terminal(command, size=size, env=environment, cwd=folder) as terminal:
        terminal.until(f"domains-{archive.RUNS - 1}", terminal.started)
        terminal.settled(terminal.started)
        yield terminal


def program(*arguments: str) -> list[str]:
    """The command line, as its console script starts it."""
    return [sys.executable, "-c", "from app.cli.main import main; main()", *arguments]


def start(made: Archive, environment: Mapping[str, str]) -> tuple[float, float]:
    """Seconds from the start of a process to its first paint, and to the list of runs."""
    with opened(made, environment) as terminal:
        first = terminal.until("tauscope", terminal.started)
        listed = terminal.until(f"domains-{archive.RUNS - 1}", terminal.started)
        return first - terminal.started, listed - terminal.started


def _opening(made: Archive, environment: Mapping[str, str], database: str) -> Iterator[Row]:
    openings = [start(made, environment) for _ in range(5)]
    paints, lists = zip(*openings, strict=True)
    middle = statistics.median(lists)
    yield Row("the workstation paints first, s", min(paints), "≤", 1.0, "from the process's start")
    yield Row(
        "the workstation lists the runs, s", min(lists), "≤", 1.0,
        f"median {middle:.2f}; {database}",
    )  # fmt: skip


KEYS = {"tab": "\t", "escape": "\x1b", "enter": "\r", "page down": "\x1b[6~"}
LIST = (
    ("help", "?"), ("", "escape"), ("new study", "n"), ("", "escape"), ("filter", "/"),
    ("", "escape"), ("palette", ":"), ("", "escape"), ("", "space"), ("down", "j"),
)  # fmt: skip
"""Keys of the list, each with the name of what it brings up; without one only to get on."""
RUN = (
    ("the first tab", "1"), ("next view", "v"), ("behind a value", "enter"), ("", "1"),
    ("copying", "Y"), ("", "escape"), ("exporting", "X"), ("", "escape"), ("help", "?"),
    ("", "escape"), ("jumping", "'"), ("", "escape"),
)  # fmt: skip


def _screens(made: Archive, environment: Mapping[str, str], size: tuple[int, int]) -> Iterator[Row]:
    across = f"{size[0]}x{size[1]}"
    tours = [_tour(made, environment, size) for _ in range(TIMES)]
    for group in tours[0]:
        names = {name for tour in tours for name in tour[group]}
        fastest = {n: min(t[group][n] for t in tours if n in t[group]) for n in names}
        slow = sorted(fastest, key=fastest.__getitem__, reverse=True)
        others = ", ".join(f"{name} {fastest[name]:.0f}" for name in slow[:3])
        within = sum(value <= 150 for value in fastest.values())
        yield Row(
            f"slowest screen to be painted, {group}, {across}, ms", fastest[slow[0]], "≤", 150,
            f"{within} of {len(fastest)} within; {others}",
        )  # fmt: skip


Found = dict[str, dict[str, float]]


def _tour(made: Archive, environment: Mapping[str, str], size: tuple[int, int]) -> Found:
    """Milliseconds from each key to the last of what it painted, by group and screen."""
    with opened(made, environment, size) as terminal:
        time.sleep(1)  # what is imported while the list is looked at
        screens: Found = {"the list": _walk(terminal, LIST)}
        _walk(terminal, [("", "g"), ("", "space")])
        screens["the largest run"] = _visit(terminal, tabs=len(registry.names()), views=3)
        _walk(terminal, [("", "b"), ("", "j")])
        screens["a run of 5,000"] = _visit(terminal, tabs=len(WEIGHTS), views=3)
        _walk(terminal, [("", "b"), ("", "g"), ("", "space"), ("", "j"), ("", "j")])
        pictures = _pictures(len(WEIGHTS), 3)[1:]  # it opens on the first tab
        comparing = [("comparing", "="), *pictures, ("", "tab"), ("difference", "-")]
        screens["two runs compared"] = _walk(terminal, comparing)
        return screens


def _visit(terminal: Terminal, *, tabs: int, views: int) -> dict[str, float]:
    """A run opened, each of its tabs and views, and what else its screen brings up."""
    opening = _walk(terminal, [("opening", "enter")])
    rest = [*_pictures(tabs, views), ("facts", "tab"), ("overview", "0"), *RUN]
    return opening | _walk(terminal, rest)


def _pictures(tabs: int, views: int) -> list[tuple[str, str]]:
    return [
        step
        for tab in range(1, tabs + 1)
        for step in (
            (f"tab {tab}", "tab"),
            *((f"tab {tab} view {view}", "v") for view in range(2, views + 1)),
        )
    ]


def _walk(terminal: Terminal, steps: Sequence[tuple[str, str]]) -> dict[str, float]:
    times: dict[str, float] = {}
    for name, key in steps:
        moment = terminal.press({**KEYS, "space": " "}.get(key, key))
        try:
            painted = terminal.settled(moment, quiet=0.25, patience=0.6)
        except TimeoutError:
            if not terminal.since(moment):
                continue  # a tab with a single view
            painted = terminal.settled(moment, quiet=0.25)
        if name:
            times[name] = 1000 * (painted - moment)
    return times


def _commands(made: Archive, environment: Mapping[str, str]) -> Iterator[Row]:
    """Whole processes, to their ends."""
    common = made.common[0]
    for words, arguments, limit in (
        ("tauscope --help, s", ("--help",), 0.5),
        ("tauscope runs, s", ("runs", "--db", made.db.url), 1.0),
        ("tauscope watch of a finished run, s", ("watch", common, "--db", made.db.url), 1.0),
        ("tauscope show of a run of 5,000, s", ("show", common, "--db", made.db.url), 2.0),
        ("tauscope show of the largest run, s", ("show", made.largest, "--db", made.db.url), 4.0),
    ):
        command = program(*arguments)
        took = best(partial(_silent, command, environment), 3)
        yield Row(words, took, "≤", limit, "a whole process")


def _silent(command: list[str], environment: Mapping[str, str]) -> None:
    subprocess.run(command, check=True, capture_output=True, env=dict(environment))
