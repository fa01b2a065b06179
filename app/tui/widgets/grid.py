"""A matrix or a heat map with a cursor. app.render.terminal.grids draws; this scrolls."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import grids
from app.render.terminal.legends import scale_legend
from app.render.terminal.lines import Line, length
from app.text import plain
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Grid
from core.figures.plots.grids import GridPlot
from core.figures.plots.resolution import grid

FOLDED = 1.35
"""How many times too long a grid must be before it is first shown without numbers."""


class GridView(FigureView[GridPlot]):
    """Rows × columns: a heading, the body, and the legend of the colours at the foot."""

    DENSE = True

    def __init__(self) -> None:
        super().__init__()
        self.first = 0
        """The first column that shows."""
        self._dense: bool | None = None
        self._painter: grids.Painter | None = None
        self._foot_at = 0

    @property
    def painter(self) -> grids.Painter:
        """Draws the rows in the present layout."""
        assert self._painter is not None
        return self._painter

    def resolved(self, figure: Figure) -> GridPlot:
        assert isinstance(figure, Grid)
        return grid(figure)

    def filled(self) -> bool:
        return self.plot.is_drawable

    def opening(self) -> CursorPosition:
        """The first value that was measured, since a matrix begins with a diagonal without any; of
        scores beside the base's the first that differs from one."""
        rows = enumerate(self.plot.cells)
        places = [(i, j, v.cell) for i, row in rows for j, v in enumerate(row) if v is not None]
        beside = [place for place in places if place[2].difference is not None]
        return next(((i, j) for i, j, _ in (*beside, *places)), (0, 0))

    def lay_out(self, width: int, height: int) -> None:
        body = max(1, height - 2)  # below one line of names
        dense = self._dense
        if dense is None and len(self.plot.rows) > FOLDED * body:
            dense = True
        layout = grids.layout(self.plot, width, body, dense=dense)
        self._painter = grids.Painter(self.plot, layout, self.palette)
        foot = len(self._foot())
        if layout.tall > 1:  # rows grow into what the foot leaves
            layout = grids.layout(self.plot, width, max(1, body + 1 - foot), dense=dense)
            self._painter = grids.Painter(self.plot, layout, self.palette)
        end = layout.rows(self.plot) + layout.head
        self._foot_at = min(height - 1, max(end, min(end + 1, height - foot)))
        self.first = min(self.first, self._hidden())

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        head = self.painter.layout.head
        foot = y - self._foot_at
        if foot >= 0:
            lines = self._foot()
            return lines[foot] if foot < len(lines) else []
        if y < head:
            return self._slid(self.painter.headings(cursor)[y])
        row = y - head + self.top
        if row >= self._rows():
            return []
        return self._slid(self.painter.line(row, cursor))

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        layout = self.painter.layout
        row = self.painter.row_of(cursor[0]) - self.top + layout.head
        width = self.size.width
        return Region(0, 0, width, layout.head), Region(0, row, width, layout.tall)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        value = self.plot.cells[cursor[0]][cursor[1]]
        place = self.plot.place(*cursor)
        if value is None:
            return Spot(place, missing=self.plot.missing)
        return Spot(place, value.cell, value.side)

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

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        label, head = self.painter.layout.label, self.painter.layout.head
        if not head <= y < self.size.height - 1:
            return None
        if x >= label + self._across() * self.painter.layout.cell:
            return None
        hidden = self.first * self.painter.layout.cell
        return self.painter.place(x if x < label else x + hidden, y - head + self.top)

    def bottom(self) -> int:
        return max(0, self._rows() - self._body())

    def follow(self, cursor: CursorPosition) -> bool:
        before = self.top, self.first
        layout = self.painter.layout
        row = self.painter.row_of(cursor[0])
        self.top = max(row + layout.tall - self._body(), min(self.top, row))
        self.first = max(0, cursor[1] + 1 - self._across(), min(self.first, cursor[1]))
        return (self.top, self.first) != before

    def action_dense(self) -> None:
        """Numbers, or the whole picture without them."""
        self._ready()
        self._dense = self.painter.layout.numbers
        self._laid_out = None
        self.refresh()

    def _rows(self) -> int:
        return self.painter.layout.rows(self.plot)

    def _body(self) -> int:
        return max(1, self.size.height - 1 - self.painter.layout.head)

    def _across(self) -> int:
        """The number of columns that show, each of them whole."""
        layout = self.painter.layout
        fit = max(1, (self.size.width - layout.label) // layout.cell)
        return min(fit, len(self.plot.columns))

    def _hidden(self) -> int:
        """The number of columns that do not show."""
        return len(self.plot.columns) - self._across()

    def _slid(self, line: Line) -> Line:
        """The row with its label in place, and the cells of the columns that show."""
        if not self._hidden():
            return line
        cell = self.painter.layout.cell
        ends = [self.first * cell, (self.first + self._across()) * cell, 1_000_000]
        _, cells, _ = Segment.divide([*line[1:], Segment(" ")], ends)
        return [line[0], *cells]

    def _foot(self) -> list[Line]:
        palette = self.palette
        words = plain("".join(f"   {part}" for part in self._parts()))
        notes = self.plot.remarks(dense=self.painter.layout.halves)
        width = max(16, self.size.width)
        spare = cell_len(words)
        lines = scale_legend(self.plot.scale, width, palette, notes=notes, spare=spare)
        gap = self.size.width - length(lines[0]) - spare
        if words and gap >= 0:
            lines[0] += [Segment(" " * gap), Segment(words, Style(color=palette.dim))]
        return lines

    def _parts(self) -> Iterator[str]:
        """The rows and the columns that show, where not all of them do."""
        if self.bottom():
            last = min(self.top + self._body(), self._rows())
            names = f"{self._row_name(self.top)}–{self._row_name(last - 1)}"
            yield f"{self.plot.row_name}s {names} of {len(self.plot.rows)}"
        if self._hidden():
            last = self.first + self._across()
            yield f"columns {self.first + 1}–{last} of {len(self.plot.columns)}"

    def _row_name(self, text_row: int) -> str:
        layout = self.painter.layout
        i = text_row * 2 if layout.halves else text_row // layout.tall
        return self.plot.rows[min(i, len(self.plot.rows) - 1)].name
