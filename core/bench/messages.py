"""Requests to the bench and its answers, as data and as lines of JSON.

Owns the protocol: a request has a number, and each event names the request that it answers. The
newest request cancels older ones. Values from the other side are checked here. Knows no socket and
no model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from core.errors import StudyError
from core.texts.encoding import Alone

LONGEST = 1 << 22
"""The most bytes of one line."""

_STRICT = with_config(ConfigDict(extra="forbid"))


@_STRICT
@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """The text before a continuation. `template`: write it as a user's turn in the chat template,
    after a `system` prompt if there is one. `alone`: without a text before it, the continuation is
    encoded as an item of a task, a running text of a task or a document of a probe set
    (`core.texts.encoding.alone`)."""

    text: str
    system: str = ""
    template: bool = False
    alone: Alone = "item"


@_STRICT
@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Score a continuation under each column. `columns`: by their names (`columns.parse`).
    `against`: the position of the column that the others are compared with."""

    prompt: Prompt
    continuation: str
    columns: tuple[str, ...]
    against: int = 0
    top: int = 5
    do: Literal["score"] = "score"


@_STRICT
@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Continue a prompt under each column, then score each text under every column.

    A `temperature` of 0 is greedy. `stop`: texts that end a continuation.
    """

    prompt: Prompt
    columns: tuple[str, ...]
    tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    do: Literal["generate"] = "generate"


@_STRICT
@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """The head's likeliest token after each layer, at each token."""

    prompt: Prompt
    continuation: str
    column: str
    do: Literal["lens"] = "lens"


@_STRICT
@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """The neurons whose values differ most between two columns at one token, a position among the
    tokens of `Tokens`."""

    prompt: Prompt
    continuation: str
    columns: tuple[str, str]
    position: int
    count: int = 20
    do: Literal["compare"] = "compare"


Request = Score | Generate | Lens | Compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of a prompt and its continuation: the continuation begins at `start`. `cut`:
    tokens of the prompt left out at its beginning, since the context holds no more."""

    pieces: tuple[str, ...]
    start: int
    cut: int = 0
    event: Literal["tokens"] = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A column's scores. Of each token of the continuation: `logprobs` (nats), `kl` of the column's
    prediction from the compared column's (KL(column ‖ compared), nats; 0 for that column itself),
    and the `likeliest` tokens with their log-probabilities. `nll`: the mean loss per token;
    `nll_change`: its difference from the compared column's."""

    column: int
    logprobs: tuple[float, ...]
    kl: tuple[float, ...]
    likeliest: tuple[tuple[tuple[str, float], ...], ...]
    nll: float
    nll_change: float
    event: Literal["scored"] = "scored"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The whole text that a column has written so far, and the number of its tokens."""

    column: int
    text: str
    tokens: int
    event: Literal["piece"] = "piece"


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A column's finished text. `ended`: by its end token, by a stop text, or at its length."""

    column: int
    text: str
    tokens: int
    ended: Literal["end", "stop", "length"]
    event: Literal["written"] = "written"


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossed:
    """Mean losses per token: row i is the text of column i, under every column; None for an empty
    text."""

    nll: tuple[tuple[float | None, ...], ...]
    event: Literal["crossed"] = "crossed"


@dataclass(frozen=True, slots=True, kw_only=True)
class LensGrid:
    """Row i: after layer i, the likeliest token at each position of `Tokens`, and its
    probability."""

    rows: tuple[tuple[tuple[str, float], ...], ...]
    event: Literal["lens"] = "lens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Differing:
    """Neurons by the size of the difference: (layer, neuron, first value, second value)."""

    neurons: tuple[tuple[int, int, float, float], ...]
    event: Literal["differing"] = "differing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The work in hand, for people."""

    label: str
    event: Literal["step"] = "step"


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A warning about the request."""

    message: str
    event: Literal["warned"] = "warned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The request is answered."""

    seconds: float
    event: Literal["done"] = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request can't be answered. `cancelled`: a newer one, or its sender, ended it. `kind`: the
    name of the error's class in `core.errors`, if it has one."""

    title: str
    hint: str = ""
    cancelled: bool = False
    kind: str = ""
    event: Literal["failed"] = "failed"


Event = (
    Tokens | Scored | Piece | Written | Crossed | LensGrid | Differing | Step | Warned | Done
    | Failed
)  # fmt: skip

_T = TypeVar("_T")
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="do")])
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def request_of(given: Mapping[str, Any]) -> Request:
    """A request from its JSON object. Raises StudyError, naming the first field at fault."""
    return _checked(_REQUEST, given, "request")


def event_of(given: Mapping[str, Any]) -> Event:
    """An event from its JSON object. Raises StudyError, naming the first field at fault."""
    return _checked(_EVENT, given, "answer")


def refuse_odd(request: Request) -> None:
    """Raise StudyError for a request that no bench can answer, whatever its models."""
    _refuse_broken(request.prompt.text + request.prompt.system)
    if not isinstance(request, Generate):
        _refuse_broken(request.continuation)
        return
    faults = {
        "tokens must be 1 or more": request.tokens < 1,
        "temperature must be 0 or more": not 0 <= request.temperature < math.inf,
        "top-p must be above 0 and at most 1": not 0 < request.top_p <= 1,
        "seed must be a whole number from 0 to 2^63": not 0 <= request.seed < 1 << 63,
    }
    for rule, broken in faults.items():
        if broken:
            raise StudyError(f"No text can be generated: {rule}.")


def as_json(message: Request | Event) -> dict[str, Any]:
    """A request or an event as a JSON object."""
    adapter: TypeAdapter[Any] = _REQUEST if hasattr(message, "do") else _EVENT
    fields: dict[str, Any] = adapter.dump_python(message, mode="json")
    return fields


def _refuse_broken(text: str) -> None:
    """Raise StudyError for a text with a part of a character, as bytes that are not UTF-8 give."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StudyError(
            f"The text has a part of a character ({text[error.start]!a}) after "
            f"{error.start} characters, which no tokeniser reads.",
            hint="Leave it out, or write the text in UTF-8.",
        ) from None


def _checked(adapter: TypeAdapter[_T], given: Mapping[str, Any], name: str) -> _T:
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise StudyError(f"The bench can't read this {name}: {place}: {first['msg']}.") from error
