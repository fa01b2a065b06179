"""Points with a cursor that goes from one to the next, by either axis."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import scatters
from app.render.terminal.lines import Line, replaced
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Scatter
from core.figures.plots.numbers import exact
from core.figures.plots.resolution import scatter
from core.figures.plots.scatters import PointsPlot
from core.figures.plots.values import Value, yardsticks


class ScatterView(FigureView[PointsPlot]):
    """A plane of points. The cursor is the number of a point among those that have a place."""

    def __init__(self) -> None:
        super().__init__()
        self._legend: list[Line] = []
        self._picture: scatters.Picture | None = None

    @property
    def picture(self) -> scatters.Picture:
        """The points in the layout of now."""
        assert self._picture is not None
        return self._picture

    def resolved(self, figure: Figure) -> PointsPlot:
        assert isinstance(figure, Scatter)
        return scatter(figure)

    def filled(self) -> bool:
        return self.plot.is_drawable

    def opening(self) -> CursorPosition:
        """The first point that is marked, or just the first."""
        marked = (i for i, point in enumerate(self.plot.points) if point.marked)
        return next(marked, 0), 0

    def lay_out(self, width: int, height: int) -> None:
        self._legend = scatters.legend(self.plot, width, self.palette)
        room = max(7, height - len(self._legend))
        self._picture = scatters.picture(self.plot, width=width, height=room, palette=self.palette)

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        if y < len(self._legend):
            return self._legend[y]
        row = y - len(self._legend)
        if row >= len(self.picture.lines):
            return []
        line = self.picture.lines[row]
        if cursor is None:
            return line
        strong = Style(color=self.palette.accent, bold=True)
        column, point_row = self._cell(cursor)
        if row == point_row:
            return replaced(line, column, Segment("◉", strong + Style(reverse=True)))
        frame = self.picture.frame
        if row == frame.top + frame.height:
            return replaced(line, column, Segment("▲", strong))
        return line

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        """The point, and the mark on the axis below it."""
        column, row = self._cell(cursor)
        frame, above = self.picture.frame, len(self._legend)
        yield Region(column, row + above, 1, 1)
        yield Region(column, frame.top + frame.height + above, 1, 1)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        point, plot = self.plot.points[cursor[0]], self.plot
        where = [(plot.point_name, point.name)]
        if point.group not in ("", point.name):
            where.append(("kind", point.group))
        axes = ((plot.x_name, point.x), (plot.y_name, point.y))
        words = "   ".join(f"{name} {exact(value.cell.shown)}" for name, value in axes)
        return Spot(tuple(where), value=words, beside=tuple(_beside(axes)))

    def at(self, cursor: CursorPosition) -> Names:
        return {0: self.plot.points[cursor[0]].name}

    def place_of(self, names: Names) -> CursorPosition | None:
        names_of = [point.name for point in self.plot.points]
        return index_of(names.get(0), names_of, self.cursor[0]), 0

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        return max(0, min(cursor[0], len(self.plot.points) - 1)), 0

    def moved(self, cursor: CursorPosition, dx: int, dy: int) -> CursorPosition:
        """Left and right to the next point by x, up and down to the next by y."""
        axis = 0 if dx else 1
        places = [point.place or (0.0, 0.0) for point in self.plot.points]
        order = sorted(range(len(places)), key=lambda i: (places[i][axis], places[i][1 - axis], i))
        index = order.index(cursor[0]) + (dx or -dy)
        return order[max(0, min(index, len(order) - 1))], 0

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        """The point nearest to the click; a cell is about twice as high as wide."""
        row = y - len(self._legend)

        def distance(i: int) -> float:
            column, point_row = self._cell((i, 0))
            return (column - x) ** 2 + (2 * (point_row - row)) ** 2

        return min(range(len(self.plot.points)), key=distance), 0

    def _cell(self, cursor: CursorPosition) -> tuple[int, int]:
        """The column and the row of the picture that show a point."""
        x, y = self.plot.points[cursor[0]].place or (0.0, 0.0)
        return self.picture.frame.column(x), self.picture.frame.row(y)


def _beside(axes: Iterable[tuple[str, Value]]) -> Iterable[str]:
    """The yardsticks of each of the two values."""
    for name, value in axes:
        known = yardsticks(value.cell)
        if known:
            yield f"{name}: {', '.join(known)}"
