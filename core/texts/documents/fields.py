"""A document in a value: its text and its prompt, and the errors for a missing text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from core.errors import ProbeError

FIELD = "text"
"""The field or column of a document's text."""

PROMPT = "prompt"
"""The field or column of the prompt that a document's text answers, if it has one."""

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


class Document(NamedTuple):
    """A text, and the prompt that it answers; without a prompt the text stands alone."""

    text: str
    prompt: str = ""


def document(fields: Mapping[str, Any], where: str) -> Document:
    """The document of an object or a row. Raises ProbeError naming the place and the fields
    found."""
    if FIELD not in fields:
        lacking(where, "fields", fields)
    prompt = fields.get(PROMPT)
    return Document(
        _string(FIELD, fields[FIELD], where),
        "" if prompt is None else _string(PROMPT, prompt, where),
    )


def lacking(where: str, what: str, names: Iterable[str]) -> NoReturn:
    """Raise the ProbeError for fields or columns without a `text`."""
    first, *more = [*names][: _MOST_NAMES + 1] or ["none"]
    listed = ", ".join([first, *more[: _MOST_NAMES - 1], *["…"] * (len(more) >= _MOST_NAMES)])
    raise ProbeError(
        f"{where} has no '{FIELD}'; its {what}: {listed}.",
        hint=f"Rename the one with the documents to '{FIELD}'.",
    )


def _string(name: str, value: Any, where: str) -> str:
    if not isinstance(value, str):
        hint = "Rename the field if it is not the prompt of the text." if name == PROMPT else ""
        raise ProbeError(f"{where}: '{name}' is {kind(value)}, not a string.", hint=hint)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(value[error.start]):04X}"
        raise ProbeError(f"{where}: '{name}' contains {half}, half of a character.") from None
    return value


def beginning(given: str) -> str:
    """The first words of a text, to show in an error."""
    line = " ".join(given.strip().split("\n", 1)[0].split())
    return f"'{line[:_SHOWN]}{'…' * (len(line) > _SHOWN)}'"


def kind(value: Any) -> str:
    """The type of a value of JSON or of a table, in words."""
    return _KINDS.get(type(value), f"of type {type(value).__name__}")
