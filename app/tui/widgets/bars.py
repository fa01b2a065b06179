"""Bars and boxes with a cursor. The drawing is app.render.terminal.bars'; this scrolls it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from textual.geometry import Region

from app.render.terminal import bars
from app.render.terminal.lines import Line
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Grid
from core.figures.plots import resolution
from core.figures.plots.grids import BarsPlot


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
        return resolution.bars(figure)

    def filled(self) -> bool:
        return bool(self.plot.spots)

    def opening(self) -> CursorPosition:
        """The first model that is no control."""
        return next((i for i, row in enumerate(self.plot.rows) if not row.control), 0), 0

    def lay_out(self, width: int, height: int) -> None:
        painter = bars.Painter(self.plot, width - 1, self.palette)
        spaced = len(painter.places) <= height - len(painter.foot())
        self._painter = replace(painter, spaced=spaced)

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
        place = (
            index_of(names.get(0), [row.name for row in self.plot.rows], i),
            index_of(names.get(1), [column.name for column in self.plot.columns], j),
        )
        return place if place in self.plot.spots else None

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        i, j = cursor
        return min(
            self.plot.spots, key=lambda spot: (abs(spot[0] - i), abs(spot[1] - j)), default=(0, 0)
        )

    def moved(self, cursor: CursorPosition, dx: int, dy: int) -> CursorPosition:
        """Up and down from bar to bar; left and right from group to group."""
        if dx:
            return cursor[0] + dx, cursor[1]
        spots = self.plot.spots
        return spots[max(0, min(spots.index(cursor) + dy, len(spots) - 1))]

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
        room = self.size.height - len(self.painter.foot())
        return max(1, min(len(self.painter.places), room))


class BoxesView(BarsView):
    """A box a row, in groups."""

    def resolved(self, figure: Figure) -> BarsPlot:
        assert isinstance(figure, Grid)
        return resolution.boxes(figure)
