"""The running benches beside a database, and their end.

Owns the summary of a bench. Asks each worker over its socket and waits only a moment; loads no
model.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from app.bench import places, wire
from app.bench.places import Record
from app.bench.wire import Ended, Hello
from core.bench.messages import LONGEST
from core.errors import RunError, StudyError

_MOMENT = 0.5  # seconds for a worker's answer
_END = 10.0  # seconds for its end


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSummary:
    """A running bench. `state`: loading, ready, busy, `silent` if the worker gives no answer, or
    `elsewhere` on another host. `held`: bytes by device. `rested`: seconds without a request; after
    `idle` of them it ends."""

    study: str
    key: str
    host: str
    pid: int
    state: str
    socket: str
    idle: float
    held: Mapping[str, int] = field(default_factory=dict)
    rested: float = 0.0
    step: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes held on all devices."""
        return sum(self.held.values())


def benches(database: Path) -> list[BenchSummary]:
    """The running benches beside a database (`Database.path`), by the names of their studies."""
    summaries = [_summary(record) for _, record in places.records(database)]
    return sorted(summaries, key=lambda each: (each.study, each.pid))


def end(bench: BenchSummary) -> None:
    """Ask a worker to end, and wait a moment for it. Raises RunError if it can't be reached, or
    takes no further client."""
    try:
        with _connected(bench.socket) as connection, connection.makefile("rb") as lines:
            with contextlib.suppress(BrokenPipeError):  # its first line says why
                connection.sendall(wire.order_line(wire.WORKER, "stop"))
            connection.settimeout(_END)
            if isinstance(refusal := _event(lines), Ended) and refusal.kind:
                raise refusal.error
            while lines.readline(LONGEST):
                pass  # the worker closes the connection at its end
    except (ConnectionError, FileNotFoundError, TimeoutError):
        return  # it has ended, or ends after the step in hand
    except OSError as error:
        raise RunError(
            f"The bench of {bench.study} can't be reached: {error.strerror or error}.",
            hint=f"End its process {bench.pid} on {bench.host}.",
        ) from None


def _summary(record: Record) -> BenchSummary:
    state, greeting = "elsewhere", None
    if record.host == socket.gethostname():
        greeting = _greeting(record.socket)
        state = "busy" if isinstance(greeting, Ended) else "silent"
    fields = {} if not isinstance(greeting, Hello) else {
        "state": greeting.state, "held": greeting.held, "rested": greeting.rested,
        "step": greeting.step,
    }  # fmt: skip
    return BenchSummary(
        **{"state": state, **fields},  # type: ignore[arg-type]
        study=record.study, key=record.key, host=record.host, pid=record.pid,
        socket=record.socket, idle=record.idle,
    )  # fmt: skip


def _greeting(path: str) -> object:
    """The first event of a worker: Hello, or Ended if it takes no further client; None without
    one."""
    with (
        contextlib.suppress(OSError),
        _connected(path) as connection,
        connection.makefile("rb") as lines,
    ):
        return _event(lines)
    return None


def _event(lines: BinaryIO) -> object:
    """The event of the next line; None without one. Raises OSError."""
    with contextlib.suppress(StudyError):
        return wire.read_event(lines.readline(LONGEST))[1]
    return None


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_MOMENT)
        connection.connect(path)
    except BaseException:
        connection.close()
        raise
    return connection
