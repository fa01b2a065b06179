"""Values of rows, checked as they come in: a file may be damaged, or written by somebody else.

Owns which values fit a column, and how text that SQLite can't hold is stored. SQLite itself keeps
any value in any column. Knows what the tables declare, and no single table.
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
"""Characters of a stored text; what is longer is cut."""

_ANY: Mapping[type, tuple[type, ...]] = {
    str: (str,), int: (int,), float: (float, int), bool: (bool,), dict: (dict, list)
}  # fmt: skip

read_text = partial(str, encoding="utf-8", errors="backslashreplace")
"""The text in bytes of a database; bytes that are no UTF-8 as visible escapes."""


class ColumnMisfitError(ValueError):
    """A value of a row that does not fit its column."""


class SafeText(TypeDecorator[str]):
    """Text of any content: what UTF-8 can't express is stored as visible escapes."""

    impl = Text
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        """What its values are."""
        return str

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """The value as SQLite can hold it."""
        return value if value is None or value.isascii() else storable(value)


def storable(text: str) -> str:
    """A text as UTF-8 can express it."""
    return text.encode("utf-8", "backslashreplace").decode()


def shortened(text: str) -> str:
    """A text that is not longer than any message should be, and that ends at no null character."""
    text = text.replace("\x00", "\\x00")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def read_json(text: str) -> Any:
    """The value of a JSON column; None where it is no JSON, which fits no column of ours."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError, TypeError):
        return None


def misfits(row: Sequence[Any], columns: Sequence[Any]) -> list[str]:
    """The names of the columns that hold what they do not declare."""
    return [c.key for c, value in zip(columns, row, strict=True) if not _fits(value, c)]


def checked(rows: Iterable[Any], columns: Sequence[Any]) -> Iterator[Any]:
    """The rows. Raises MisfitError at the first that holds what its columns do not declare.

    Rows of which every value has the same type as in a row before are passed unseen.
    """
    known: set[tuple[type, ...]] = set()
    for row in rows:
        types = tuple(map(type, row))
        if types not in known:
            wrong = misfits(row, columns)
            if wrong:
                value = getattr(row, wrong[0])
                raise ColumnMisfitError(f"it holds {told(value)} as {wrong[0]} of a row")
            known.add(types)
        yield row


def is_time(seconds: Any) -> TypeGuard[float]:
    """Is it a number of seconds that something may have taken?"""
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
    """The models that a stored study names: base and tuned, in its order; none where it is
    damaged."""
    try:
        models = study["models"]
        found = {"base": models["base"], **models["tuned"]}
    except (TypeError, KeyError):
        return {}
    whole = all(
        isinstance(model, dict) and isinstance(model.get("path"), str) and "role" in model
        for model in found.values()
    )
    return found if whole else {}


def _fits(value: Any, column: Any) -> bool:
    if value is None:
        return getattr(column, "nullable", True)  # other expressions may be nothing
    kinds = _ANY.get(column.type.python_type, (object,))
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) and not (isinstance(value, float) and math.isnan(value))


def told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
