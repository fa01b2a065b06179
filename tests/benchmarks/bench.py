"""How soon the bench answers, and what goes over its socket: the demo family in a real worker."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from app.bench import client, wire
from app.bench.client import Client
from app.bench.wire import Hello
from core.bench.messages import Done, Event, Generate, Piece, Prompt, Request, Score, Written
from core.demo.family import build
from core.study import intake
from tests.benchmarks.report import Row

TIMES, TIES = 20, "ties(density=0.2):"
PROMPT = Prompt(text="The patient was given")


def rows(folder: Path) -> Iterator[Row]:
    """First tokens, scores after a change of λ, and frames and bytes a second."""
    family = build(user_cache_path("tauscope", appauthor=False) / "demo", progress=_quietly)
    yield from asyncio.run(_rows(folder / "bench.db", intake.read(family.study)))


async def _rows(database: Path, study: Any) -> list[Row]:
    asking = await client.connect(database, study)
    try:
        columns = asking.hello.models
        for mix in ("", "medical=0.5,maths=0.5", f"{TIES}medical=0.5,maths=0.5"):
            # Reads the weights, finds the thresholds, and warms up.
            await _answer(asking, Generate(prompt=PROMPT, columns=(*columns, *filter(None, [mix]))))
        first = [
            await _answer(asking, Generate(prompt=PROMPT, columns=columns, seed=n), first=True)
            for n in range(TIMES)
        ]
        scores = [await _answer(asking, _score(n / 100)) for n in range(TIMES)]
        elected = [await _answer(asking, _score(n / 100, TIES)) for n in range(TIMES)]
        flood = Generate(prompt=PROMPT, columns=columns, tokens=200, temperature=2.0)
        began, events = time.perf_counter(), list[Event]()
        await _answer(asking, flood, into=events)
        took = time.perf_counter() - began
        sent = [len(wire.event_line(1, event)) for event in events]
    finally:
        await asking.stop_worker()
        await asking.close()
    pieces = [sum(isinstance(e, Piece) and e.column == n for e in events) for n in range(5)]
    drawn = sum(e.tokens for e in events if isinstance(e, Written))
    return [
        _row("the first token on the bench, five models, ms", first, 150, "after enter"),
        _row("scores on the bench after a change of λ, ms", scores, 300, "base, medical and a mix"),
        _row("the same of a TIES mix, ms", elected, 300, "base, medical and a mix"),
        Row(
            "frames of a generated text, a second", max(pieces) / took, "≤", 16,
            f"{max(pieces)} in {took:.1f} s, {drawn} tokens by five models",
        ),
        Row(
            "sent by the bench while five models write, KB a second", sum(sent) / took / 1000, "≤",
            100, f"{sum(sent) / 1000:.0f} KB in {len(sent)} lines",
        ),
    ]  # fmt: skip


def _row(name: str, seconds: list[float], target: float, note: str) -> Row:
    milliseconds = [1000 * each for each in seconds]
    return Row(
        name,
        statistics.median(milliseconds),
        "≤",
        target,
        f"{note}; the slowest {max(milliseconds):.0f} ms",
    )


def _score(amount: float, method: str = "") -> Score:
    columns = ("base", "medical", f"{method}medical={0.3 + amount:g},maths=0.4")
    return Score(prompt=PROMPT, continuation=" a book in the harbour.", columns=columns)


async def _answer(
    asking: Client, request: Request, *, first: bool = False, into: list[Event] | None = None
) -> float:
    """Seconds to the first text, or to the end."""
    began, took = time.perf_counter(), 0.0
    number = await asking.send(request)
    async for about, event in asking:
        if about != number or isinstance(event, Hello):
            continue
        if into is not None:
            into.append(event)
        if first and not took and isinstance(event, Piece | Written):
            took = time.perf_counter() - began
        if isinstance(event, Done):
            break
    return took or time.perf_counter() - began


def _quietly(*_: object) -> None:
    pass
