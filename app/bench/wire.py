"""Lines of JSON between a bench and its clients: numbered requests and events.

Owns the numbers, the orders to the worker, its greeting and its last words; `core.bench.messages`
owns the rest. Both sides check a line before they use it. Knows no socket.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

import core.errors
from core.bench import messages
from core.bench.messages import LONGEST, Event, Request
from core.errors import RunError, StudyError, TauscopeError
from core.sizes import size

PROTOCOL = 2
"""The version of the protocol; a client refuses a worker of another one."""

WORKER = 0
"""The number of events about the worker itself; requests count from 1."""

ORDERS = ("cancel", "status", "stop")
"""The values of `do` that are no requests to the models."""


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """The worker's state: sent at a connection, at each change, and after `status`.

    `held`: bytes of the models by device. `step`: the work in hand while it loads. `rested`:
    seconds without a request; after `idle` of them the worker ends. `models`: the base, then the
    tuned models in the study's order. `layers`: the number of the models' layers once they are
    loaded.
    """

    study: str
    models: tuple[str, ...]
    state: Literal["loading", "ready", "busy"]
    pid: int
    idle: float
    held: dict[str, int] = field(default_factory=dict)
    step: str = ""
    rested: float = 0.0
    layers: int | None = None
    protocol: int = PROTOCOL
    event: Literal["hello"] = "hello"


@with_config(ConfigDict(extra="ignore"))
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The worker's last words. `kind`: the class of the error that ended it, else empty."""

    title: str
    hint: str = ""
    kind: str = ""
    event: Literal["ended"] = "ended"

    @classmethod
    def by(cls, error: TauscopeError) -> Ended:
        """The last words of a worker that an error ended."""
        return cls(title=error.title, hint=error.hint, kind=type(error).__name__)

    @property
    def error(self) -> TauscopeError:
        """The error for the client's user; RunError after an orderly end."""
        return error_of(self.kind, self.title, self.hint)


_OWN: Mapping[str, TypeAdapter[Any]] = {"hello": TypeAdapter(Hello), "ended": TypeAdapter(Ended)}


def error_of(kind: str, title: str, hint: str) -> TauscopeError:
    """An error of the other side: of this class in `core.errors`, or else a RunError."""
    known = getattr(core.errors, kind, None)
    if not (isinstance(known, type) and issubclass(known, TauscopeError)):
        known = RunError
    return known(title, hint=hint)


def request_line(number: int, request: Request) -> bytes:
    """A request's line. Raises StudyError if it is too long."""
    return _short(_line(number, messages.as_json(request)))


def order_line(number: int, order: str) -> bytes:
    """The line of one of ORDERS; `cancel` is about the request of this number."""
    return _line(number, {"do": order})


def event_line(number: int, event: Event | Hello | Ended) -> bytes:
    """An event's line. Raises StudyError if it is too long."""
    if isinstance(event, Hello | Ended):
        return _line(number, _OWN[event.event].dump_python(event, mode="json"))
    return _short(_line(number, messages.as_json(event)))


def split(line: bytes) -> tuple[int, dict[str, Any]]:
    """The number of a line and the rest of its object. Raises StudyError."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise StudyError("A line to or from the bench is not JSON.") from None
    number = message.pop("request", None) if isinstance(message, dict) else None
    if type(number) is not int or not 0 <= number < 1 << 53:
        raise StudyError('A line to or from the bench is not an object with a number "request".')
    return number, message


def asked(message: Mapping[str, Any]) -> Request | str:
    """The request of a client's line, or one of ORDERS. Raises StudyError."""
    order = message.get("do")
    return order if order in ORDERS else messages.request_of(message)


def read_event(line: bytes) -> tuple[int, Event | Hello | Ended]:
    """The number of a line, and its event. Raises StudyError."""
    number, message = split(line)
    adapter = _OWN.get(str(message.get("event")))
    if adapter is None:
        return number, messages.event_of(message)
    try:
        return number, adapter.validate_python(message)
    except ValidationError as error:
        raise StudyError(
            f"The bench's worker sent an unknown message: {error.errors()[0]['msg']}."
        ) from None


def _line(number: int, message: Mapping[str, Any]) -> bytes:
    return json.dumps({"request": number, **message}, separators=(",", ":")).encode() + b"\n"


def _short(line: bytes) -> bytes:
    if len(line) > LONGEST:
        raise StudyError(
            f"The message takes {size(len(line))}; the bench's limit is {size(LONGEST)}.",
            hint="Shorten the text.",
        )
    return line
