"""A bench without models: it answers by what the prompt says. And its worker, as a process.

The prompt `slow` writes pieces until it is cancelled, `fault` fails, `kill` ends the process at
once, `long` gives a line that is too long; any other text is continued by itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from app.bench import client
from app.bench.client import Wanted
from app.bench.places import Place
from app.bench.worker import Say, work
from core.bench.messages import (
    Crossed,
    Done,
    Event,
    Generate,
    Lens,
    LensGrid,
    Piece,
    Request,
    Score,
    Scored,
    Step,
    Tokens,
    Warned,
    Written,
)
from core.errors import CheckpointError, StudyError
from core.study.study import Study
from core.trust import Trust


def study(name: str = "s") -> Study:
    """A study of models that nothing opens."""
    return Study.model_validate({"name": name, "models": {"base": "/b", "tuned": {"m": "/m"}}})


class FakeBench:
    held = {"cpu": 123}  # noqa: RUF012
    layers = 4

    def answer(
        self, request: Request, give: Callable[[Event], None], pause: Callable[[], None]
    ) -> None:
        text = request.prompt.text
        give(Step(label=f"answers {text}"))
        if text == "doubt":
            give(Warned(message="The prompt was cut."))
        if text == "nonsense":
            raise StudyError("That makes no sense.", hint="Make sense.")
        if text == "fault":
            raise ValueError("a fault")
        if text == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "stubborn":
            time.sleep(600)
        count = 0
        while text == "slow":
            pause()
            count += 1
            give(Piece(column=0, text=f"{count}", tokens=count))
            time.sleep(0.001)
        columns = getattr(request, "columns", ("base",))
        if isinstance(request, Generate):
            long = text if text != "long" else "x" * (1 << 23)
            for column in range(len(columns)):
                give(Piece(column=column, text=text, tokens=1))
                give(Written(column=column, text=long, tokens=1, ended="length"))
            give(Crossed(nll=tuple(tuple(1.0 for _ in columns) for _ in columns)))
        elif isinstance(request, Lens):
            give(LensGrid(rows=((("p", 0.5), ("q", 0.5)), (("r", 0.5), ("s", 0.5)))))
        elif isinstance(request, Score):
            give(Tokens(pieces=(text, *request.continuation), start=1))
            count = len(request.continuation)
            for column in reversed(range(len(columns))):
                give(
                    Scored(
                        column=column, logprobs=(-1.5 - column,) * count, nll=1.5 + column,
                        kl=(0.25 * column,) * count, likeliest=((("a", -1.0),),) * count,
                        nll_change=float(column),
                    )
                )  # fmt: skip
        give(Done(seconds=0.0))


@contextlib.contextmanager
def opening(study: Study, say: Say) -> Iterator[FakeBench]:
    """As the study is named: `broken` fails, `slowly` loads until it is stopped."""
    say("reading weights")
    if study.name == "broken":
        raise CheckpointError("There are no weights.", hint="Look for them.")
    if study.name == "killed":
        print("last words of the library", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    while study.name == "slowly":
        time.sleep(0.01)
        say("still reading")
    yield FakeBench()


def use(monkeypatch: Any) -> None:
    """Let clients start workers with this bench."""

    def command(wanted: Wanted) -> list[str]:
        return [sys.executable, "-P", "-m", "tests.app.bench.fake", str(wanted.place.stem), "60"]

    monkeypatch.setattr(client, "command", command)


if __name__ == "__main__":
    sys.exit(work(Place(Path(sys.argv[1])), float(sys.argv[2]), Trust(), opening))
