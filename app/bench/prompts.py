"""A file of prompts for the bench. Owns its form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from core.errors import StudyError


def read(file: Path) -> Iterator[dict[str, str]]:
    """The prompts of a file: a line each, or in `.jsonl` objects with `prompt`, and perhaps
    `continuation` and `system`. Raises StudyError."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise StudyError(f"The prompts {file} can't be read: {words}.") from None
    lines = [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not lines:
        raise StudyError(f"The prompts {file} are empty.")
    for at, line in lines:
        if file.suffix != ".jsonl":
            yield {"prompt": line}
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        keys = {"prompt", "continuation", "system"}
        strings = isinstance(found, dict) and all(isinstance(v, str) for v in found.values())
        if not strings or "prompt" not in found or not found.keys() <= keys:
            raise StudyError(
                f"{file}, line {at}: it is no object with the text 'prompt', and optional "
                "texts 'continuation' and 'system'."
            )
        yield found
