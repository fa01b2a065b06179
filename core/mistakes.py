"""What pydantic refuses, in the words of a study file: the key, what is wrong, a near valid key.

Knows the shape of pydantic's errors; knows no study.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from core.errors import did_you_mean


def explained(error: ValidationError, fields: Mapping[str, Any], prefix: str = "") -> str:
    """The first thing that is wrong, by its key; the nearest valid key where one is unknown."""
    # A misspelt key is also a missing one: the former says what to do.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = prefix + _key(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1], fields)
        return f"unknown key '{where}'. {did_you_mean(str(first['loc'][-1]), known)}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def by_key(error: ValidationError, prefix: str = "") -> dict[str, str]:
    """What is wrong, each with its key; of several with one key, the first."""
    found: dict[str, str] = {}
    for fault in error.errors():
        found.setdefault(
            (prefix + _key(fault["loc"])).rstrip("."), fault["msg"].removeprefix("Value error, ")
        )
    return found


def _key(location: tuple[str | int, ...]) -> str:
    """A place in a study as its file would name it; that a name is meant goes without saying."""
    return ".".join(str(part) for part in location if part != "[key]")


def _keys_at(location: tuple[str | int, ...], fields: Mapping[str, Any]) -> list[str]:
    """The valid keys of the part of a study that a location points into."""
    for step in location:
        annotation = fields[step].annotation if isinstance(step, str) and step in fields else None
        parts = [annotation, *getattr(annotation, "__args__", ())]
        nested = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if nested:
            fields = nested[0].model_fields
    return list(fields)
