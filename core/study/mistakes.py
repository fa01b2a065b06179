"""Errors of pydantic in the words of a study file: key, fault, nearest valid key.

Knows the shape of pydantic's errors; knows no study.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from core.errors import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST = 40
"""Most characters of a wrong value in an error."""

_WORDS = {
    "missing": "is needed",
    "int_parsing": "must be a whole number, not {input}",
    "int_type": "must be a whole number, not {input}",
    "int_from_float": "must be a whole number, not {input}",
    "int_parsing_size": "must be a smaller number",
    "float_parsing": "must be a number, not {input}",
    "float_type": "must be a number, not {input}",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be {ge:g} or more",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be {le:g} or less",
    "less_than": "must be less than {lt:g}",
    "bool_parsing": "must be true or false, not {input}",
    "bool_type": "must be true or false, not {input}",
    "string_type": "must be a string, not {input}",
    "string_unicode": "contains bytes that are not UTF-8",
    "string_too_short": "is needed",
    "too_short": "needs {min_length} or more",
    "literal_error": "must be {expected}, not {input}",
    "dict_type": "must be names with values, such as a = 1",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}
"""Our words by pydantic's type of error; its context fills the placeholders."""


def explained(error: ValidationError, fields: Mapping[str, Any], prefix: str = "") -> str:
    """The first fault, with its key, or with the nearest valid key for an unknown one."""
    # A misspelt key is also a missing key; the misspelling gives the better hint.
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = prefix + _item(first["loc"])
    if first["type"] == "extra_forbidden":
        known = _keys_at(first["loc"][:-1], fields)
        return f"unknown key '{where}'. {did_you_mean(str(first['loc'][-1]), known)}"
    message = words(first)
    if not where:
        return message
    listed = where.rpartition(".")[2]
    if message.startswith(f"{listed}["):  # the message names the item
        return where.removesuffix(listed) + message
    return f"{where}: {message}"


def by_key(error: ValidationError, prefix: str = "") -> dict[str, str]:
    """The first fault of each key."""
    words_of: dict[str, str] = {}
    for fault in error.errors():
        words_of.setdefault((prefix + _key(fault["loc"])).rstrip("."), words(fault))
    return words_of


def words(fault: ErrorDetails) -> str:
    """The fault of a value, in our words if known, else in pydantic's."""
    template = _WORDS.get(fault["type"])
    if template is None:
        return fault["msg"].removeprefix("Value error, ")
    return template.format(input=_shown(fault["input"]), **fault.get("ctx", {}))


def _shown(value: object) -> str:
    """A wrong value for an error; a long one is cut, and a composite one is only named."""
    if isinstance(value, dict | list | tuple):
        return "several values"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _key(location: tuple[str | int, ...]) -> str:
    """A location in a study in its file's notation."""
    return ".".join(str(part) for part in location if part != "[key]")


def _item(location: tuple[str | int, ...]) -> str:
    """The same with list indices: `points[3]`."""
    parts = (f"[{each}]" if isinstance(each, int) else f".{each}" for each in location)
    return "".join(part for part in parts if part != ".[key]").lstrip(".")


def _keys_at(location: tuple[str | int, ...], fields: Mapping[str, Any]) -> list[str]:
    """The valid keys of the section of a location."""
    for step in location:
        annotation = fields[step].annotation if isinstance(step, str) and step in fields else None
        parts = [annotation, *getattr(annotation, "__args__", ())]
        nested = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if nested:
            fields = nested[0].model_fields
    return list(fields)
