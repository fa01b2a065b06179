"""Text from outside, made safe to display: model names, paths, messages, names of studies.

Owns the rule for it. Knows no terminal: callers must switch off markup; this only escapes control
characters.
"""

from __future__ import annotations

import re
import unicodedata

LONGEST = 600
"""Most characters of one displayed value; names can have any length."""

_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji need them
ALONE = re.compile("(?<![^\\s\u200d])\u200d|\u200d(?![^\\s\u200d])")
"""A joiner that joins nothing: rich measures it in two ways, and raises where they differ."""

_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain(text: str) -> str:
    """The text in one line, with visible escapes for characters that act on a terminal.

    Escaped are control characters (escape sequences begin with one), line breaks, marks that change
    the direction of writing or are invisible, joiners at an edge, and lone surrogates.
    """
    return text if text.isprintable() else ALONE.sub(r"\\u200d", text.translate(_SHOWN))


def short(text: str) -> str:
    """The text made safe, and cut to a limit."""
    text = plain(text)
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"


def _shown(character: str) -> str:
    harmless = character.isprintable() or character in _JOINERS
    if harmless or unicodedata.category(character) == "Zs":
        return character
    if character in _ESCAPES:
        return _ESCAPES[character]
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class _Shown(dict[int, str]):
    """What stands for each character, by its code; found once for each."""

    def __missing__(self, code: int) -> str:
        self[code] = shown = _shown(chr(code))
        return shown


_SHOWN = _Shown()
