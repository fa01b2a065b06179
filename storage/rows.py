"""Values of rows, checked on reading: a file may be damaged or foreign.

Owns the check of values against column types, and the storage of text that SQLite can't hold.
SQLite itself stores any value in any column. Knows column types, and no single table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeGuard

from sqlalchemy import Text
from sqlalchemy.types import TypeDecorator

LONGEST = 100_000
"""Most characters of a stored text; longer ones are cut."""

_ANY: Mapping[type, tuple[type, ...]] = {
    str: (str,), int: (int,), float: (float, int), bool: (bool,), dict: (dict, list)
}  # fmt: skip

read_text = partial(str, encoding="utf-8", errors="backslashreplace")
"""The text of a database's bytes, with visible escapes for bytes that are not UTF-8."""


class ColumnMisfitError(ValueError):
    """A value of a row that does not fit its column."""


class SafeText(TypeDecorator[str]):
    """Text of any content: characters that UTF-8 can't express are stored as visible escapes."""

    impl = Text
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """The type of its values."""
        return str

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The value in a form that SQLite can store."""
        return value if value is None or value.isascii() else storable(value)


def storable(text: str) -> str:
    """A text with escapes for characters that UTF-8 can't express."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str) -> str:
    """A text cut to LONGEST characters and at a null character."""
    text = text.replace("\x00", "\\x00")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def read_json(text: str) -> Any:
    """The value of a JSON column; None if it is not JSON, which fits no column."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return None


def misfits(row: Sequence[Any], columns: Sequence[Any]) -> list[str]:
    """The names of the columns whose value is not of the declared type."""
    return [c.key for c, value in zip(columns, row, strict=True) if not _fits(value, c)]


def checked(rows: Iterable[Any], columns: Sequence[Any]) -> Iterator[Any]:
    """The rows. Raises ColumnMisfitError at the first value of another type than declared.

    Rows with the same types of values as an earlier row pass without a check.
    """
    known: set[tuple[type, ...]] = set()
    for row in rows:
        types = tuple(map(type, row))
        if types not in known:
            wrong = misfits(row, columns)
            if wrong:
                value = getattr(row, wrong[0])
                raise ColumnMisfitError(f"it holds {described(value)} as {wrong[0]} of a row")
            known.add(types)
        yield row


def is_time(seconds: Any) -> TypeGuard[float]:
    """Is it a valid number of seconds?"""
    return isinstance(seconds, int | float) and 0 <= seconds < math.inf


def is_provenance(value: Any) -> bool:
    """Is it an object whose parts have the types that readers rely on?"""
    try:
        models = value.get("models", {})
        objects = [value.get("environment", {}).get("versions", {}), models, *models.values()]
    except AttributeError:
        return False
    return all(isinstance(each, dict) for each in objects)


def models_in(study: Any) -> dict[str, dict[str, Any]]:
    """The models of a stored study: base and tuned, in its order; none if it is damaged."""
    try:
        models = study["models"]
        entries = {"base": models["base"], **models["tuned"]}
    except (TypeError, KeyError):
        return {}
    whole = all(
        isinstance(model, dict) and isinstance(model.get("path"), str) and "role" in model
        for model in entries.values()
    )
    return entries if whole else {}


def _fits(value: Any, column: Any) -> bool:
    if value is None:
        return getattr(column, "nullable", True)  # other expressions may be null
    kinds = _ANY.get(column.type.python_type, (object,))
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and not (isinstance(value, float) and math.isnan(value))


def described(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
