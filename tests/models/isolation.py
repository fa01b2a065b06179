"""A call in a process of its own, with limits on its memory and time: its crash is an answer too.

Knows nothing of models.
"""

from __future__ import annotations

import multiprocessing
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned, or in one line why it did not."""

    value: Any = None
    failure: str = ""


def isolated(call: Callable[..., Any], *given: Any, seconds: float, gigabytes: float) -> Outcome:
    """The outcome of a call in a forked process; its value has to be picklable."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(there, call, given, gigabytes))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            process.kill()
            return Outcome(failure=f"not done after {seconds:.0f} s")
        outcome: Outcome = here.recv()
        return outcome
    except EOFError:
        process.join()
        return Outcome(failure=f"the process ended with exit code {process.exitcode}")
    finally:
        process.join()
        here.close()


def one_line(error: BaseException) -> str:
    """The error's kind, its words, and the line of code that raised it."""
    words = " ".join(str(error).split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {words}{place}"


def _answer(
    there: Connection, call: Callable[..., Any], given: tuple[Any, ...], gigabytes: float
) -> None:
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        outcome = Outcome(call(*given))
    except BaseException as error:  # even an exit of a library is an outcome of the call
        outcome = Outcome(failure=one_line(error))
    there.send(outcome)
    there.close()
