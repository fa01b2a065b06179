"""Bars with a cursor. The drawing is app.render.terminal.bars'; this scrolls it."""

from __future__ import annotations

from collections.abc import Iterable

from textual.geometry import Region

from app.render.terminal import bars
from app.render.terminal.lines import Line
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Grid
from core.figures.plots.grids import BarsPlot
from core.figures.plots.resolution import bars as resolved_bars

FOOT = 3
"""Rows below the bars: the axis, its numbers, and the meaning of the marks on a bar."""


class BarsView(FigureView[BarsPlot]):
    """A bar a row, in groups; at the foot what the mark on a bar means."""

    def __init__(self) -> None:
        super().__init__()
        self._painter: bars.Painter | None = None

    @property
    def painter(self) -> bars.Painter:
        """Draws the rows in the layout of now."""
        assert self._painter is not None
        return self._painter

    def resolved(self, figure: Figure) -> BarsPlot:
        assert isinstance(figure, Grid)
        return resolved_bars(figure)

    def filled(self) -> bool:
        return self.plot.is_drawable

    def opening(self) -> CursorPosition:
        """The first model that is no control."""
        return next((i for i, row in enumerate(self.plot.rows) if not row.control), 0), 0

    def lay_out(self, width: int, height: int) -> None:
        count = len(self.plot.rows) * (len(self.plot.columns) + 1) - 1
        spaced = count <= height - FOOT
        self._painter = bars.Painter(self.plot, width - 1, self.palette, spaced=spaced)

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        if y >= self._body():
            foot = [*self.painter.foot(), *[[]] * self.size.height]
            return foot[y - self._body()]
        row = y + self.top
        if row >= len(self.painter.places):
            return []
        return self.painter.line(row, cursor)

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        row = self.painter.places.index(cursor) - self.top
        return (Region(0, row, self.size.width, 1),)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        place, value = self.plot.place(*cursor), self.plot.cells[cursor[0]][cursor[1]]
        return Spot(place) if value is None else Spot(place, value.cell, value.side)

    def at(self, cursor: CursorPosition) -> Names:
        return {0: self.plot.rows[cursor[0]].name, 1: self.plot.columns[cursor[1]].name}

    def place_of(self, names: Names) -> CursorPosition | None:
        i, j = self.cursor
        return (
            index_of(names.get(0), [row.name for row in self.plot.rows], i),
            index_of(names.get(1), [column.name for column in self.plot.columns], j),
        )

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        rows, columns = len(self.plot.rows), len(self.plot.columns)
        return max(0, min(cursor[0], rows - 1)), max(0, min(cursor[1], columns - 1))

    def moved(self, cursor: CursorPosition, dx: int, dy: int) -> CursorPosition:
        """Up and down from bar to bar; left and right from group to group."""
        if dx:
            return cursor[0] + dx, cursor[1]
        columns = len(self.plot.columns)
        at = cursor[0] * columns + cursor[1] + dy
        at = max(0, min(at, len(self.plot.rows) * columns - 1))
        return divmod(at, columns)

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        row = y + self.top
        return self.painter.places[row] if row < len(self.painter.places) else None

    def bottom(self) -> int:
        return max(0, len(self.painter.places) - self._body())

    def follow(self, cursor: CursorPosition) -> bool:
        before = self.top
        row = self.painter.places.index(cursor)
        self.top = max(row + 1 - self._body(), min(self.top, row))
        return self.top != before

    def _body(self) -> int:
        return max(1, min(len(self.painter.places), self.size.height - FOOT))
