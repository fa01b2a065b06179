"""Groups of horizontal bars with their values beside them. Owns how long a bar is, to an eighth.

A row of text is one bar; a group (a model) names itself on its first row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.charts.lines import Cells, Line, fitted, joined
from app.charts.palette import Palette
from app.charts.scales import UNDEFINED, formatter, shown
from core.views import Cell, Grid

_EIGHTHS = " ▏▎▍▌▋▊▉"
WIDEST_LABEL = 20
CHANCE = "┊"
"""Marks on a bar what chance alone would give."""

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

    def line(self, y: int, cursor: Place | None = None) -> Line:
        """The row of text number y."""
        place = self.places[y]
        if place is None:
            return [Segment(" " * self.width)]
        i, j = place
        chosen = cursor == place
        strong = Style(color=self.palette.accent if chosen else self.palette.text, bold=chosen)
        group = fitted(self.grid.rows[i] if j == 0 else "", self._group, "left")
        name = fitted(self.grid.columns[j], self._name, "right")
        cell = self.grid.cells[i][j]
        line = [
            Segment("▸" if chosen else " ", strong),
            Segment(group + " ", Style(color=self.palette.text, bold=True)),
            Segment(name + " ", strong),
            *joined(self._bar(cell, j)),
        ]
        value = UNDEFINED if cell is not None and cell.shown is None else ""
        if cell is not None and cell.shown is not None:
            value = self.write(cell.shown)
        line.append(Segment(" " + value.rjust(self._value), strong))
        return line

    @cached_property
    def _group(self) -> int:
        longest = max((cell_len(r) for r in self.grid.rows), default=1)
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
        return max(4, self.width - self._group - self._name - self._value - 4)

    @cached_property
    def _limits(self) -> tuple[float, float]:
        values = [0.0, *shown(self.grid), *self._chances]
        low, high = min(values), max(values)
        return (low, high) if high > low else (0.0, 1.0)

    @cached_property
    def _chances(self) -> list[float]:
        cells = [c for row in self.grid.cells for c in row if c is not None]
        return [c.chance for c in cells if c.chance is not None and c.shown == c.value]

    def _bar(self, cell: Cell | None, column: int) -> Cells:
        style = self.palette.line(column, control=False) if self.colour else Style.null()
        dim = Style(color=self.palette.dim)
        cells: Cells = [(" ", None)] * self._room
        low, high = self._limits
        unit = (high - low) / self._room
        zero = min(self._room - 1, round(-low / unit))
        if low < 0:
            cells[zero] = ("│", dim)
        if cell is None or cell.shown is None:
            return cells
        eighths = round(abs(cell.shown) / unit * 8)
        if cell.shown >= 0:
            for at in range(zero, min(self._room, zero + -(-eighths // 8))):
                full = eighths - 8 * (at - zero) >= 8
                cells[at] = ("█" if full else _EIGHTHS[eighths - 8 * (at - zero)], style)
        else:
            for at in range(max(0, zero - -(-eighths // 8)), zero):
                full = eighths - 8 * (zero - at - 1) >= 8
                cells[at] = ("█" if full else "▐", style)
        if cell.chance is not None and cell.shown == cell.value:
            at = min(self._room - 1, max(0, round((cell.chance - low) / unit)))
            beneath = style.color if cells[at][0] == "█" else None
            cells[at] = (CHANCE, Style(color=self.palette.text, bgcolor=_name(beneath)))
        return cells


def _name(colour: object) -> str | None:
    return getattr(colour, "name", None)
