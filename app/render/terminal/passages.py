"""Figures of text as rows: headings, labels, and the text wrapped at the width.

Owns the wrapping. All text from outside is made harmless here; only its line breaks act.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Line, joined
from app.render.terminal.palette import Palette, filled, step
from app.text import plain
from core.figures.plots.passages import PassagesPlot, Shade, TextPassage
from core.figures.plots.ranges import Ramp

INDENT = 2
"""Cells before the text of a passage."""
Mark = TypeVar("Mark")
Marked = list[tuple[str, Mark]]
"""Text sign by sign, each with a style or another mark."""


@dataclass(frozen=True, slots=True)
class TextLine:
    """A row of a text, and the place of its passage among all; -1 for rows that have none."""

    line: Line
    passage: int = -1


def lines(plot: PassagesPlot, width: int, palette: Palette) -> list[TextLine]:
    """Every row of a text at this width."""
    quiet, strong = Style(color=palette.dim), Style(color=palette.accent, bold=True)
    rows: list[TextLine] = []
    number = 0
    for block in plot.blocks:
        if rows:
            rows.append(TextLine([]))
        if block.heading:
            rows += _rows(marked(block.heading, Style(color=palette.text, bold=True)), width, 0)
        for passage in block.passages:
            head = [*marked(passage.label, strong), *marked(_after(passage), quiet)]
            rows += _rows(head, width, 0, number) if head else []
            shades = (
                cell
                for shade in passage.shades
                for cell in marked(shade.text, shaded(shade, plot.ramp, palette))
            )
            rows += _rows(list(shades), width, INDENT, number)
            if passage.listed:
                listed = marked(f"strongest: {passage.listed}", quiet)
                rows += _rows(listed, width, INDENT, number)
            number += 1
    for note in plot.notes:
        rows += [TextLine([]), *_rows(marked(note, quiet), width, 0)]
    return rows


def shaded(shade: Shade, ramp: Ramp, palette: Palette) -> Style:
    """The style of a piece of text."""
    if shade.tone is None:
        return Style(color=palette.text)
    return filled(palette.ramp(ramp)[step(shade.tone)])


def marked(text: str, mark: Mark) -> Marked[Mark]:
    """Outside text sign by sign; only its line breaks act."""
    parts = text.replace("\r\n", "\n").split("\n")
    return [(sign, mark) for sign in "\n".join(map(_harmless, parts))]


def wrapped(cells: Iterable[tuple[str, Mark]], width: int) -> Iterator[Marked[Mark]]:
    """Rows of at most `width` cells, broken after spaces where a row has any."""
    row: Marked[Mark] = []
    taken = 0
    for cell in cells:
        if cell[0] == "\n":
            yield row
            row, taken = [], 0
            continue
        row.append(cell)
        taken += cell_len(cell[0])
        if taken > width:
            spaces = [index for index, (sign, _) in enumerate(row) if index and sign == " "]
            cut = spaces[-1] + 1 if spaces else len(row) - 1
            yield row[: cut - bool(spaces)]  # omits the space at the break
            row = row[cut:]
            taken = sum(cell_len(sign) for sign, _ in row)
    yield row


def _after(passage: TextPassage) -> str:
    return f"  {passage.words}" if passage.words and passage.label else passage.words


def _harmless(text: str) -> str:
    return plain(text.replace("\t", "    "))


def _rows(cells: Marked[Style], width: int, indent: int, passage: int = -1) -> Iterator[TextLine]:
    for row in wrapped(cells, max(1, width - indent)):
        yield TextLine([Segment(" " * indent), *joined(row)] if indent else joined(row), passage)
