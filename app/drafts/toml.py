"""Values and keys as TOML spells them. Owns the spelling alone: the order and the comments of a
file are its author's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def value(given: Any) -> str:
    """A string, number, truth value, list or mapping in one line.

    A text with half of a surrogate pair has no spelling in TOML: it stays what it is, and no
    reader will take it.
    """
    if isinstance(given, bool):
        return "true" if given else "false"
    if isinstance(given, int | float):
        return repr(given)
    if isinstance(given, str):
        return _text(given)
    if isinstance(given, Mapping):
        inside = ", ".join(f"{key(name)} = {value(each)}" for name, each in given.items())
        return f"{{ {inside} }}" if inside else "{ }"
    if isinstance(given, Sequence):
        return f"[{', '.join(map(value, given))}]"
    raise TypeError(f"TOML has no word for {given!r}")


def key(name: str) -> str:
    """A key, between quotes where it needs them."""
    return name if re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*", name) else _text(name)


def _text(text: str) -> str:
    """JSON escapes all that TOML wants escaped, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
