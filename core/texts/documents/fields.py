"""The text of a document in a value, and the errors for a missing text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from core.errors import ProbeError

FIELD = "text"
"""The field or column of a document's text."""

READ = (
    f"Supported: JSON lines (.jsonl, .ndjson) and JSON (.json) with a field '{FIELD}', tables "
    f"with a column '{FIELD}' (.csv, .tsv, .parquet) and text with one document per line (.txt); "
    "all but Parquet also as .gz."
)
"""The supported probe files, as a hint."""

_MOST_NAMES = 12
_SHOWN = 40
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", int: "a number",
          float: "a number", bytes: "bytes", type(None): "null"}  # fmt: skip


def text(fields: Mapping[str, Any], where: str) -> str:
    """The text of an object or a row. Raises ProbeError naming the place and the fields found."""
    if FIELD not in fields:
        lacking(where, "fields", fields)
    found = fields[FIELD]
    if not isinstance(found, str):
        raise ProbeError(f"{where}: '{FIELD}' is {kind(found)}, not a string.")
    try:
        found.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(found[error.start]):04X}"
        raise ProbeError(f"{where}: '{FIELD}' contains {half}, half of a character.") from None
    return found


def lacking(where: str, what: str, names: Iterable[str]) -> NoReturn:
    """Raise the ProbeError for fields or columns without a `text`."""
    first, *more = [*names][: _MOST_NAMES + 1] or ["none"]
    listed = ", ".join([first, *more[: _MOST_NAMES - 1], *["…"] * (len(more) >= _MOST_NAMES)])
    raise ProbeError(
        f"{where} has no '{FIELD}'; its {what}: {listed}.",
        hint=f"Rename the one with the documents to '{FIELD}'.",
    )


def beginning(given: str) -> str:
    """The first words of a text, to show in an error."""
    line = " ".join(given.strip().split("\n", 1)[0].split())
    return f"'{line[:_SHOWN]}{'…' * (len(line) > _SHOWN)}'"


def kind(value: Any) -> str:
    """The type of a value of JSON or of a table, in words."""
    return _KINDS.get(type(value), f"of type {type(value).__name__}")
