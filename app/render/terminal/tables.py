"""Tables of text and numbers, row by row. Owns the widths of columns and their shrinking.

Every text is made harmless before it is measured or shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.headings import broken, levelled
from app.render.terminal.lines import Line, exactly, told_apart
from app.render.terminal.palette import Palette
from app.text import plain
from core.figures.figure import Column, Table, Text
from core.figures.plots.tables import TablePlot

WIDEST = 48
"""Cells of a column of text, however long its texts."""
NARROWEST = 10
LEAST = 4
"""Cells of a column that tells rows apart, where its results would be out of sight otherwise."""
GAP = 2
APART = 500
"""The most different texts of a column that are cut so that each looks different."""
MOST = 0.75
"""The share of the room that columns which stay may take."""


def natural_widths(table: Table, widest: int = WIDEST) -> tuple[int, ...]:
    """The width of each column's values: all of its numbers, and its texts up to `widest`."""
    return tuple(
        _widest(column, [row[j] for row in table.rows], widest)
        for j, column in enumerate(table.columns)
    )


def squeezed(plot: TablePlot, widths: Sequence[int], width: int) -> tuple[int, ...]:
    """Those widths with room for names, on two lines where all would not fit otherwise; then the
    widest columns of text narrowed until all fit, if they can. Those that tell rows apart come
    last, and where that is in vain only so far that the results stand beside them."""
    names = [plain(column.name) for column in plot.shown.columns]
    whole = _with_names(widths, names)
    widths = whole if _across(whole) <= width else _with_names(widths, map(_longest, names))
    texts = [j for j in range(len(widths)) if _texts(plot.shown, j)]
    keys = [j for j in texts if j < plot.shown.keys]
    without = _narrowed(widths, [j for j in texts if j not in keys], width)
    of_all = _narrowed(without, texts, width)
    if _across(of_all) <= width:
        return of_all
    most = width if plot.head > plot.shown.keys else int(MOST * width)
    head = _narrowed(without[: plot.head], keys, most, LEAST)
    return (*head, *without[plot.head :])


def _with_names(widths: Sequence[int], names: Iterable[str]) -> tuple[int, ...]:
    return tuple(max(w, cell_len(name)) for w, name in zip(widths, names, strict=True))


def _longest(name: str) -> str:
    """The longer line of a name on two."""
    longest = cell_len(name)
    rooms = (room for room in range(1, longest) if len(broken(name, room)) > 1)
    fits = (parts for parts in (broken(name, room) for room in rooms))
    return min((max(parts, key=cell_len) for parts in fits), key=cell_len, default=name)


def _narrowed(
    widths: Sequence[int], able: Sequence[int], width: int, least: int = NARROWEST
) -> tuple[int, ...]:
    """The widths, some columns narrowed until all fit or their limit is reached."""
    fitting = list(widths)
    while _across(fitting) > width:
        widest = max(able, key=lambda j: fitting[j], default=-1)
        if widest < 0 or fitting[widest] <= least:
            break
        fitting[widest] -= 1
    return tuple(fitting)


def _across(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def in_common(plot: TablePlot) -> str:
    """The values that all rows share, as harmless text."""
    return f"all rows: {plain(' · '.join(plot.shared))}"


@dataclass(frozen=True)
class Painter:
    """Draws a table with columns of these widths; a row of text a row."""

    table: Table
    widths: tuple[int, ...]
    palette: Palette

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The cell at which each column begins, and the one after the last."""
        starts = [0]
        for width in self.widths:
            starts.append(starts[-1] + width + GAP)
        return tuple(starts)

    @property
    def width(self) -> int:
        """Cells across."""
        return self.starts[-1] - GAP

    @cached_property
    def names(self) -> list[tuple[str, ...]]:
        """The names of the columns, on as many lines as they take."""
        columns = zip(self.table.columns, self.widths, strict=True)
        return levelled([broken(plain(column.name), width) for column, width in columns])

    def heading(self, chosen: int = -1) -> list[Line]:
        """The lines of the names, that of the chosen column stronger."""
        styles = [
            Style(color=self.palette.accent if j == chosen else self.palette.dim, bold=True)
            for j in range(len(self.widths))
        ]
        return [self._line(row, styles) for row in self.names]

    def line(self, i: int, chosen: int = -1) -> Line:
        """Row number i; with the cursor in one of its columns all of it stands out."""
        row = self.table.rows[i]
        columns = zip(self.table.columns, row, self._apart, strict=True)
        texts = [short.get(text := harmless(c, v), text) for c, v, short in columns]
        if chosen < 0:
            return self._line(texts, [Style(color=self.palette.text)] * len(texts))
        strong = Style(color=self.palette.accent, bold=True)
        styles = [strong + Style(reverse=j == chosen) for j in range(len(texts))]
        return self._line(texts, styles)

    def column_at(self, x: int) -> int:
        """The column that shows the cell x, or the one next to it."""
        passed = sum(start <= x for start in self.starts[:-1])
        return max(0, passed - 1)

    @cached_property
    def _apart(self) -> list[dict[str, str]]:
        """The cut texts of each column that tells rows apart: different ones look different."""
        shortened: list[dict[str, str]] = []
        for j, (column, width) in enumerate(zip(self.table.columns, self.widths, strict=True)):
            keyed = j < self.table.keys and not column.outside and _texts(self.table, j)
            texts = [*{harmless(column, row[j]) for row in self.table.rows}] if keyed else []
            cut = len(texts) <= APART and any(cell_len(text) > width for text in texts)
            shortened.append(dict(zip(texts, told_apart(texts, width), strict=True)) if cut else {})
        return shortened

    def _line(self, texts: Sequence[str], styles: Sequence[Style]) -> Line:
        line: Line = []
        columns = zip(texts, styles, self.widths, self.table.columns, strict=True)
        for text, style, width, column in columns:
            if line:
                line.append(Segment(" " * GAP))
            line.append(Segment(exactly(text, width, column.align), style))
        return line


def harmless(column: Column, value: Text) -> str:
    """A value as text without control characters."""
    return plain(column.written(value))


def _widest(column: Column, values: Sequence[Text], most: int) -> int:
    """The width of a column's values. Measures only the candidates for the longest."""
    texts = {value for value in values if isinstance(value, str)}
    numbers = {value for value in values if isinstance(value, int | float)}
    if column.form[-1:] in _REGULAR and all(map(math.isfinite, numbers)):
        numbers = {min(numbers), max(numbers)} if numbers else numbers
    size = max((len(column.written(number)) for number in numbers), default=0)
    if most == WIDEST and any(len(text) >= most for text in texts):
        return max(size, most)
    return max([size, *(min(most, cell_len(harmless(column, text))) for text in texts)])


_REGULAR = ("f", "d", "%")
"""Formats in which no number is longer than both the least and the greatest."""


def _texts(table: Table, j: int) -> bool:
    """Is it a column of text? Numbers are never cut."""
    return any(isinstance(row[j], str) for row in table.rows)
