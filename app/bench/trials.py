"""A trial: a request and what it found, as one JSON object, to be shown and kept.

Owns its form. Knows no database and no screen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.bench import messages
from core.bench.messages import (
    Crossed,
    Differing,
    Event,
    LensGrid,
    Request,
    Scored,
    Tokens,
    Warned,
    Written,
)

FORMAT = 1
"""The version of the form."""


def trial(request: Request, events: Iterable[Event]) -> dict[str, Any]:
    """The trial of a request and its events: `format`, `request`, and what was found of `tokens`,
    `scored` and `written` (in the order of the columns), `nll`, `lens`, `differing`, `warnings`."""
    found: dict[str, Any] = {"format": FORMAT, "request": messages.as_json(request)}
    columns: dict[str, dict[int, Any]] = {}
    for event in events:
        told = messages.as_json(event)
        told.pop("event")
        match event:
            case Tokens():
                found["tokens"] = told
            case Scored() | Written():
                columns.setdefault(event.event, {})[event.column] = told
            case Crossed():
                found["nll"] = told["nll"]
            case LensGrid():
                found["lens"] = told["rows"]
            case Differing():
                found["differing"] = told["neurons"]
            case Warned():
                found.setdefault("warnings", []).append(event.message)
            case _:
                pass
    return found | {name: [by[at] for at in sorted(by)] for name, by in columns.items()}
