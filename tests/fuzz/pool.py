"""Cases in processes of their own, within limits of time and memory.

Owns the processes. One that is too slow, or that dies, is a case that failed; the next case begins
in a new one.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from queue import Empty, Queue
from typing import IO, NamedTuple

SECONDS = 30.0
"""That a case may take."""

STARTING = 120.0
"""Seconds more for the first case of a process, which imports torch."""

MEMORY = 10 << 30
"""Bytes of addresses that a process may have; torch takes some gigabytes without using them."""


class Outcome(NamedTuple):
    """How a case ended: what is wrong with it, nothing where all is right; its exit codes."""

    kind: str
    number: int
    wrong: str
    codes: Sequence[int]


def outcomes(
    cases: Iterable[tuple[str, int]],
    valid: Path,
    right: float,
    *,
    jobs: int,
    seconds: float = SECONDS,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """The outcomes of these cases, in no order; `on_outcome` hears of each at once."""
    waiting: Queue[tuple[str, int]] = Queue()
    for case in cases:
        waiting.put(case)
    results: list[Outcome] = []

    def work() -> None:
        with tempfile.TemporaryFile("w+") as log:
            worker: _Worker | None = None
            while True:
                try:
                    kind, number = waiting.get_nowait()
                except Empty:
                    break
                worker = worker or _Worker(valid, right, log)
                wrong, codes, ended = worker.attempt(kind, number, seconds)
                worker = None if ended else worker
                outcome = Outcome(kind, number, wrong, codes)
                results.append(outcome)
                on_outcome(outcome)
            if worker is not None:
                worker.end()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class _Worker:
    """A process that answers cases."""

    def __init__(self, valid: Path, right: float, log: IO[str]) -> None:
        self._said = log
        self._fresh = True
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "80"}
        environment.pop("TAUSCOPE_DEBUG", None)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.trial", str(valid), repr(right)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            env=environment, preexec_fn=_limit,
        )  # fmt: skip

    def attempt(self, kind: str, number: int, seconds: float) -> tuple[str, Sequence[int], bool]:
        """What is wrong, the exit codes, and whether the process is gone."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Event()

        def kill() -> None:
            overdue.set()
            process.kill()

        timer = threading.Timer(seconds + STARTING * self._fresh, kill)
        timer.start()
        try:
            process.stdin.write(f"{kind} {number}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        self._fresh = False
        if line:
            wrong, codes = json.loads(line)
            return wrong, codes, False
        self.end()
        self._said.seek(0)
        last = self._said.read()[-2000:]
        return (f"no end in {seconds:.0f} s" if overdue.is_set() else f"died: {last}"), (), True

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
