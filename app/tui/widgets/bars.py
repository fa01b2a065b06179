"""Bars with a cursor. The drawing is app.render.terminal.bars'; this scrolls it."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import bars
from app.render.terminal.lines import Line
from app.render.terminal.names import is_control_row
from app.tui.readout import Spot
from app.tui.widgets.figure import FigureView, Names, Place, index_of
from core.figures.figure import Grid


class BarsView(FigureView):
    """A bar a row, in groups; at the foot what the mark on a bar means."""

    def __init__(self) -> None:
        super().__init__()
        self._painter: bars.Painter | None = None

    @property
    def grid(self) -> Grid:
        """The figure shown."""
        assert isinstance(self._figure, Grid)
        return self._figure

    @property
    def painter(self) -> bars.Painter:
        """Draws the rows in the layout of now."""
        assert self._painter is not None
        return self._painter

    def filled(self) -> bool:
        return bool(self.grid.rows and self.grid.columns)

    def opening(self) -> Place:
        """The first model that is no control."""
        rows = range(len(self.grid.rows))
        return next((i for i in rows if not is_control_row(self.grid, i)), 0), 0

    def lay_out(self, width: int, height: int) -> None:
        count = len(self.grid.rows) * (len(self.grid.columns) + 1) - 1
        self._painter = bars.Painter(self.grid, width - 1, self.palette, spaced=count <= height - 1)

    def paint(self, y: int, cursor: Place | None) -> Line:
        if y == self.size.height - 1:
            return self._foot()
        row = y + self.top
        if row >= len(self.painter.places):
            return []
        return self.painter.line(row, cursor)

    def touched(self, cursor: Place) -> Iterable[Region]:
        row = self.painter.places.index(cursor) - self.top
        return (Region(0, row, self.size.width, 1),)

    def spot_at(self, cursor: Place) -> Spot:
        i, j = cursor
        grid = self.grid
        where = ((grid.row_name, grid.rows[i]), (grid.column_name, grid.columns[j]))
        return Spot(where, grid.cells[i][j])

    def at(self, cursor: Place) -> Names:
        return {0: self.grid.rows[cursor[0]], 1: self.grid.columns[cursor[1]]}

    def place_of(self, names: Names) -> Place | None:
        i, j = self.cursor
        return (
            index_of(names.get(0), self.grid.rows, i),
            index_of(names.get(1), self.grid.columns, j),
        )

    def clamped(self, cursor: Place) -> Place:
        rows, columns = len(self.grid.rows), len(self.grid.columns)
        return max(0, min(cursor[0], rows - 1)), max(0, min(cursor[1], columns - 1))

    def moved(self, cursor: Place, dx: int, dy: int) -> Place:
        """Up and down from bar to bar; left and right from group to group."""
        if dx:
            return cursor[0] + dx, cursor[1]
        columns = len(self.grid.columns)
        at = cursor[0] * columns + cursor[1] + dy
        at = max(0, min(at, len(self.grid.rows) * columns - 1))
        return divmod(at, columns)

    def place_at(self, x: int, y: int) -> Place | None:
        row = y + self.top
        return self.painter.places[row] if row < len(self.painter.places) else None

    def bottom(self) -> int:
        return max(0, len(self.painter.places) - self._body())

    def follow(self, cursor: Place) -> bool:
        before = self.top
        row = self.painter.places.index(cursor)
        self.top = max(row + 1 - self._body(), min(self.top, row))
        return self.top != before

    def _body(self) -> int:
        return max(1, self.size.height - 1)

    def _foot(self) -> Line:
        return [Segment("   ".join(bars.notes(self.grid)), Style(color=self.palette.dim))]
