"""A trial: a request and its answer as one JSON object, to show, keep and read again.

Owns its format. Knows no screen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.bench import messages
from core.bench.messages import (
    Crossed,
    Differing,
    Event,
    Generate,
    LensGrid,
    Request,
    Score,
    Scored,
    Tokens,
    Warned,
    Written,
)
from core.errors import StudyError
from storage.trials import KeptTrial

FORMAT = 1
"""The version of the format."""

HEAD = ("column", "text", "tokens", "loss", "difference")
"""The names of a row's values."""


def trial(request: Request, events: Iterable[Event]) -> dict[str, Any]:
    """The trial of a request and its events: `format`, `request`, and where events have them
    `tokens`, `scored` and `written` (in the order of the columns), `nll`, `lens`, `differing` and
    `warnings`."""
    content: dict[str, Any] = {"format": FORMAT, "request": messages.as_json(request)}
    columns: dict[str, dict[int, Any]] = {}
    for event in events:
        fields = messages.as_json(event)
        fields.pop("event")
        match event:
            case Tokens():
                content["tokens"] = fields
            case Scored() | Written():
                columns.setdefault(event.event, {})[event.column] = fields
            case Crossed():
                content["nll"] = fields["nll"]
            case LensGrid():
                content["lens"] = fields["rows"]
            case Differing():
                content["differing"] = fields["neurons"]
            case Warned():
                content.setdefault("warnings", []).append(event.message)
            case _:
                pass
    return content | {name: [by[column] for column in sorted(by)] for name, by in columns.items()}


@dataclass(frozen=True, slots=True)
class Row:
    """A column's text in a trial. `loss`: the mean loss per token under this column itself;
    `difference`: from the compared column's loss, of a scored continuation."""

    column: str
    text: str
    tokens: int
    loss: float | None
    difference: float | None

    @property
    def values(self) -> tuple[str | int | float | None, ...]:
        """Its values under the names of HEAD."""
        return self.column, self.text, self.tokens, self.loss, self.difference

    @property
    def words(self) -> tuple[str, ...]:
        """Its values as text; a missing number is empty."""
        numbers = (self.loss, self.difference)
        texts = ("" if number is None else f"{number:.4f}" for number in numbers)
        return self.column, self.text, str(self.tokens), *texts


@dataclass(frozen=True, slots=True)
class Outcome:
    """A kept trial in brief. `settings`: for people. `created`: in UTC, None if unknown."""

    id: int
    created: datetime | None
    do: str
    prompt: str
    settings: str
    rows: tuple[Row, ...]


def outcomes(records: Iterable[KeptTrial]) -> list[Outcome]:
    """Kept trials in brief; trials of another format are left out."""
    brief = []
    for each in records:
        with contextlib.suppress(StudyError, KeyError, TypeError, ValueError, IndexError):
            brief.append(_outcome(each))
    return brief


def _outcome(record: KeptTrial) -> Outcome:
    request = messages.request_of(record.content["request"])
    rows = tuple(_rows(request, record.content))
    head = (record.id, record.created, request.do, request.prompt.text)
    return Outcome(*head, _settings(request), rows)


def _rows(request: Request, content: Mapping[str, Any]) -> Iterator[Row]:
    if isinstance(request, Score):
        for each in content["scored"]:
            scored = messages.event_of({"event": "scored", **each})
            assert isinstance(scored, Scored)
            name, count = request.columns[scored.column], len(scored.logprobs)
            yield Row(name, request.continuation, count, scored.nll, scored.nll_change)
    elif isinstance(request, Generate):
        losses = content.get("nll")
        for each in content["written"]:
            written = messages.event_of({"event": "written", **each})
            assert isinstance(written, Written)
            column = written.column
            loss = losses[column][column] if losses else None
            yield Row(
                request.columns[column], written.text, written.tokens,
                None if loss is None else float(loss), None,
            )  # fmt: skip


def _settings(request: Request) -> str:
    parts = ["chat template"] * request.prompt.template
    parts += [f"system prompt: {request.prompt.system}"] * bool(request.prompt.system)
    if isinstance(request, Generate):
        drawn = f"temperature {request.temperature:g}, top-p {request.top_p:g}, seed {request.seed}"
        parts.append(drawn if request.temperature else "greedy")
        parts.append(f"at most {request.tokens} tokens")
        parts += [f"stop at {text!r}" for text in request.stop]
    return ", ".join(parts)
