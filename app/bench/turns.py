"""The order of requests: only the newest one of a client waits, and the longest wait comes first.

Owns cancellation. The socket's thread adds requests, the computing thread takes them. Knows no
socket.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from core.bench.messages import Request
from core.errors import Cancelled


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A client's request. `cancelled` may be set at any time."""

    client: Hashable
    number: int
    request: Request
    cancelled: threading.Event = field(default_factory=threading.Event)

    def pause(self) -> None:
        """Called between two steps of the work. Raises Cancelled after a cancellation."""
        if self.cancelled.is_set():
            raise Cancelled("A newer request, or its sender, cancelled this one.")


class Turns:
    """The waiting jobs and the current one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, Job] = {}
        self._current: Job | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()

    def add(self, job: Job) -> Job | None:
        """Add a job in place of the client's waiting one, which is returned; its current one is
        cancelled. So a client's requests never delay another client by more than one."""
        with self._lock:
            before = self._waiting.get(job.client)
            self._waiting[job.client] = job  # at the place of the one before
            if self._current is not None and self._current.client == job.client:
                self._current.cancelled.set()
        self.wake()
        return before

    def cancel(self, client: Hashable, number: int | None = None) -> Job | None:
        """Cancel a client's request, or all of them; returns the waiting one, which it
        removes."""
        with self._lock:
            current = self._current
            if current and current.client == client and number in (None, current.number):
                current.cancelled.set()
            waiting = self._waiting.get(client)
            if waiting is None or number not in (None, waiting.number):
                return None
            return self._waiting.pop(client)

    def take(self, seconds: float) -> Job | None:
        """The next job, now the current one; None after these seconds or after `wake`."""
        job = self._next()
        if job is None:
            try:
                self._bell.get(timeout=max(0.0, seconds))
            except Empty:
                return None
            job = self._next()
        return job

    def finish(self) -> None:
        """The current job is answered."""
        with self._lock:
            self._current = None

    def wake(self) -> None:
        """End a wait of `take`. A signal's handler may call it."""
        self._bell.put(None)

    def _next(self) -> Job | None:
        with self._lock:
            client = next(iter(self._waiting), None)
            self._current = None if client is None else self._waiting.pop(client)
            return self._current
