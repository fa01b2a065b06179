"""Matrices and heat maps: rows × columns of coloured cells, with numbers where they fit.

Owns the layout of a grid in character cells and the drawing of any one of its rows, so that a
screen can paint only what has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Line, exactly, fitted, told_apart
from app.render.terminal.palette import Palette, filled, ink, rgb, step
from app.text import plain
from core.figures.plots.grids import GridPlot
from core.figures.plots.plot import beginning
from core.figures.plots.values import MARK, NULL_MARK, Value

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
    begin: str = ""
    """What is left out of the names of all columns."""

    def rows(self, plot: GridPlot) -> int:
        """How many rows of text the body takes."""
        return -(-len(plot.rows) // 2) if self.halves else len(plot.rows) * self.tall


def layout(
    plot: GridPlot, width: int, height: int, *, colour: bool = True, dense: bool = False
) -> Layout:
    """The roomiest layout in which a grid fits; `dense` gives up numbers for the whole picture.

    Where there is room to spare, rows grow, and columns with them.
    """
    number = (plot.longest or 5) + signs_room(plot)
    names = [plain(row.text) for row in plot.rows]
    label = max((cell_len(name) for name in (*names, plot.corner)), default=1)
    label = min(label, WIDEST_LABEL, max(4, width // 4)) + 1
    room = max(1, width - label) // max(1, len(plot.columns))
    numbers = room >= number or not colour
    halves = colour and (dense or (not numbers and len(plot.rows) > height))
    grows = numbers and colour and not halves
    tall = next((t for t in TALL if t * len(plot.rows) <= height), 1) if grows else 1
    columns = (cell_len(column.text) + 2 for column in plot.columns)
    wanted = max([number + 2, 4 * tall * grows, *columns])
    floor = number + 1 if numbers and not colour else NARROWEST_CELL
    cell = max(floor, min(room, wanted, WIDEST_CELL))
    texts = [column.text for column in plot.columns]
    begin = "" if all(cell_len(plain(text)) < cell for text in texts) else beginning(texts)
    return Layout(label, cell, tall, halves, numbers and not halves, begin)


def signs_room(plot: GridPlot) -> int:
    """The cells for the signs after a number, at least one to set it apart."""
    return max(1, plot.room - plot.longest)


@dataclass(frozen=True)
class Painter:
    """Draws a grid row by row. The cursor's cell is bracketed, so it shows without colours too."""

    plot: GridPlot
    layout: Layout
    palette: Palette
    colour: bool = True

    @property
    def width(self) -> int:
        """Cells across."""
        return self.layout.label + self.layout.cell * len(self.plot.columns)

    @property
    def shared(self) -> list[str]:
        """What the names of all columns begin with, where it was left out to make them fit."""
        begin = self.layout.begin
        return [f"{self.plot.column_name} {plain(begin)}*"] if begin else []

    @cached_property
    def _rows(self) -> list[str]:
        return told_apart([row.text for row in self.plot.rows], self.layout.label - 1)

    def heading(self, cursor: Place | None = None) -> Line:
        """The names of the columns."""
        line = [Segment(self._label(self.plot.corner), Style(color=self.palette.dim))]
        for j, name in enumerate(self.plot.columns):
            text = self._heading(name.text.removeprefix(self.layout.begin)) + " "
            chosen = cursor is not None and cursor[1] == j
            line.append(Segment(text, self._name_style(chosen, name.control)))
        return line

    def line(self, y: int, cursor: Place | None = None) -> Line:
        """The row of text number y of the body."""
        if self.layout.halves:
            return self._halves(y, cursor)
        i, part = divmod(y, self.layout.tall)
        middle = part == (self.layout.tall - 1) // 2
        chosen = cursor is not None and cursor[0] == i
        label = self._label(self._rows[i] if middle else "")
        line = [Segment(label, self._name_style(chosen, self.plot.rows[i].control))]
        for j, cell in enumerate(self.plot.cells[i]):
            line.append(self._cell(cell, middle, cursor == (i, j)))
        return line

    def place(self, x: int, y: int) -> Place | None:
        """Which cell lies at these coordinates of the body."""
        j = (x - self.layout.label) // self.layout.cell
        i = y * 2 if self.layout.halves else y // self.layout.tall
        inside = x >= self.layout.label and j < len(self.plot.columns)
        return (i, j) if inside and 0 <= i < len(self.plot.rows) else None

    def row_of(self, i: int) -> int:
        """The first row of text that shows the data row i."""
        return i // 2 if self.layout.halves else i * self.layout.tall

    def _cell(self, value: Value | None, middle: bool, chosen: bool) -> Segment:
        width = self.layout.cell
        text = " " * width
        if middle and value is not None:
            signs = value.signs
            if self.layout.numbers and value.cell.shown is not None:
                text = exactly(value.text + signs.ljust(self._signs), width, "right")
            elif signs:
                text = exactly(signs[-1], width, "centre")
            elif value.cell.shown is None:
                text = exactly(value.text, width - 1, "centre") + " "
        if chosen and middle:
            text = _bracketed(text)
        return Segment(text, self._chosen if chosen else self._fill(value))

    @cached_property
    def _signs(self) -> int:
        return signs_room(self.plot)

    @cached_property
    def _chosen(self) -> Style:
        """The cell under the cursor stands out from any colour of a ramp."""
        text = self.palette.text
        return Style(color=ink(rgb(text.removeprefix("#"))), bgcolor=text, bold=True)

    def _fill(self, value: Value | None) -> Style:
        tone = value.tone if value is not None and self.colour else None
        if tone is None:
            return Style(color=self.palette.dim if self.colour else None)
        return filled(self.palette.ramp(self.plot.scale.ramp)[step(tone)])

    def _halves(self, y: int, cursor: Place | None) -> Line:
        upper, lower = 2 * y, 2 * y + 1
        chosen = cursor is not None and cursor[0] in (upper, lower)
        named = cursor[0] if cursor is not None and chosen else upper
        style = self._name_style(chosen, self.plot.rows[named].control)
        line = [Segment(self._label(self._rows[named]), style)]
        below = (
            self.plot.cells[lower]
            if lower < len(self.plot.rows)
            else (None,) * len(self.plot.columns)
        )
        for j, (top, bottom) in enumerate(zip(self.plot.cells[upper], below, strict=True)):
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

    def _under(self, mark: str, value: Value | None) -> Style:
        """The style of a mark on a cell; that of the cursor is strong on any of them."""
        fill = self._fill(value)
        if mark == NULL_MARK:
            return fill
        return fill + Style(bold=True, color=None if fill.bgcolor else self.palette.text)

    def _pair(self, top: Value | None, bottom: Value | None) -> tuple[Style, str]:
        above, below = (self._fill(value).bgcolor for value in (top, bottom))
        if above is None and below is None:
            return Style(color=self.palette.dim), " "
        if above is None:
            return Style(color=below), "▄"
        return Style(color=above, bgcolor=below), "▀"

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


def _halves_mark(top: Value | None, bottom: Value | None) -> tuple[str, Value | None]:
    """The sign on two rows of data: of a value set apart, or of two that do not differ from chance
    and so have no colour."""
    for value in (top, bottom):
        if value is not None and value.marked:
            return MARK, value
    if top is not None and bottom is not None and top.is_null and bottom.is_null:
        return NULL_MARK, top
    return "", None


def _bracketed(text: str) -> str:
    """The cell under the cursor; a number that fills it keeps its sign."""
    left = "▸" + text[1:] if text[0] == " " else text
    return left[:-1] + "◂" if left[-1] == " " else left
