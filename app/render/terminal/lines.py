"""Rows of styled characters: cutting, padding, joining and overprinting. Knows no figure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from operator import itemgetter

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from app.text import plain

Line = list[Segment]
Cells = list[tuple[str, Style | None]]
"""A row cell by cell: one narrow character each, with its style."""

_MARKS = 32  # characters without a width, such as accents, that a row may hold at first
_NEAR = 8  # cells; what it takes to go there costs as much as they do


def fitted(text: str, width: int, align: str = "left") -> str:
    """Outside text made harmless and exactly `width` cells wide, with an ellipsis where cut."""
    return exactly(plain(text), width, align)


def cut(text: str, width: int) -> str:
    """Outside text made harmless, and cut where it is longer than `width` cells."""
    start = _start(plain(text), width)
    return exactly(start, min(cell_len(start), width)).rstrip()


def told_apart(names: Sequence[str], width: int) -> list[str]:
    """Outside names made harmless and at most `width` cells wide. Where cutting their ends would
    make different names look alike, they are cut in the middle instead."""
    whole = [plain(name) for name in names]
    if width < 4:
        return whole
    best = whole
    for tail in range(width - 1):
        tried = [_without_middle(name, width, tail) for name in whole]
        if tail == 0 or len(set(tried)) > len(set(best)):
            best = tried
        if len(set(best)) == len(set(whole)):
            break
    return best


def _without_middle(name: str, width: int, tail: int) -> str:
    """The name with its last `tail` characters, as many cells of its start as fit before them, and
    an ellipsis between."""
    if cell_len(name) <= width:
        return name
    end = name[len(name) - tail :]
    room = width - 1 - cell_len(end)
    return f"{set_cell_size(name, room).rstrip()}…{end}" if room > 0 else name


def exactly(text: str, width: int, align: str = "left") -> str:
    """Our own text at exactly `width` cells."""
    if width <= 0:
        return ""
    text = _start(text, width)
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    pad = width - cell_len(text)
    if align == "right":
        return " " * pad + text
    if align == "centre":
        return " " * (pad // 2) + text + " " * (pad - pad // 2)
    return text + " " * pad


def _start(text: str, width: int) -> str:
    """As much of a text as shows what its first cells are, and that there are more than `width`.

    A text can have any length, and each of its characters takes time to measure."""
    start = text[: 2 * width + _MARKS]
    return start if cell_len(start) > width else text


def folded(text: str, width: int, *, indent: str = "", hyphens: bool = True) -> list[str]:
    """Harmless text in lines of at most `width` cells, those after the first indented: broken at
    spaces and after `hyphens`, and within words only where one is too long."""
    if narrow(text):
        return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=hyphens)
    lines: list[str] = []
    line, rest = "", width - len(indent)
    for word in text.split():
        room = rest if lines else width
        longer = f"{line} {word}" if line else word
        if line and cell_len(longer) > room and cell_len(word) <= rest:
            lines.append(line)
            longer, room = word, rest
        line = longer
        while cell_len(line) > room:
            size = max(1, len(set_cell_size(line, room).rstrip()))
            lines.append(line[:size])
            line, room = line[size:].lstrip(), rest
    lines += [line] if line else []
    return [*lines[:1], *(f"{indent}{each}" for each in lines[1:])]


def narrow(text: str) -> bool:
    """Whether each character of a text is one cell wide."""
    return all(cell_len(character) == 1 for character in set(text))


def padded(line: Line, width: int, style: Style | None = None) -> Line:
    """A line cut or padded to exactly `width` cells."""
    return Segment.adjust_line_length(line, width, style or Style.null())


def length(line: Line) -> int:
    """The number of cells of a line."""
    return Segment.get_line_length(line)


def joined(cells: Sequence[tuple[str, Style | None]]) -> Line:
    """Cells as segments, neighbours of one style together."""
    runs = groupby(cells, key=itemgetter(1))
    return [Segment("".join(character for character, _ in run), style) for style, run in runs]


def beside(blocks: Iterable[list[Line]], gap: int) -> list[Line]:
    """Blocks of equal height next to one another."""
    columns = list(blocks)
    rows: list[Line] = []
    for parts in zip(*columns, strict=True):
        row: Line = []
        for part in parts:
            row += [Segment(" " * gap), *part] if row else [*part]
        rows.append(row)
    return rows


def replaced(line: Line, column: int, cell: Segment) -> Line:
    """A row with a segment in place of as many of its cells."""
    before, _, after = Segment.divide(line, [column, column + cell.cell_length, 1_000_000])
    return [*before, cell, *after]


def differences(before: Line, after: Line) -> Iterator[tuple[int, int]]:
    """The ranges of cells where two rows of one length differ; near ranges are merged."""
    if before == after:
        return
    old, new = _apart(before), _apart(after)
    start = end = -1
    for i, (a, b) in enumerate(zip_longest(old, new)):
        if a == b:
            continue
        if start < 0:
            start = i
        elif i - end > _NEAR:
            yield start, end
            start = i
        end = i + 1
    if start >= 0:
        yield start, end


def _apart(line: Line) -> list[tuple[str, Style | None]]:
    """A row cell by cell; the second cell of a wide character is empty."""
    cells: list[tuple[str, Style | None]] = []
    for segment in line:
        for character in segment.text:
            cells.append((character, segment.style))
            cells += [("", segment.style)] * (cell_len(character) - 1)
    return cells


def text_of(lines: Iterable[Line], colour: bool) -> str:
    """Lines as a string, with or without ANSI colours."""
    if not colour:
        return "\n".join("".join(s.text for s in line).rstrip() for line in lines)
    return "\n".join(
        "".join(s.style.render(s.text) if s.style else s.text for s in line).rstrip(" ")
        for line in lines
    )


def packed(words: Iterable[str], width: int) -> list[str]:
    """Phrases side by side in lines of at most that width, each cut where it is longer."""
    lines: list[str] = []
    for each in words:
        phrase = cut(each, width)
        if lines and cell_len(lines[-1]) + cell_len(phrase) + 3 <= width:
            lines[-1] += f"   {phrase}"
        else:
            lines.append(phrase)
    return lines
