"""Groups of horizontal bars with their values beside them. Owns how long a bar is, to an eighth.

A row of text is one bar; a group (a model) names itself on its first row. Upon a bar lie the ends
of its interval and the level of chance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Cells, Line, fitted, joined, told_apart
from app.render.terminal.names import CONTROL_WORDS, has_controls, is_control_row, row_names
from app.render.terminal.palette import Palette, luminance
from app.render.terminal.scales import (
    NULL_MARK,
    UNDEFINED,
    formatter,
    scaled,
    shown,
    shows_interval,
)
from core.figures.figure import Cell, Grid
from core.figures.significance import is_null, null_words

_EIGHTHS = " ▏▎▍▌▋▊▉"
WIDEST_LABEL = 20
CHANCE = "┊"
"""Marks on a bar what chance alone would give."""
WHISKERS = ("├", "─", "┤")
WRITTEN = 92
"""Cells across from which the ends of intervals are written as numbers too."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Painter:
    """Draws the bars of a grid within a width."""

    grid: Grid
    width: int
    palette: Palette
    colour: bool = True
    spaced: bool = True

    @cached_property
    def write(self) -> Callable[[float], str]:
        """How this figure's numbers are written."""
        return formatter(shown(self.grid), self.grid.signed)

    @cached_property
    def places(self) -> tuple[Place | None, ...]:
        """The cell that each row of text shows; None between groups."""
        rows: list[Place | None] = []
        for i in range(len(self.grid.rows)):
            if rows and self.spaced:
                rows.append(None)
            rows += [(i, j) for j in range(len(self.grid.columns))]
        return tuple(rows)

    @cached_property
    def _rows(self) -> list[str]:
        return told_apart(row_names(self.grid), self._group)

    @cached_property
    def _columns(self) -> list[str]:
        return told_apart(self.grid.columns, self._name)

    def line(self, y: int, cursor: Place | None = None) -> Line:
        """The row of text number y."""
        place = self.places[y]
        if place is None:
            return [Segment(" " * self.width)]
        i, j = place
        chosen = cursor == place
        control = is_control_row(self.grid, i)
        ink = self.palette.dim if control else self.palette.text
        strong = Style(color=self.palette.accent if chosen else ink, bold=chosen)
        group = fitted(self._rows[i] if j == 0 else "", self._group, "left")
        name = fitted(self._columns[j], self._name, "right")
        cell = self.grid.cells[i][j]
        line = [
            Segment("▸" if chosen else " ", strong),
            Segment(group + " ", Style(color=ink, bold=True)),
            Segment(name + " ", strong),
            *joined(self._bar(cell, j, control)),
        ]
        value = UNDEFINED if cell is not None and cell.shown is None else ""
        if cell is not None and cell.shown is not None:
            value = self.write(cell.shown)
        near = cell is not None and is_null(cell)
        faded = Style(color=self.palette.dim) if near and not chosen else strong
        line.append(Segment(" " + value.rjust(self._value), faded))
        line.append(Segment(NULL_MARK if near else " ", faded))
        line.append(Segment(self._ends(cell), Style(color=self.palette.dim)))
        return line

    @cached_property
    def _group(self) -> int:
        longest = max((cell_len(r) for r in row_names(self.grid)), default=1)
        return min(longest, WIDEST_LABEL, max(6, self.width // 4))

    @cached_property
    def _name(self) -> int:
        longest = max((cell_len(c) for c in self.grid.columns), default=1)
        return min(longest, max(4, self.width // 5))

    @cached_property
    def _value(self) -> int:
        return max((len(self.write(v)) for v in shown(self.grid)), default=1)

    @cached_property
    def _room(self) -> int:
        taken = self._group + self._name + self._value + self._interval + 5
        return max(4, self.width - taken)

    @cached_property
    def _interval(self) -> int:
        """What the written ends of the intervals take, 0 where they are only drawn."""
        if self.width < WRITTEN:
            return 0
        return max((len(self._words(cell)) for cell in scaled(self.grid)), default=0)

    def _words(self, cell: Cell) -> str:
        if not shows_interval(cell) or cell.low is None or cell.high is None:
            return ""
        return f" {self.write(cell.low)} to {self.write(cell.high)}"

    def _ends(self, cell: Cell | None) -> str:
        if not self._interval:
            return ""
        return (self._words(cell) if cell is not None else "").ljust(self._interval)

    @cached_property
    def _limits(self) -> tuple[float, float]:
        values = [0.0, *shown(self.grid), *self._chances]
        for cell in scaled(self.grid):
            if shows_interval(cell):
                values += [v for v in (cell.low, cell.high) if v is not None]
        low, high = min(values), max(values)
        return (low, high) if high > low else (0.0, 1.0)

    @cached_property
    def _chances(self) -> list[float]:
        return [c.chance for c in scaled(self.grid) if c.chance is not None and c.shown == c.value]

    def _bar(self, cell: Cell | None, column: int, control: bool) -> Cells:
        style = self.palette.line(column, control=control) if self.colour else Style.null()
        dim = Style(color=self.palette.dim)
        drawn: Cells = [(" ", None)] * self._room
        low, high = self._limits
        unit = (high - low) / self._room
        zero = min(self._room - 1, round(-low / unit))
        if low < 0:
            drawn[zero] = ("│", dim)
        if cell is None or cell.shown is None:
            return drawn
        eighths = round(abs(cell.shown) / unit * 8)
        if cell.shown >= 0:
            for at in range(zero, min(self._room, zero + -(-eighths // 8))):
                full = eighths - 8 * (at - zero) >= 8
                drawn[at] = ("█" if full else _EIGHTHS[eighths - 8 * (at - zero)], style)
        else:
            for at in range(max(0, zero - -(-eighths // 8)), zero):
                full = eighths - 8 * (zero - at - 1) >= 8
                drawn[at] = ("█" if full else "▐", style)
        if shows_interval(cell) and cell.low is not None and cell.high is not None:
            self._whiskers(drawn, self._at(cell.low), self._at(cell.high))
        if cell.chance is not None and cell.shown == cell.value:
            self._over(drawn, self._at(cell.chance), CHANCE)
        return drawn

    def _at(self, value: float) -> int:
        """The column of a value."""
        low, high = self._limits
        return min(self._room - 1, max(0, round((value - low) / (high - low) * self._room)))

    def _whiskers(self, drawn: Cells, first: int, last: int) -> None:
        """From one end of the interval to the other; the end of the bar shows through."""
        left, between, right = WHISKERS
        for at in range(first, last + 1):
            sign = left if at == first else right if at == last else between
            solid = drawn[at][0] not in " │"
            if not solid or self.colour or sign != between:
                self._over(drawn, at, "┼" if first == last else sign)

    def _over(self, drawn: Cells, at: int, sign: str) -> None:
        """A sign upon whatever is there; on a full cell the bar stays behind it."""
        character, style = drawn[at]
        if character == "█" and style is not None and style.color is not None:
            ink = "#000000" if luminance(style.color.get_truecolor()) > 0.18 else "#ffffff"
            drawn[at] = (sign, Style(color=ink, bgcolor=style.color.name))
        else:
            kept = style.bgcolor.name if style is not None and style.bgcolor else None
            drawn[at] = (sign, Style(color=self.palette.text, bgcolor=kept))


def notes(grid: Grid) -> list[str]:
    """What the marks among the bars mean, as far as there are any."""
    found = list(grid.measured())
    said = []
    if any(c.chance is not None and c.shown == c.value for c in found):
        said.append(f"{CHANCE} what chance alone gives")
    null = null_words(found, in_full=True)
    if null:
        said.append(f"{NULL_MARK} {null}")
    if any(map(shows_interval, found)):
        said.append("├─┤ 95 %")
    if has_controls(grid):
        said.append(CONTROL_WORDS)
    return said
