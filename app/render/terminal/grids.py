"""Matrices and heat maps: rows × columns of coloured cells, with numbers where they fit.

Owns the layout of a grid in character cells and the drawing of any one of its rows, so that a
screen can paint only the changed rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.headings import headings, readable
from app.render.terminal.lines import Line, exactly, fitted, told_apart
from app.render.terminal.palette import Palette, filled, ink, rgb, step
from app.text import plain
from core.figures.plots.grids import GridPlot
from core.figures.plots.values import MARK, UNDEFINED, Value

WIDEST_LABEL = 22
NARROWEST_CELL = 2
WIDEST_CELL = 14
NAMED_CELL = 10
"""The width of a cell whose name is long: where not every column fits at it, the others follow as
the grid scrolls."""
TALL = (5, 3, 2, 1)
"""The possible numbers of rows of text per row of data; in an odd number the value is in the
middle."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Layout:
    """Sizes in characters. `halves`: two rows of data in each row of text."""

    label: int
    cell: int
    tall: int
    halves: bool
    numbers: bool
    head: int = 1
    """Lines of names above the columns."""
    counted: bool = False
    """Have columns a number where their names would be cut?"""

    def rows(self, plot: GridPlot) -> int:
        """The rows of text of the body."""
        return -(-len(plot.rows) // 2) if self.halves else len(plot.rows) * self.tall


def layout(
    plot: GridPlot, width: int, height: int, *, colour: bool = True, dense: bool | None = None
) -> Layout:
    """The roomiest layout in which a grid fits. `dense` omits numbers to show the whole picture;
    False shows them, and not every column if need be; None shows them where every column fits, or
    where names could not be read otherwise.

    Where there is room to spare, rows grow, and columns with them. `height` is that of the body
    below a line of names.
    """
    fitting = _layout(plot, width, height, colour=colour, dense=dense)
    head = len(_headings(plot, fitting))
    if head > 1:
        fitting = _layout(plot, width, max(1, height + 1 - head), colour=colour, dense=dense)
    return replace(fitting, head=len(_headings(plot, fitting)))


def _layout(plot: GridPlot, width: int, height: int, *, colour: bool, dense: bool | None) -> Layout:
    number = (plot.longest or 5) + signs_room(plot)
    names = [plain(row.text) for row in plot.rows]
    label = max((cell_len(name) for name in (*names, plot.corner, _shared(plot))), default=1)
    label = min(label, WIDEST_LABEL, max(4, width // 4)) + 1
    room = max(1, width - label) // max(1, len(plot.columns))
    named = _named_cell(plot, room) if dense is False or _by_name(plot, height) else 0
    wide = not dense and (dense is False or room < named)
    numbers = room >= number or not colour or wide
    numbers = numbers and not (dense and colour)
    halves = not numbers and len(plot.rows) > height
    grows = numbers and colour and not halves
    tall = next((t for t in TALL if t * len(plot.rows) <= height), 1) if grows else 1
    columns = (cell_len(text) + 2 for c in plot.columns for text in (c.text, c.words))
    stacked = max(map(cell_len, map(interval_below, plot.values())), default=0) + 1
    wanted = max([number + 2, 4 * tall * grows, *columns, stacked])
    floor = number + 1 if numbers and room < number else NARROWEST_CELL
    if wide and room < (least := max(number + 1, named)):
        floor = max(NARROWEST_CELL, (width - label) // max(1, (width - label) // least))
    cell = max(floor, min(room, wanted, max(WIDEST_CELL, stacked)))
    return Layout(label, cell, tall, halves, numbers, counted=bool(dense))


def _by_name(plot: GridPlot, height: int) -> bool:
    """Are columns looked for by name? A grid of many rows, or of layers, is a picture first."""
    return len(plot.rows) <= height and "layer" not in (plot.row_name, plot.row_of)


def _named_cell(plot: GridPlot, room: int) -> int:
    """The least width of cells, from `room` on, whose names can be read."""
    return next((c for c in range(room, NAMED_CELL) if readable(plot.columns, c - 1)), NAMED_CELL)


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

    @cached_property
    def _rows(self) -> list[str]:
        return told_apart([row.text for row in self.plot.rows], self.layout.label - 1)

    def headings(self, cursor: Place | None = None) -> list[Line]:
        """The names of the columns with the words below them: `layout.head` lines."""
        rows = _headings(self.plot, self.layout)
        corners = [""] * len(rows)
        corners[0] = _shared(self.plot)
        corners[-1] = self.plot.corner if len(rows) > 1 or not corners[0] else corners[0]
        return [
            self._heading(corner, texts, cursor)
            for corner, texts in zip(corners, rows, strict=True)
        ]

    def _heading(self, corner: str, texts: list[str], cursor: Place | None) -> Line:
        line = [Segment(self._label(corner), Style(color=self.palette.dim))]
        for j, (name, text) in enumerate(zip(self.plot.columns, texts, strict=True)):
            chosen = cursor is not None and cursor[1] == j
            line.append(Segment(f"{text} ", self._name_style(chosen, name.control)))
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
            line.append(self._cell(cell, part, cursor == (i, j)))
        return line

    def place(self, x: int, y: int) -> Place | None:
        """The cell at these coordinates of the body."""
        j = (x - self.layout.label) // self.layout.cell
        i = y * 2 if self.layout.halves else y // self.layout.tall
        inside = x >= self.layout.label and j < len(self.plot.columns)
        return (i, j) if inside and 0 <= i < len(self.plot.rows) else None

    def row_of(self, i: int) -> int:
        """The first row of text that shows the data row i."""
        return i // 2 if self.layout.halves else i * self.layout.tall

    def _cell(self, value: Value | None, part: int, chosen: bool) -> Segment:
        """The part of a cell in one row of text: its value in the middle, or above its difference
        and the interval of that difference."""
        width = self.layout.cell
        text = " " * width
        middle = part == (self.layout.tall - 1) // 2
        if self.layout.tall > 1 and value is not None and self.plot.stacked:
            return Segment(self._stacked(value, part, chosen), self._style(value, chosen))
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
        return Segment(text, self._style(value, chosen))

    def _stacked(self, value: Value, part: int, chosen: bool) -> str:
        width, below = self.layout.cell, value.below
        signs = value.signs if below is None else value.marks_of_place
        texts = [value.text + (signs or " ")]
        if below is not None:
            texts.append(below.text + (below.signs or " "))
        written = interval_below(value)
        texts += [f"{written} "] if written and cell_len(written) < width else []
        index = part - max(0, (self.layout.tall - 3) // 2)
        text = exactly(texts[index] if 0 <= index < len(texts) else "", width, "right")
        return _bracketed(text) if chosen and index == 0 else text

    def _style(self, value: Value | None, chosen: bool) -> Style:
        return self._chosen if chosen else self._fill(value)

    @cached_property
    def _signs(self) -> int:
        return signs_room(self.plot)

    @cached_property
    def _chosen(self) -> Style:
        """The style of the cell under the cursor, distinct from any colour of a ramp."""
        text = self.palette.text
        return Style(color=ink(rgb(text.removeprefix("#"))), bgcolor=text, bold=True)

    def _fill(self, value: Value | None) -> Style:
        if not self.colour:
            return Style.null()
        tone = None if value is None else value.tone
        if self.layout.halves and value is not None and value.is_null:
            return filled(self.palette.null)
        if tone is None:
            plain = value is not None and value.number is not None and not value.is_null
            return Style(color=self.palette.text if plain else self.palette.dim)
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
        """The style of a mark on a cell, readable on every cell's colour."""
        fill = self._fill(value)
        return fill + Style(bold=True, color=None if fill.bgcolor else self.palette.text)

    def _pair(self, top: Value | None, bottom: Value | None) -> tuple[Style, str]:
        above, below = (self._fill(value).bgcolor for value in (top, bottom))
        if above is None and below is None:
            return Style(color=self.palette.dim), " "
        if above is None:
            return Style(color=below), "▄"
        return Style(color=above, bgcolor=below), "▀"

    def _label(self, text: str) -> str:
        return fitted(text, self.layout.label - 1, "right") + " "

    def _name_style(self, chosen: bool, control: bool = False) -> Style:
        if chosen:
            return Style(color=self.palette.accent, bold=True)
        return Style(color=self.palette.dim if control else self.palette.text)


def interval_below(value: Value) -> str:
    """The interval below a difference."""
    if value.below is None or value.below.interval is None:
        return ""
    low, high = map(value.below.write, value.below.interval)
    return f"{low} to {high}"


def _headings(plot: GridPlot, layout: Layout) -> list[list[str]]:
    align, room = "right" if layout.numbers else "centre", layout.cell - 1
    rows = headings(plot.columns, room, align)
    if layout.counted and any("…" in text for row in rows for text in row):
        return [[exactly(str(j), room, align) for j, _ in enumerate(plot.columns, 1)]]
    return rows


def _shared(plot: GridPlot) -> str:
    """The common beginning of the columns' names, which the names omit."""
    return f"{plain(plot.prefix)}*" if plot.prefix else ""


def _halves_mark(top: Value | None, bottom: Value | None) -> tuple[str, Value | None]:
    """The sign on two rows of data: of a value set apart, or of one that is undefined."""
    for value in (top, bottom):
        if value is not None and value.marked:
            return MARK, value
    undefined = any(v is not None and v.cell.shown is None for v in (top, bottom))
    return UNDEFINED * undefined, None


def _bracketed(text: str) -> str:
    """The cell under the cursor; a number that fills it keeps its sign."""
    left = "▸" + text[1:] if text[0] == " " else text
    return left[:-1] + "◂" if left[-1] == " " else left
