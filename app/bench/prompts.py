"""A file of prompts for the bench. Owns its format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from core.errors import StudyError
from core.texts.encoding import WAYS


def read(file: Path) -> Iterator[dict[str, str]]:
    """The prompts of a file: one in each line, or in `.jsonl` objects with `prompt` and optional
    `continuation`, `system` and `alone`. Raises StudyError, naming the file and the line."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise StudyError(f"The prompts {file} can't be read: {words}.") from None
    # Only line breaks end a line: JSON and prompts may hold other separators, such as U+2028.
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise StudyError(f"The prompts {file} are empty.")
    for number, line in lines:
        if file.suffix != ".jsonl":
            yield {"prompt": line}
            continue
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        keys = {"prompt", "continuation", "system", "alone"}
        strings = isinstance(entry, dict) and all(isinstance(v, str) for v in entry.values())
        if not strings or "prompt" not in entry or not entry.keys() <= keys:
            raise StudyError(
                f"{file}, line {number} is not an object with a text 'prompt' and optional texts "
                "'continuation', 'system' and 'alone'."
            )
        if entry.get("alone", "item") not in WAYS:
            raise StudyError(f"{file}, line {number}: 'alone' is item, text or document.")
        if entry.get("continuation") == "":
            raise StudyError(
                f"{file}, line {number}: the continuation is empty, so there is nothing to score.",
                hint="Leave the key out to generate a text.",
            )
        yield entry
