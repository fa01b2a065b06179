"""Values and keys in TOML's notation. Owns only the notation: its callers own the order and the
comments of a file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any


def value(given: Any) -> str:
    """A string, number, boolean, list or mapping in one line.

    TOML can't express a lone surrogate: such a text stays unchanged, and every reader refuses it.
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
    raise TypeError(f"TOML can't express {given!r}")


def key(name: str) -> str:
    """A key, quoted if needed."""
    return name if re.fullmatch(r"[A-Za-z_-][A-Za-z0-9_-]*", name) else _text(name)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
