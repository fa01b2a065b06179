"""The bench's worker as its screen sees it. Knows no socket and no process.

`app.bench.client.Client` is a `Link`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from core.bench.messages import Request
from core.study.study import Study
from core.texts.encoding import Alone


class WorkerState(Protocol):
    """The state of the worker. `held`: bytes of the models by device; `step`: the work in
    hand while it loads; `layers`: the number of layers, once it is known."""

    @property
    def state(self) -> Literal["loading", "ready", "busy"]: ...
    @property
    def step(self) -> str: ...
    @property
    def held(self) -> Mapping[str, int]: ...
    @property
    def layers(self) -> int | None: ...


class Link(Protocol):
    """A connected worker. Methods raise TauscopeError or OSError once it has ended."""

    @property
    def hello(self) -> WorkerState:
        """The worker's last known state."""

    async def send(self, request: Request) -> int:
        """Send a request, which cancels older ones; gives its number, larger than theirs. Raises
        StudyError if it is too long."""

    async def cancel(self, number: int) -> None:
        """Cancel a request."""

    def __aiter__(self) -> AsyncIterator[tuple[int, Any]]:
        """Events, each with its request's number; number 0 brings a WorkerState."""

    async def stop_worker(self) -> None:
        """Ask the worker to end."""

    async def reconnect(self) -> None:
        """Start another worker after the end of one."""

    async def close(self) -> None:
        """Leave the worker, which goes on."""


COLUMNS = 4
"""The most columns at the start, unless the caller names them: each takes memory and time."""
Connect = Callable[[], Awaitable[Link]]
"""Finds the worker of a study, or starts one. Raises TauscopeError or OSError."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A study's bench, its first columns and its first prompt. `columns`: names, of the value that
    it is opened on; if empty, the columns of the last time, or else `first`.
    `after`: the continuation follows the prompt of the last time. `note`: a warning about them."""

    title: str
    tuned: tuple[str, ...]
    connect: Connect
    columns: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    prompt: str = ""
    continuation: str = ""
    alone: Alone = "item"
    after: bool = False
    note: str = ""
    study: Study | None = None
    run: str = ""
    """The run that trials are kept in; empty where the study has none."""

    @property
    def key(self) -> str:
        """The name of this bench in the user's memory: of its run, or else of its study."""
        return self.run or f"study {self.title}"
