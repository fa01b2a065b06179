"""The bench's worker as its screen sees it. Knows no socket and no process.

`app.bench.client.Client` is one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.bench.messages import Request
from core.study.study import Study


class WorkerState(Protocol):
    """What the worker tells of itself. `held`: bytes of the models by device; `step`: the work in
    hand while it loads."""

    @property
    def state(self) -> Literal["loading", "ready", "busy"]: ...
    @property
    def step(self) -> str: ...
    @property
    def held(self) -> Mapping[str, int]: ...


class Link(Protocol):
    """A connected worker. Methods raise TauscopeError or OSError once it has ended."""

    @property
    def hello(self) -> WorkerState:
        """The worker's state as last told."""

    async def send(self, request: Request) -> int:
        """Hand a request over, which cancels older ones; its number, larger than theirs."""

    async def cancel(self, number: int) -> None:
        """End a request."""

    def __aiter__(self) -> AsyncIterator[tuple[int, Any]]:
        """Events with the number of their request; of number 0 is a WorkerState."""

    async def stop_worker(self) -> None:
        """Ask the worker to end."""

    async def reconnect(self) -> None:
        """Start another worker after the end of one."""

    async def close(self) -> None:
        """Leave the worker, which goes on."""


COLUMNS = 4
"""Columns to begin with, unless some are asked for: each holds a model and takes its time."""
Connect = Callable[[], Awaitable[Link]]
"""Finds the worker of a study, or starts one. Raises TauscopeError or OSError."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A study on the bench, and what to begin with. `columns` by their names; none: the base and
    the tuned models."""

    title: str
    tuned: tuple[str, ...]
    connect: Connect
    columns: tuple[str, ...] = ()
    prompt: str = ""
    continuation: str = ""
    study: Study | None = None
    run: str = ""
    """The run that trials are kept in; empty where the study has none."""
