"""A bench without a worker: a link that answers from functions of this file, at once.

Owns what the pretended models say. Its numbers are recorded and mean nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.tui.bench.link import Opening
from core.bench.messages import (
    Compare,
    Crossed,
    Differing,
    Done,
    Event,
    Generate,
    Lens,
    LensGrid,
    Piece,
    Request,
    Score,
    Scored,
    Tokens,
    Written,
)
from core.errors import RunError

TUNED = ("medical", "maths")
Answer = Callable[[Request], Iterator[Event]]


@dataclass(frozen=True)
class Hello:
    """What a worker tells of itself."""

    state: Literal["loading", "ready", "busy"]
    step: str = ""
    held: Mapping[str, int] = field(default_factory=dict)
    layers: int | None = 4


class FakeLink:
    """Answers every request, or none while it is `slow`; `sent` has them all."""

    def __init__(self, answer: Answer | None = None, *, slow: bool = False) -> None:
        self.answer = answer or answered
        self.slow = slow
        self.sent: list[Request] = []
        self.cancelled: list[int] = []
        self.started = 0
        self.closed = False
        self.hello = Hello("loading", "reading the base")
        self._said: asyncio.Queue[tuple[int, Any] | None] = asyncio.Queue()

    async def connect(self) -> FakeLink:
        await self.reconnect()
        return self

    async def reconnect(self) -> None:
        self.started += 1
        self.say(0, Hello("ready", held={"cpu": 412_000_000}))

    async def send(self, request: Request) -> int:
        self.sent.append(request)
        number = len(self.sent)
        if not self.slow:
            for event in self.answer(request):
                self.say(number, event)
        return number

    async def cancel(self, number: int) -> None:
        self.cancelled.append(number)

    async def stop_worker(self) -> None:
        self.die()

    async def close(self) -> None:
        self.closed = True

    def say(self, number: int, event: Event | Hello) -> None:
        """Have the worker say this next."""
        self._said.put_nowait((number, event))

    def die(self) -> None:
        """Have the worker end."""
        self._said.put_nowait(None)

    def __aiter__(self) -> AsyncIterator[tuple[int, Any]]:
        return self._all()

    async def _all(self) -> AsyncIterator[tuple[int, Any]]:
        while (message := await self._said.get()) is not None:
            yield message
        raise RunError("The bench's worker ended.", hint="Last lines of its log:\nKilled")


def opening(link: FakeLink, **given: Any) -> Opening:
    """What a bench of these models begins with."""
    return Opening("domains", TUNED, link.connect, **given)


def answered(request: Request) -> Iterator[Event]:
    """What the pretended models say."""
    match request:
        case Score():
            yield from _scores(request)
        case Generate():
            yield from _texts(request)
        case Lens():
            yield _tokens(request.prompt.text, request.continuation)
            pieces = (*pieces_of(request.prompt.text), *pieces_of(request.continuation))
            yield LensGrid(
                rows=tuple(
                    tuple((piece if layer > 1 else " the", 0.1 + 0.2 * layer) for piece in pieces)
                    for layer in range(4)
                )
            )
        case Compare():
            yield Differing(neurons=tuple((n % 4, 7 * n, 1.5 - n / 20, n / 40) for n in range(20)))
    yield Done(seconds=0.04)


def pieces_of(text: str) -> tuple[str, ...]:
    """The pretended tokens of a text."""
    words = text.split(" ")
    return (
        tuple(word if index == 0 else f" {word}" for index, word in enumerate(words))
        if text
        else ()
    )


def _tokens(prompt: str, continuation: str) -> Tokens:
    before = pieces_of(prompt)
    return Tokens(pieces=(*before, *pieces_of(continuation)), start=len(before))


def _scores(request: Score) -> Iterator[Event]:
    yield _tokens(request.prompt.text, request.continuation)
    pieces = pieces_of(request.continuation)
    for index in range(len(request.columns)):
        away = abs(index - request.against)
        logs = tuple(-2.0 + away * ((7 * n) % 5 - 1.5) / 3 for n in range(len(pieces)))
        likeliest = tuple(((piece, log), (" a", -3.0), (" in", -4.0), ("\n", -5.0), (" x", -9.0))
                          for piece, log in zip(pieces, logs, strict=True))  # fmt: skip
        nll = -sum(logs) / max(1, len(logs))
        kl = tuple(away * n / 9 for n in range(len(pieces)))
        yield Scored(column=index, logprobs=logs, kl=kl,
                     likeliest=likeliest, nll=nll, nll_change=nll - 2.0)  # fmt: skip


def _texts(request: Generate) -> Iterator[Event]:
    texts = [f" {request.prompt.text} again, says {name}." for name in request.columns]
    for index, text in enumerate(texts):
        yield Piece(column=index, text=text[:9], tokens=3)
        yield Written(column=index, text=text, tokens=9, ended="length")
    yield Crossed(nll=tuple(tuple(1 + abs(i - j) / 4 for j in range(len(texts)))
                            for i in range(len(texts))))  # fmt: skip
