"""How soon the commands and the workstation answer."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.report import Row
from tests.benchmarks.workload import best

_OPEN = """
import asyncio, sys, time
from app.tui.app import TauscopeApp

async def main():
    app = TauscopeApp(sys.argv[1])
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        print(time.time())

asyncio.run(main())
"""


def rows(folder: Path) -> Iterator[Row]:
    """Whole processes, from the start of the interpreter to the first screen and out again."""
    database = str(folder / "empty.db")
    _run("-c", _OPEN, database)
    opened = min(_opened(database) for _ in range(5))
    yield Row("the workstation opens, s", opened, "≤", 1.0, "from the start of the interpreter")
    helped = best(lambda: _run("-m", "app.cli", "--help"), 5)
    yield Row("tauscope --help, s", helped, "≤", 0.5, "a whole process")


def _opened(database: str) -> float:
    """Seconds until the first screen stands."""
    started = time.time()
    return float(_run("-c", _OPEN, database)) - started


def _run(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
