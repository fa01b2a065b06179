"""The lines for one client: steps and pieces at most 15 times a second, everything else at once.

Owns the limits of a connection: only the newest step or piece goes out, and a client that does not
read is dropped. Runs in the socket's loop. Knows no request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Hashable

from app.bench import wire
from app.bench.wire import Ended, Hello
from core.bench.messages import LONGEST, Done, Event, Failed, Piece, Step, Written
from core.errors import StudyError

FRAME = 1 / 15
"""Seconds between two frames of steps and pieces."""

MOST = 4 * LONGEST
"""Bytes that wait for a client before it is dropped."""

_FULL = 1 << 16  # waiting bytes that hold back the next frame


class Outbox:
    """The lines for one client."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._loose: dict[Hashable, tuple[int, Event | Hello]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._last = -FRAME

    def greet(self, state: Hello) -> None:
        """Send the first line."""
        self._write(wire.WORKER, state)

    def put(self, number: int, event: Event | Hello | Ended) -> None:
        """Send an event, or keep it for the next frame. An event that is too long for a line goes
        out as Failed."""
        if isinstance(event, Piece | Step | Hello):
            self._loose[_slot(number, event)] = (number, event)
            self._schedule()
            return
        if isinstance(event, Written):
            self._loose.pop(_slot(number, event), None)
        if isinstance(event, Done | Failed):
            self._loose.pop((number, "step", 0), None)
            self._empty(number)
        self._write(number, event)

    def close(self) -> None:
        """Send the waiting events, and close the connection."""
        self._empty()
        self._stop()
        self._writer.close()

    def drop(self) -> None:
        """Close the connection at once."""
        self._loose.clear()
        self._stop()
        self._writer.transport.abort()

    def _schedule(self) -> None:
        if self._timer is None:
            due = max(self._loop.time(), self._last + FRAME)
            self._timer = self._loop.call_at(due, self._frame)

    def _frame(self) -> None:
        self._timer = None
        self._last = self._loop.time()
        if self._writer.transport.get_write_buffer_size() > _FULL:
            self._schedule()
        else:
            self._empty()

    def _empty(self, about: int | None = None) -> None:
        """Send the waiting events, of all requests or of one."""
        for slot, (number, event) in list(self._loose.items()):
            if about in (None, number):
                del self._loose[slot]
                self._write(number, event)

    def _write(self, number: int, event: Event | Hello | Ended) -> None:
        if self._writer.transport.is_closing():
            return
        try:
            line = wire.event_line(number, event)
        except StudyError as error:
            line = wire.event_line(number, Failed(title=error.title, hint=error.hint))
        self._writer.write(line)
        if self._writer.transport.get_write_buffer_size() > MOST:
            self.drop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _slot(number: int, event: Piece | Step | Hello | Written) -> Hashable:
    """Events of one slot replace each other; a finished text replaces its pieces."""
    if isinstance(event, Piece | Written):
        return number, "text", event.column
    return number, event.event, 0
