"""The socket's side of a worker: clients, their lines, and the answers to them.

Owns a thread with its own loop, so a client is heard while a model computes. Refuses other users,
and survives any input. Knows no model: requests go to `Turns`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from typing import Self

from app.bench import wire
from app.bench.outbox import Outbox
from app.bench.turns import Job, Turns
from app.bench.wire import Ended, Hello
from core.bench.messages import LONGEST, Done, Event, Failed
from core.errors import RunError, StudyError

CLIENTS = 16
"""Most clients at once."""

_OCCUPIED = Ended.by(
    RunError(
        f"The bench already has {CLIENTS} clients, the most that it takes.",
        hint="Close one of them.",
    )
)
_CREDENTIALS = struct.Struct("iII")  # pid, uid, gid
_PARTING = 1.0  # seconds for the last lines at the end


class Server:
    """A running server: a context manager, closed with `last_words`.

    `state` is called for each greeting, `on_stop` when a client asks the worker to end; both in the
    socket's thread.
    """

    def __init__(
        self,
        listening: socket.socket,
        turns: Turns,
        state: Callable[[], Hello],
        on_stop: Callable[[], None],
    ) -> None:
        self.last_words: Ended | None = None
        self._listening, self._turns = listening, turns
        self._state, self._on_stop = state, on_stop
        self._outboxes: set[Outbox] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="bench socket", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(2 * _PARTING)

    def give(self, job: Job, event: Event) -> None:
        """Send an event of a job to its client; of a cancelled job only its end."""
        if isinstance(event, Done | Failed) or not job.cancelled.is_set():
            self._loop.call_soon_threadsafe(self._give, job, event)

    def tell(self) -> None:
        """Send the worker's state to every client."""
        self._loop.call_soon_threadsafe(self._tell)

    def _give(self, job: Job, event: Event) -> None:
        if job.client in self._outboxes:
            assert isinstance(job.client, Outbox)
            job.client.put(job.number, event)

    def _tell(self) -> None:
        state = self._state()
        for outbox in self._outboxes:
            outbox.put(wire.WORKER, state)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        serving = asyncio.start_unix_server(self._serve, sock=self._listening, limit=LONGEST)
        server = self._loop.run_until_complete(serving)
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._loop.run_until_complete(self._part())
            self._loop.close()

    async def _part(self) -> None:
        """Send the last words and close every connection."""
        for outbox in list(self._outboxes):
            if self.last_words is not None:
                outbox.put(wire.WORKER, self.last_words)
            outbox.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_PARTING)
        for outbox in list(self._outboxes):
            outbox.drop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        outbox = Outbox(writer)
        if not _is_own(writer):
            outbox.drop()
            return
        if len(self._outboxes) >= CLIENTS:
            outbox.put(wire.WORKER, _OCCUPIED)
            outbox.close()
            return
        self._outboxes.add(outbox)
        outbox.greet(self._state())
        try:
            # A client that ends within a line leaves a part without a line break.
            while (line := await reader.readline()).endswith(b"\n"):
                self._hear(outbox, line)
        except ValueError:
            too_long = f"A line to the bench has more than {LONGEST} bytes."
            outbox.put(wire.WORKER, Failed(title=too_long, hint="The connection is closed."))
        except OSError:
            pass
        finally:
            self._outboxes.discard(outbox)
            self._turns.cancel(outbox)
            outbox.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _hear(self, outbox: Outbox, line: bytes) -> None:
        number = wire.WORKER
        try:
            number, message = wire.split(line)
            asked = wire.asked(message)
        except StudyError as error:
            outbox.put(number, Failed(title=error.title, hint=error.hint))
            return
        if asked == "status":
            outbox.put(wire.WORKER, self._state())
        elif asked == "stop":
            self._on_stop()
        elif asked == "cancel":
            _say_cancelled(outbox, self._turns.cancel(outbox, number))
        elif not isinstance(asked, str):
            _say_cancelled(outbox, self._turns.add(Job(outbox, number, asked)))


def _say_cancelled(outbox: Outbox, job: Job | None) -> None:
    if job is not None:
        outbox.put(job.number, Failed(title="Cancelled before it began.", cancelled=True))


def _is_own(writer: asyncio.StreamWriter) -> bool:
    """Is the client a process of this user? The socket's folder keeps others out; this asks the
    kernel too, where it can tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    connection = writer.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.getuid())
