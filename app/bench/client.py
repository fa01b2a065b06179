"""A connection to the bench of a study; it starts the worker if none runs.

Owns the client's side of the socket. Knows no screen: requests go out, numbered events come in.

    client = await connect(db.path, study)
    number = await client.send(Score(...))
    async for about, event in client:       # (0, Hello) at each change of the worker's state
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from app import config
from app.bench import places, wire
from app.bench.places import Place
from app.bench.wire import Ended, Hello
from app.jobs import launcher
from core import trust
from core.bench.messages import LONGEST, Event, Request
from core.errors import RunError, StorageError, StudyError, TauscopeError
from core.study.study import Study
from core.trust import Trust

_LOOK = 0.05  # seconds between two attempts to connect
_LONG = 10.0  # seconds of refused attempts


async def connect(
    database: Path,
    study: Study,
    *,
    idle: float | None = None,
    trusting: Trust | None = None,
    start: bool = True,
) -> Client:
    """Connect to the bench of a study; returns once its worker greets, even while it loads.

    `database`: the path of the bench's database (`Database.path`). `idle`: a worker that is started
    here ends after this many seconds without a request; by default the user's setting. `trusting`:
    permission to run the models' code, by default the study's own. Without `start` the bench must
    be running. Raises RunError with the end of the worker's log, or StorageError.
    """
    if sys.platform == "win32":
        raise RunError("The bench needs Unix sockets, which this system lacks.")
    trusting = trust.of(study) if trusting is None else trusting
    idle = 60 * config.read().bench_idle if idle is None else idle
    place = await asyncio.to_thread(places.of, database, study)
    wanted = Wanted(place, database, study, idle, trusting)
    client = Client(wanted, *await _opened(wanted, start))
    await client._greeted()
    return client


@dataclass(frozen=True, slots=True)
class Wanted:
    """A bench that a client asks for, and how its worker is started."""

    place: Place
    database: Path
    study: Study
    idle: float
    trusting: Trust


class Client:
    """A connected client. `hello`: the worker's last known state."""

    hello: Hello

    def __init__(
        self, wanted: Wanted, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._wanted = wanted
        self._reader, self._writer = reader, writer
        self._number = 0
        self._closed = False

    async def send(self, request: Request) -> int:
        """Send a request, which cancels this client's earlier ones; returns its number.

        Raises StudyError if it is too long, RunError if the worker has ended.
        """
        self._number += 1
        await self._write(wire.request_line(self._number, request))
        return self._number

    async def cancel(self, number: int) -> None:
        """Cancel a request; its last event is then Failed, with `cancelled`."""
        await self._write(wire.order_line(number, "cancel"))

    async def ask_status(self) -> None:
        """Ask for the worker's state: the next (0, Hello) has it."""
        await self._write(wire.order_line(wire.WORKER, "status"))

    async def stop_worker(self) -> None:
        """Ask the worker to end. The iteration then raises RunError."""
        await self._write(wire.order_line(wire.WORKER, "stop"))

    def __aiter__(self) -> AsyncIterator[tuple[int, Event | Hello]]:
        return self

    async def __anext__(self) -> tuple[int, Event | Hello]:
        """The next event and the number of its request; (0, Hello) is about the worker.

        If the worker has ended, raises its error, or else RunError with the end of its log. Ends
        after `close`.
        """
        try:
            number, event = wire.read_event(await self._line())
        except StudyError as error:
            raise RunError(error.title, hint=error.hint) from None
        if isinstance(event, Ended):
            self._writer.close()
            raise event.error
        if isinstance(event, Hello):
            self.hello = event
        return number, event

    async def reconnect(self) -> None:
        """Connect again after the worker's end, and start a new one; numbers go on."""
        await self._hang_up()
        self._reader, self._writer = await _opened(self._wanted, True)
        self._closed = False
        await self._greeted()

    async def close(self) -> None:
        """Close the connection; the worker goes on."""
        self._closed = True
        await self._hang_up()

    async def _greeted(self) -> None:
        try:
            _, first = await anext(self)
        except TauscopeError:
            await self._hang_up()
            raise
        if not isinstance(first, Hello) or first.protocol != wire.PROTOCOL:
            await self._hang_up()
            raise RunError(
                "The bench's worker belongs to another version of tauscope.",
                hint="End it with 'tauscope bench STUDY --end'.",
            )

    async def _line(self) -> bytes:
        line = b""
        with contextlib.suppress(OSError, ValueError):  # broken, or longer than a line may be
            line = await self._reader.readline()
        if line.endswith(b"\n"):
            return line
        self._writer.close()
        if self._closed:
            raise StopAsyncIteration
        raise await _ended(
            self._wanted.place, self.hello.state if hasattr(self, "hello") else "loading"
        )

    async def _write(self, line: bytes) -> None:
        try:
            self._writer.write(line)
            await self._writer.drain()
        except (OSError, RuntimeError):
            raise await _ended(self._wanted.place, self.hello.state) from None

    async def _hang_up(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def command(wanted: Wanted) -> list[str]:
    """The command line of a worker."""
    line = [sys.executable, "-P", "-m", "app.bench", str(wanted.place.stem)]
    line += ["--db", str(wanted.database), "--idle", repr(wanted.idle)]
    return line + ["--trust-models"] * wanted.trusting.models


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _opened(wanted: Wanted, start: bool) -> _Streams:
    """A connection to the worker of a place; starts it at most once."""
    place = wanted.place
    process: int | None = None
    refused = 0
    while True:
        record = await asyncio.to_thread(places.read, place)
        if record is not None:
            with contextlib.suppress(OSError):
                return await asyncio.open_unix_connection(record.socket, limit=LONGEST)
            refused += 1
            if refused * _LOOK > _LONG:
                raise RunError(
                    f"The bench's worker, process {record.pid}, can't be reached at "
                    f"{record.socket}.",
                    hint="End this process; then open the bench again.",
                )
        elif process is None:
            if not start:
                raise RunError("No bench of this study is running.")
            process = await asyncio.to_thread(_started, wanted)
        elif not psutil.pid_exists(process) and not place.record.exists():
            raise await _ended(place, "loading")
        await asyncio.sleep(_LOOK)


def _started(wanted: Wanted) -> int:
    try:
        places.write_study(wanted.place, wanted.study)
        return launcher.detach(command(wanted), wanted.place.log)
    except OSError as error:
        raise StorageError(
            f"The bench's worker can't be started: {error.filename}: {error.strerror}."
        ) from None


async def _ended(place: Place, state: str) -> TauscopeError:
    """The error for a worker that ended: its last words, or else the end of its log."""
    with contextlib.suppress(OSError, StudyError):
        _, event = wire.read_event(place.last_words.read_bytes())
        if isinstance(event, Ended):
            return event.error
    lines = await asyncio.to_thread(launcher.tail, place.log)
    when = " while it loaded the models" if state == "loading" else ""
    hint = (
        "\n".join((f"Last lines of its log {place.log}:", *lines[-launcher.LAST :]))
        if lines
        else ""
    )
    return RunError(f"The bench's worker ended{when}.", hint=hint)
