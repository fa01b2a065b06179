"""Documents in JSON: one object per line, or a whole file with a list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from core.errors import ProbeError, reason
from core.sizes import size
from core.texts.documents import tables
from core.texts.documents.fields import (
    FIELD,
    PROMPT,
    READ,
    Document,
    beginning,
    document,
    kind,
    lacking,
)
from core.texts.documents.lines import LONGEST, Lines, decoded


def of_lines(file: Path, lines: Lines) -> Iterator[Document]:
    """The document of every object, one per line. Raises ProbeError naming the line."""
    for number, line in lines:
        if line.strip():
            where = f"{file}, line {number}"
            value = _parsed(line, where)
            if not isinstance(value, dict):
                raise ProbeError(f"{where} is {kind(value)}, not a JSON object with a '{FIELD}'.")
            yield document(value, where)


def of_whole(file: Path, stream: IO[bytes]) -> Iterator[Document]:
    """The documents of a list of strings or objects. Raises ProbeError naming the line or the
    item."""
    raw = stream.read(LONGEST + 1)
    if len(raw) > LONGEST:
        raise ProbeError(
            f"{file} is a single JSON value of more than {size(LONGEST)}, which can't be read in "
            "parts.",
            hint=f"Write it as JSON lines (.jsonl), one object with '{FIELD}' per line.",
        )
    lines = raw.splitlines(keepends=True)
    named = (decoded(line, f"{file}, line {n}", first=n == 1) for n, line in enumerate(lines, 1))
    for place, item in enumerate(_items(str(file), _parsed("".join(named), str(file)))):
        where = f"{file}, item {place} (from 0)"
        if isinstance(item, str):
            item = {FIELD: item}
        if not isinstance(item, dict):
            raise ProbeError(f"{where} is {kind(item)}, neither a string nor an object.")
        yield document(item, where)


def _hint(given: str) -> str:
    """The hint for text that does not begin like JSON."""
    head = given.strip().split("\n", 1)[0]
    if not tables.delimiter(head):
        return READ
    return "This line looks like a table's header: rename the file to end in .csv or .tsv."


def _items(where: str, whole: Any) -> list[Any]:
    """The list in a file: the file itself, or in its object the list `text`, with the list `prompt`
    if there is one beside it, else the only list."""
    if isinstance(whole, list):
        return whole
    if not isinstance(whole, dict):
        raise ProbeError(f"{where} is {kind(whole)}, neither a list nor an object.", hint=READ)
    lists = {name: value for name, value in whole.items() if isinstance(value, list)}
    if not lists:
        if FIELD not in whole:
            lacking(where, "fields", whole)
        return [whole]
    if {FIELD, PROMPT} <= lists.keys():
        texts, prompts = lists[FIELD], lists[PROMPT]
        if len(texts) != len(prompts):
            raise ProbeError(
                f"{where} holds {len(texts)} in '{FIELD}' but {len(prompts)} in '{PROMPT}'."
            )
        return [{FIELD: text, PROMPT: prompt} for text, prompt in zip(texts, prompts, strict=True)]
    if FIELD not in lists and len(lists) > 1:
        raise ProbeError(
            f"{where} is an object with {len(lists)} lists, but none named '{FIELD}': "
            f"{', '.join(list(lists)[:12])}.",
            hint=f"Write a list of strings, or of objects with '{FIELD}'.",
        )
    return list(lists[FIELD] if FIELD in lists else next(iter(lists.values())))


def _parsed(given: str, where: str) -> Any:
    try:
        return json.loads(given)
    except json.JSONDecodeError as error:
        line = f", line {error.lineno}" if "\n" in given.strip() else ""
        rest = given[error.pos :].strip()
        problem = f"found {beginning(rest)}" if rest else "found the end"
        raise ProbeError(
            f"{where}{line} is not JSON: {error.msg} at place {error.colno}, {problem}.",
            hint=READ if given[: error.pos].strip() else _hint(given),
        ) from None
    except RecursionError:
        raise ProbeError(f"{where} is nested too deeply.") from None
    except ValueError as error:  # a number with thousands of digits
        raise ProbeError(f"{where} can't be read: {reason(error)}.") from None
