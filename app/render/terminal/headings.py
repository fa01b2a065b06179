"""The names above the columns of a grid, on as many lines as they need. Owns their line breaks."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from app.render.terminal.lines import exactly, narrow, told_apart
from app.text import plain
from core.figures.plots.plot import Name

SHORT = {"attention": "attn", "embedding": "embed", "unembedding": "unemb", "blocks": "blks"}
MOST = 3
"""The most lines of a name."""
_PARTS = re.compile(r"[^_\-/ ]*[_\-/ ]?")


def headings(names: Sequence[Name], room: int, align: str) -> list[list[str]]:
    """The lines above the columns, each with a text a column, `room` cells wide: names on
    the lowest lines, then the words below them, if any."""
    filled = levelled(_apart([plain(_name(name, room)) for name in names], room))
    rows = [[exactly(text, room, align) for text in row] for row in filled]
    if any(name.words for name in names):
        rows.append([exactly(_cut(plain(name.words), room), room, align) for name in names])
    return rows


def readable(names: Sequence[Name], room: int) -> bool:
    """Are the names above columns whole, and none of their words broken?"""
    words = [part.rstrip("_- ") for name in names for part in _PARTS.findall(_name(name, room))]
    if any(cell_len(word) > room for word in words):
        return False
    return not any("…" in text for row in headings(names, room, "left") for text in row)


def _apart(names: Sequence[str], room: int) -> list[list[str]]:
    """Names in lines that fit, the last of them broken anywhere. Where cut lines would make
    different names look alike, names are cut in the middle instead."""
    lines = [_parted(name, room) or broken(name, room) for name in names]
    seen = {tuple(exactly(line, room) for line in each) for each in lines}
    if len(seen) == len(set(names)):
        return lines
    short = told_apart(names, MOST * room)
    return [
        [name[start : start + room] for start in range(0, len(name), room)] or [""]
        for name in short
    ]


def levelled(columns: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Columns of lines as rows, all of them ending on the lowest."""
    lines = max(map(len, columns), default=1)
    filled = [[""] * (lines - len(parts)) + [*parts] for parts in columns]
    return list(zip(*filled, strict=True)) or [()]


def broken(name: str, room: int) -> list[str]:
    """A name in lines that fit, broken after marks between words; on one line if a break
    would not help. Only its last line may be cut."""
    if cell_len(name) <= room:
        return [name]
    lines = [""]
    for part in filter(None, _PARTS.findall(name)):
        if lines[-1] and len(lines) < MOST and cell_len((lines[-1] + part).rstrip("_- ")) > room:
            lines.append("")
        lines[-1] += part
    above = [line.rstrip("_ ") for line in lines[:-1]]
    return [*above, lines[-1]] if above and cell_len(above[0]) <= room else [name]


def _parted(name: str, room: int) -> list[str]:
    """A name in lines that fit, its words that are too long in even parts; nothing if that takes
    too many lines, or cuts characters of two cells."""
    lines = [""]
    for part in filter(None, _PARTS.findall(name)):
        if lines[-1] and len((lines[-1] + part).rstrip("_- ")) > room:
            lines.append("")
        word = part.rstrip("_ ")
        count = -(-len(word) // max(1, room))
        size = -(-len(word) // max(1, count))
        *whole, last = [
            word[start : start + size] for start in range(0, len(word), max(1, size))
        ] or [""]
        lines[-1:] = [*([lines[-1] + whole[0], *whole[1:], ""] if whole else lines[-1:])]
        lines[-1] += last + part[len(word) :]
    fits = len(lines) <= MOST and narrow(name)
    return [line.rstrip("_ ") for line in lines[:-1]] + lines[-1:] if fits else []


def _name(name: Name, room: int) -> str:
    """A name in its short form where the whole is too long."""
    return name.text if cell_len(name.text) <= room else SHORT.get(name.name, name.text)


def _cut(words: str, room: int) -> str:
    """Words that fit: the first of them, or as much of that as there is room for."""
    if cell_len(words) <= room:
        return words
    text = ""
    for part in _PARTS.findall(words):
        if text.strip("↑↓ ") and cell_len((text + part).rstrip("_- ")) > room:
            break
        text += part
    return text.rstrip("_- ")
