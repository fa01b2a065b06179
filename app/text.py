"""Text from outside made safe to show: model names, paths, messages, names of studies.

Owns the one rule about it. Knows no terminal: markup is the business of whoever prints, who must
switch it off; this only takes away what a terminal itself would obey.
"""

from __future__ import annotations

import unicodedata

LONGEST = 600
"""Characters of one fact; names can be of any length."""

_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are misspelt without them
_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def plain(text: str) -> str:
    """The text in one line, every character that would act on a terminal as a visible escape.

    That is: control characters (escape sequences begin with one), line breaks, marks that change
    the direction of writing or are invisible, and what can't be encoded.
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def short(text: str) -> str:
    """The text made harmless, and cut where it is longer than any fact should be."""
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
