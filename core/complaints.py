"""What pydantic finds wrong with a value, in words for whoever typed it.

Owns the words alone. Where it stands, and what a part of a study may hold, is said elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LONGEST = 40
"""Characters of a wrong value that are repeated."""

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
    "string_type": "must be a text, not {input}",
    "string_too_short": "is needed",
    "too_short": "needs {min_length} or more",
    "literal_error": "must be {expected}, not {input}",
    "dict_type": "must be names with values, such as a = 1",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
}
"""By pydantic's type of error; its context fills the gaps."""


def words(fault: ErrorDetails) -> str:
    """What is wrong with a value; in pydantic's own words where none are known here."""
    said = _WORDS.get(fault["type"])
    if said is None:
        return fault["msg"].removeprefix("Value error, ")
    return said.format(input=_shown(fault["input"]), **fault.get("ctx", {}))


def _shown(value: object) -> str:
    """A wrong value, unless it is long: of one that has parts, that it has."""
    if isinstance(value, dict | list | tuple):
        return "several values"
    text = f"'{value}'" if isinstance(value, str) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
