"""Keys answered while others work, and what goes over the line to the terminal.

A pretended job writes progress into the database as a worker does, while as many processes as
there are cores do nothing but compute; the export is the workstation's own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise

import psutil

from tests.benchmarks.archive import Archive
from tests.benchmarks.report import Row
from tests.benchmarks.screens import SIZES, opened
from tests.pty_terminal import Terminal

PRESSED = 100
APART = 0.12
"""Seconds between two keys; not a multiple of the poll's."""
ANSWERED, KILOBYTES, RAISED, RATE = 50, 6.0, 20.0, 1.6
"""Milliseconds in which a key is answered, KB of a cursor's move and of a move that paints a
picture anew (another curve on top, the overview beside the list), KB a second beside a job."""
RESTS = 0.12
"""Seconds after a move within which a held key moves on, before the overview is read."""

_JOB = """
import sys, time
from core.engine.measurement import Progress
from storage.database import open_database
from storage.runs import claim, create_run, study_of
from storage.schema import RunUnitRow
from storage.sink import RunSink
from sqlalchemy import insert, select
db = open_database(sys.argv[1])
old = sys.argv[2]
from storage.runs import find_run
run = create_run(db, study_of(db, old), find_run(db, old).analyses)
with db.writing() as connection:
    units = connection.scalars(select(RunUnitRow.unit_id).where(RunUnitRow.run_id == old)).all()
    connection.execute(insert(RunUnitRow), [{"run_id": run, "unit_id": u} for u in units])
sink = RunSink(db, run, claim(db, run))
print(run, flush=True)
for done in range(100000):
    sink.progress(Progress(done % 1000, 1000, 0, f"layer {done}"))
    time.sleep(0.25)
"""


def rows(made: Archive, environment: Mapping[str, str]) -> Iterator[Row]:
    """Keys answered at rest, beside a job and beside an export; bytes of moves and of a job."""
    with opened(made, environment) as terminal:
        _show(terminal)
        yield _answers(terminal, "nothing runs")
    with working(made, environment), opened(made, environment) as terminal:
        _show(terminal)
        yield _answers(terminal, "a job computes on every core")
    yield _beside_export(made, environment)
    for size in SIZES:
        yield from _bytes(made, environment, size)
    with working(made, environment, burn=False):
        for size in SIZES:
            yield from _ticks(made, environment, size)


@contextmanager
def working(made: Archive, environment: Mapping[str, str], *, burn: bool = True) -> Iterator[str]:
    """A run that is running for the time of a block, by its id."""
    from storage.runs import delete_run

    cores = (os.cpu_count() or 1) if burn else 0
    burning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    command = [sys.executable, "-c", _JOB, made.db.url, made.common[0]]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(environment))
    try:
        assert job.stdout is not None
        run = job.stdout.readline().strip()
        yield run
    finally:
        for process in burning:
            process.kill()
            process.wait()
        job.kill()
        job.communicate()
        delete_run(made.db, run)


def _show(terminal: Terminal) -> None:
    """The newest run's first heat map."""
    for key in ("g", "\r", "1", "v"):
        terminal.press(key)
        time.sleep(1.5)


def _answers(terminal: Terminal, what: str) -> Row:
    load = os.getloadavg()[0]
    delays = sorted(_pressed(terminal, PRESSED))
    load = max(load, os.getloadavg()[0])
    middle, late = statistics.median(delays), delays[int(0.95 * len(delays))]
    return Row(
        f"a key answered while {what}, 95 of 100 within, ms", late, "≤", ANSWERED,
        f"median {middle:.0f}, slowest {delays[-1]:.0f}, load {load:.1f}",
    )  # fmt: skip


def _pressed(terminal: Terminal, times: int) -> Iterator[float]:
    """Milliseconds from a key to the words that it brings: the cursor goes down a layer and up."""
    for i in range(times):
        key, layer = ("k", 0) if i % 2 else ("j", 1)
        pressed = terminal.press(key)
        yield 1000 * (terminal.until(f"layer {layer}", pressed, patience=10) - pressed)
        time.sleep(APART)


def _beside_export(made: Archive, environment: Mapping[str, str]) -> Row:
    with opened(made, environment) as terminal:
        _show(terminal)
        terminal.press("X")
        time.sleep(0.5)
        terminal.press("a")
        time.sleep(2)
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        try:
            return _answers(terminal, "the run is exported")
        finally:
            for child in children:
                child.kill()


def _bytes(made: Archive, environment: Mapping[str, str], size: tuple[int, int]) -> Iterator[Row]:
    """What a move of the cursor sends, of each kind of figure: the dearest."""
    with opened(made, environment, size) as terminal:
        time.sleep(1)  # the overview of the first run
        sizes = {"the list": _sent(terminal, "j", RESTS)}
        overview = _sent(terminal, "j", 1.0)
        figures = (
            ("curves", "g\r1"), ("a heat map", "v"), ("a matrix", "1"), ("a table", "6"),
            ("points", "7"),
        )  # fmt: skip
        for name, keys in figures:
            for key in keys:
                terminal.press(key)
                time.sleep(1)
            sizes[name] = max(_sent(terminal, key) for key in ("l" if name == "curves" else "jl"))
            if name == "curves":
                raised = _sent(terminal, "j")
    worst = max(sizes, key=sizes.__getitem__)
    yield Row(
        f"sent by a move of the cursor, {size[0]}x{size[1]}, KB", sizes[worst], "≤", KILOBYTES,
        ", ".join(f"{name} {kilobytes:.1f}" for name, kilobytes in sizes.items()),
    )  # fmt: skip
    yield Row(
        f"sent by a move to another curve, {size[0]}x{size[1]}, KB", raised, "≤", RAISED,
        "the curve left and the one gone to are painted anew",
    )  # fmt: skip
    yield Row(
        f"sent by a move to another run, {size[0]}x{size[1]}, KB", overview, "≤", RAISED,
        "its overview beside a wide list included",
    )  # fmt: skip


def _sent(terminal: Terminal, key: str, wait: float = 0.4) -> float:
    """KB after a key, the median of three."""
    sizes = []
    for _ in range(3):
        moment = terminal.press(key)
        time.sleep(wait)
        sizes.append(sum(len(chunk.data) for chunk in terminal.since(moment)) / 1000)
    return statistics.median(sizes)


def _ticks(made: Archive, environment: Mapping[str, str], size: tuple[int, int]) -> Iterator[Row]:
    """What a running job sends while nobody touches a key: of the list, and of its own screen."""
    seconds = 10
    with opened(made, environment, size) as terminal:
        for place in ("the list", "its own screen"):
            if place != "the list":
                _show(terminal)
            start = time.perf_counter()
            time.sleep(seconds)
            chunks = terminal.since(start)
            sent = sum(len(each.data) for each in chunks) / 1000
            times = [start, *(each.at for each in chunks)]
            ticks = sum(later - before > 0.05 for before, later in pairwise(times))
            yield Row(
                f"sent beside a job, {place}, {size[0]}x{size[1]}, KB a second", sent / seconds,
                "≤", RATE, f"{1000 * sent / max(1, ticks):.0f} bytes a tick",
            )  # fmt: skip
