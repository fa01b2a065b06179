"""How to read each figure, in the words of docs/reading.md, which the program comes with.

Owns the parsing of that guide. Knows no figure's values.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

_PLACES = (
    Path(__file__).with_name("reading.md"),  # its place in an installed package
    Path(__file__).parents[2] / "docs" / "reading.md",
)
_WORDS = "## Words of the readout"
_EVERY = "Every analysis"
"""The section on figures that all analyses have."""


def paragraph(analysis: str, title: str) -> str:
    """How to read a figure, by the titles of its analysis and view; empty without the guide or its
    paragraph."""
    paragraphs = _figures()
    return paragraphs.get((analysis, title)) or paragraphs.get((_EVERY, title), "")


def words(readout: str) -> dict[str, str]:
    """The meaning of each word of the guide that a readout has, in the guide's order."""
    return {word: meaning for word, meaning in _meanings().items() if _has(readout, word)}


@cache
def _guide() -> str:
    file = next((place for place in _PLACES if place.is_file()), None)
    return file.read_text(encoding="utf-8") if file is not None else ""


@cache
def _figures() -> dict[tuple[str, str], str]:
    paragraphs = {}
    for section in _guide().split("\n## ")[1:]:
        analysis = section.partition(":")[0]
        for block in section.split("\n\n"):
            match = re.match(r"\*\*(.+?)\.\*\*\s+(.+)", block, re.DOTALL)
            if match:
                paragraphs[analysis, match[1]] = _plain(match[2])
    return paragraphs


@cache
def _meanings() -> dict[str, str]:
    section = _guide().partition(_WORDS)[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)
    return {_plain(word): _plain(meaning) for word, meaning in rows[1:] if set(word) != {"-"}}


def _plain(text: str) -> str:
    """Markdown as words: no links, no marks, in one line."""
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text)
    return " ".join(text.replace("`", "").replace("**", "").split())


def _has(readout: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", readout) is not None
