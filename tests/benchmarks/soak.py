"""How much memory a workstation takes that stays open: what an hour of keys would do, shortened.

Memory that is never given back grows with every screen that is opened, so that a few hundred
openings stand for an hour. The ratio is of one process to itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import psutil

from tests.benchmarks.archive import Archive
from tests.benchmarks.report import Row
from tests.benchmarks.screens import SIZES, opened
from tests.pty_terminal import Terminal

APART = 0.1
"""Seconds between two keys: nobody rests."""
OPENING = ("\r", "b")
TOUR = (
    *"\r1vv2v3e", "z", "Y", "\x1b", "X", "\x1b", "?", "\x1b", "'", "\x1b", "b", "j", "L", "\x1b",
    "n", "\x1b", ":", "\x1b", "k", " ", "j", "=", "v", "2", "-", "b", " ", "k", " ",
)  # fmt: skip
WARM, OPENINGS, TOURS = 40, 300, 25
MOST = 2.0


def rows(made: Archive, environment: Mapping[str, str]) -> Iterator[Row]:
    """One screen opened again and again, and tours of all of them."""
    for name, keys, times, warm in (
        ("memory after 300 openings of a run, over that after 40", OPENING, OPENINGS, WARM),
        ("memory after 25 tours of all screens, over that after 2", TOUR, TOURS, 2),
    ):
        with opened(made, environment, SIZES[1]) as terminal:
            time.sleep(1)  # what is imported while the list is looked at
            _press(terminal, keys * warm)
            first = _taken(terminal)
            _press(terminal, keys * (times - warm))
            last = _taken(terminal)
        note = f"{first / 1e6:.0f} MB and {last / 1e6:.0f} MB, {times * len(keys):,} keys"
        yield Row(name, last / first, "≤", MOST, note)


def _press(terminal: Terminal, keys: tuple[str, ...]) -> None:
    for key in keys:
        terminal.press(key)
        time.sleep(APART)
    if terminal.process.poll() is not None:
        raise RuntimeError(f"the workstation is gone: {terminal.text()[-2000:]}")


def _taken(terminal: Terminal) -> int:
    """Bytes of memory that are the workstation's own."""
    return int(psutil.Process(terminal.process.pid).memory_full_info().uss)
