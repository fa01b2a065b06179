"""Matrices and heat maps: rows × columns of coloured cells, with numbers where they fit.

Owns the layout of a grid in character cells and the drawing of any one of its rows, so that a
screen can paint only what has changed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Line, exactly, fitted, told_apart
from app.render.terminal.names import (
    column_names,
    corner,
    is_control_column,
    is_control_row,
    row_names,
)
from app.render.terminal.palette import MARK, Palette, filled, hex_of, ink, rgb
from app.render.terminal.scales import NULL_MARK, UNDEFINED, Scale, formatter, scale_of, shown
from core.figures.figure import Cell, Grid
from core.figures.significance import is_null

WIDEST_LABEL = 22
NARROWEST_CELL = 2
WIDEST_CELL = 14
TALL = (5, 3, 2, 1)
"""Rows of text that a row of data may take; with an odd number its value stands in the middle."""
SHORT = {"attention": "attn", "embedding": "embed", "unembedding": "unemb", "blocks": "blks"}

Place = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """How many characters everything takes. `halves`: two rows of data in each row of text."""

    label: int
    cell: int
    tall: int
    halves: bool
    numbers: bool

    def rows(self, grid: Grid) -> int:
        """How many rows of text the body takes."""
        return -(-len(grid.rows) // 2) if self.halves else len(grid.rows) * self.tall


def layout(
    grid: Grid, width: int, height: int, *, colour: bool = True, dense: bool = False
) -> Layout:
    """The roomiest layout in which a grid fits; `dense` gives up numbers for the whole picture.

    Where there is room to spare, rows grow, and columns with them.
    """
    number = max((len(t) for t in map(_short(grid), shown(grid))), default=5)
    label = max((cell_len(r) for r in (*row_names(grid), corner(grid))), default=1)
    label = min(label, WIDEST_LABEL, max(4, width // 4)) + 1
    room = max(1, width - label) // max(1, len(grid.columns))
    numbers = room >= number + 1 or not colour
    halves = colour and (dense or (not numbers and len(grid.rows) > height))
    grows = numbers and colour and not halves
    tall = next((t for t in TALL if t * len(grid.rows) <= height), 1) if grows else 1
    wanted = max([number + 3, 4 * tall * grows, *(cell_len(c) + 2 for c in column_names(grid))])
    floor = number + 2 if numbers and not colour else NARROWEST_CELL
    cell = max(floor, min(room, wanted, WIDEST_CELL))
    return Layout(label, cell, tall, halves, numbers and not halves)


@dataclass(frozen=True)
class Painter:
    """Draws a grid row by row. The cursor's cell is bracketed, so it shows without colours too."""

    grid: Grid
    layout: Layout
    palette: Palette
    colour: bool = True
    whole: Grid | None = None
    """The grid of which this is a part: scale and numbers are common to all parts."""

    @cached_property
    def scale(self) -> Scale:
        """What the colours stand for."""
        return scale_of(self.whole or self.grid)

    @cached_property
    def write(self) -> Callable[[float], str]:
        """How this grid's numbers are written."""
        return _short(self.whole or self.grid)

    @property
    def width(self) -> int:
        """Cells across."""
        return self.layout.label + self.layout.cell * len(self.grid.columns)

    @cached_property
    def _rows(self) -> list[str]:
        return told_apart(row_names(self.grid), self.layout.label - 1)

    def heading(self, cursor: Place | None = None) -> Line:
        """The names of the columns."""
        line = [Segment(self._label(corner(self.grid)), Style(color=self.palette.dim))]
        for j, name in enumerate(column_names(self.grid)):
            text = self._heading(name) + " "
            chosen = cursor is not None and cursor[1] == j
            line.append(Segment(text, self._name_style(chosen, is_control_column(self.grid, j))))
        return line

    def line(self, y: int, cursor: Place | None = None) -> Line:
        """The row of text number y of the body."""
        if self.layout.halves:
            return self._halves(y, cursor)
        i, part = divmod(y, self.layout.tall)
        middle = part == (self.layout.tall - 1) // 2
        chosen = cursor is not None and cursor[0] == i
        label = self._label(self._rows[i] if middle else "")
        line = [Segment(label, self._name_style(chosen, is_control_row(self.grid, i)))]
        for j, cell in enumerate(self.grid.cells[i]):
            line.append(self._cell(cell, middle, cursor == (i, j)))
        return line

    def place(self, x: int, y: int) -> Place | None:
        """Which cell lies at these coordinates of the body."""
        j = (x - self.layout.label) // self.layout.cell
        i = y * 2 if self.layout.halves else y // self.layout.tall
        inside = x >= self.layout.label and j < len(self.grid.columns)
        return (i, j) if inside and 0 <= i < len(self.grid.rows) else None

    def row_of(self, i: int) -> int:
        """The first row of text that shows the data row i."""
        return i // 2 if self.layout.halves else i * self.layout.tall

    def _cell(self, cell: Cell | None, middle: bool, chosen: bool) -> Segment:
        width = self.layout.cell
        style = self._fill(cell)
        text = " " * width
        if middle:
            text = exactly(self._text(cell), width - 1, "centre") + " "
            if self.layout.numbers and cell is not None and cell.shown is not None:
                text = exactly(self.write(cell.shown), width - 1, "right") + (_sign(cell) or " ")
            elif cell is not None and _sign(cell):
                text = exactly(_sign(cell), width, "centre")
        if chosen and middle:
            text = _bracketed(text)
        return Segment(text, self._chosen if chosen else style)

    @cached_property
    def _chosen(self) -> Style:
        """The cell under the cursor stands out from any colour of a ramp."""
        text = self.palette.text
        return Style(color=ink(rgb(text.removeprefix("#"))), bgcolor=text, bold=True)

    def _text(self, cell: Cell | None) -> str:
        if cell is None:
            return ""
        if cell.shown is None:
            return UNDEFINED
        return self.write(cell.shown) if self.layout.numbers else ""

    def _fill(self, cell: Cell | None) -> Style:
        if cell is None or cell.shown is None or not self.colour:
            return Style(color=self.palette.dim if self.colour else None)
        if is_null(cell):
            return Style(color=self.palette.dim)
        return filled(self.palette.ramp(self.scale.signed)[self.scale.step(cell.shown)])

    def _halves(self, y: int, cursor: Place | None) -> Line:
        upper, lower = 2 * y, 2 * y + 1
        chosen = cursor is not None and cursor[0] in (upper, lower)
        named = cursor[0] if cursor is not None and chosen else upper
        style = self._name_style(chosen, is_control_row(self.grid, named))
        line = [Segment(self._label(self._rows[named]), style)]
        below = (
            self.grid.cells[lower]
            if lower < len(self.grid.rows)
            else (None,) * len(self.grid.columns)
        )
        for j, (top, bottom) in enumerate(zip(self.grid.cells[upper], below, strict=True)):
            style, character = self._pair(top, bottom)
            text = character * self.layout.cell
            mark, under = _halves_mark(top, bottom)
            if cursor is not None and chosen and cursor[1] == j:
                mark, under = ("▲", top) if cursor[0] == upper else ("▼", bottom)
            if not mark:
                line.append(Segment(text, style))
                continue
            middle = (len(text) - 1) // 2
            line.append(Segment(text[:middle], style))
            line.append(Segment(mark, self._under(mark, under)))
            line.append(Segment(text[middle + 1 :], style))
        return line

    def _under(self, mark: str, cell: Cell | None) -> Style:
        """The style of a mark on a cell; that of the cursor is strong on any of them."""
        fill = self._fill(cell)
        if mark == NULL_MARK:
            return fill
        return fill + Style(bold=True, color=None if fill.bgcolor else self.palette.text)

    def _pair(self, top: Cell | None, bottom: Cell | None) -> tuple[Style, str]:
        colours = [self._colour(cell) for cell in (top, bottom)]
        if colours[0] is None and colours[1] is None:
            return Style(color=self.palette.dim), " "
        if colours[0] is None:
            return Style(color=colours[1]), "▄"
        if colours[1] is None:
            return Style(color=colours[0]), "▀"
        return Style(color=colours[0], bgcolor=colours[1]), "▀"

    def _colour(self, cell: Cell | None) -> str | None:
        if cell is None or cell.shown is None or is_null(cell):
            return None
        return hex_of(self.palette.ramp(self.scale.signed)[self.scale.step(cell.shown)])

    def _heading(self, name: str) -> str:
        """A column's name above its numbers, in its short form where the whole is too long."""
        room = self.layout.cell - 1
        name = name if cell_len(name) <= room else SHORT.get(name, name)
        return fitted(name, room, "right" if self.layout.numbers else "centre")

    def _label(self, text: str) -> str:
        return fitted(text, self.layout.label - 1, "right") + " "

    def _name_style(self, chosen: bool, control: bool = False) -> Style:
        if chosen:
            return Style(color=self.palette.accent, bold=True)
        return Style(color=self.palette.dim if control else self.palette.text)


def chunks(grid: Grid, columns: int) -> list[Grid]:
    """A grid cut into grids of at most that many columns."""
    step = max(1, columns)
    return [
        replace(
            grid,
            columns=grid.columns[at : at + step],
            cells=tuple(row[at : at + step] for row in grid.cells),
        )
        for at in range(0, max(1, len(grid.columns)), step)
    ]


def _halves_mark(top: Cell | None, bottom: Cell | None) -> tuple[str, Cell | None]:
    """The sign on two rows of data: of what is marked, or of two that lie within chance and so
    have no colour."""
    for cell in (top, bottom):
        if cell is not None and cell.mark:
            return MARK, cell
    if top is not None and bottom is not None and is_null(top) and is_null(bottom):
        return NULL_MARK, top
    return "", None


def _sign(cell: Cell) -> str:
    """The sign after a cell's number, or in its place."""
    return MARK if cell.mark else NULL_MARK if is_null(cell) else ""


def _short(grid: Grid) -> Callable[[float], str]:
    return formatter(shown(grid), grid.signed)


def _bracketed(text: str) -> str:
    """The cell under the cursor; a number that fills it keeps its sign."""
    left = "▸" + text[1:] if text[0] == " " else text
    return left[:-1] + "◂" if left[-1] == " " else left
