"""A table with a cursor on a row and a column. app.render.terminal.tables draws it.

The first columns, which identify a row, stay while the others scroll. Only the rows on the screen
are drawn, however many there are.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import tables
from app.render.terminal.lines import Line, fitted, folded, padded, replaced
from app.text import plain
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names
from core.figures.figure import Figure, Table
from core.figures.plots.tables import TablePlot, arrange


class TableView(FigureView[TablePlot]):
    """The shared values, a fixed heading, the rows, and the visible range at the foot."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self._note = [""]
        """The lines at the foot; the last also has the range of visible rows."""
        self._widths: tuple[int, ...] = ()
        self._painter: tables.Painter | None = None

    @property
    def painter(self) -> tables.Painter:
        """Draws the rows in the present layout."""
        assert self._painter is not None
        return self._painter

    def resolved(self, figure: Figure) -> TablePlot:
        """The table as it is read; measured here once, since it takes all of its rows."""
        assert isinstance(figure, Table)
        plot = arrange(figure)
        self._widths = tables.natural_widths(plot.shown)
        return plot

    def filled(self) -> bool:
        return bool(self.plot.shown.rows and self.plot.shown.columns)

    def opening(self) -> CursorPosition:
        """The first result of the first row, if the table names one."""
        keys = self.plot.shown.keys
        return 0, keys if self.plot.head > keys else 0

    def lay_out(self, width: int, height: int) -> None:
        widths = tables.squeezed(self.plot, self._widths, width)
        self._painter = tables.Painter(self.plot.shown, widths, self.palette)
        left = min(self.left, max(0, self.painter.width - width))
        self.left = next(start for start in self._starts if start >= left)
        count = len(self.plot.shown.rows)
        room = width - len(_seen(count, count, count)) - 3
        self._note = _noted(self.plot.whole.note, width, room, 1 + height // 8)

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        below = y - self.size.height + len(self._note)
        if below >= 0:
            dim = Style(color=self.palette.dim)
            return [Segment([*self._note[:-1], self._seen()][below], dim)]
        row = y - self._head + self.top
        if row >= len(self.plot.shown.rows):
            return []
        first = self._head - len(self.painter.names)
        if first <= y < self._head:
            line = self._slid(self.painter.heading(cursor[1] if cursor else -1)[y - first])
            last = y == self._head - 1
            return self._with_sign(line) if last and self._edge[0] < self.painter.width else line
        if y < self._head:
            words = tables.in_common(self.plot)
            return [Segment(fitted(words, self.size.width), Style(color=self.palette.dim))]
        here = cursor is not None and cursor[0] == row
        return self._slid(self.painter.line(row, cursor[1] if cursor and here else -1))

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        width = self.size.width
        head, names = self._head, len(self.painter.names)
        return Region(0, head - names, width, names), Region(
            0, cursor[0] - self.top + head, width, 1
        )

    def spot_at(self, cursor: CursorPosition) -> Spot:
        """The field under the cursor in full, and the other fields of its row."""
        row, columns = self.plot.whole.rows[cursor[0]], self.plot.whole.columns
        words = [tables.harmless(c, v) for c, v in zip(columns, row, strict=True)]
        named = [
            f"{plain(c.name)} {text or 'empty'}" for c, text in zip(columns, words, strict=True)
        ]
        here = self.plot.places[cursor[1]]
        others = dict.fromkeys((*self.plot.places, *range(len(columns))))
        beside = tuple(named[j] for j in others if j != here and words[j])
        return Spot((), value=named[here], beside=beside, line="\t".join(words))

    def item(self) -> str:
        return self.plot.whole.items[self.cursor[0]] if self.plot.whole.items else ""

    def row_names(self) -> list[str]:
        return [str(value) for value in self.plot.whole.rows[self.cursor[0]]]

    def at(self, cursor: CursorPosition) -> Names:
        """The fields of the row, by the names of their columns."""
        whole = self.plot.whole
        row = zip(whole.columns, whole.rows[cursor[0]], strict=True)
        return {c.name: c.written(value) for c, value in row}

    def place_of(self, names: Names) -> CursorPosition | None:
        """The first row with all of these values that have a column."""
        row = next(iter(self.plot.whole.matching({str(k): v for k, v in names.items()})), None)
        return None if row is None else (row, self.cursor[1])

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        rows, columns = len(self.plot.shown.rows), len(self.plot.shown.columns)
        return max(0, min(cursor[0], rows - 1)), max(0, min(cursor[1], columns - 1))

    def action_ends(self, way: int) -> None:
        """To the first or the last row: a table is longer than it is wide."""
        self.action_move(0, way * 1_000_000_000)

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        if not self._head <= y < self._head + self._body():
            return None
        passed = self.left if x >= self._stays else 0
        return y - self._head + self.top, self.painter.column_at(x + passed)

    def bottom(self) -> int:
        return max(0, len(self.plot.shown.rows) - self._body())

    def follow(self, cursor: CursorPosition) -> bool:
        before = self.top, self.left
        row, column = cursor
        self.top = max(row + 1 - self._body(), min(self.top, row))
        starts = self._starts
        end = self.painter.starts[column + 1] - tables.GAP
        latest = max(0, starts[column])  # the column is the first of those that pass
        self.left = min(self.left, latest)
        if end - self.left > self.size.width:
            self.left = next((s for s in starts if end - self.size.width <= s < latest), latest)
        return (self.top, self.left) != before

    @property
    def _head(self) -> int:
        """The lines above the rows of the table."""
        return len(self.painter.names) + bool(self.plot.shared)

    def _body(self) -> int:
        return max(1, self.size.height - len(self._note) - self._head)

    @property
    def _stays(self) -> int:
        """The cells of the columns that identify a row; none if no other column would fit beside
        them."""
        keys = self.plot.shown.keys
        width, others = self.painter.starts[keys], self.painter.widths[keys:]
        return width if width + max(others, default=0) <= self.size.width else 0

    @property
    def _starts(self) -> list[int]:
        """The offsets to which the table scrolls: each shows a column from its start."""
        stays = self._stays
        return [start - stays for start in self.painter.starts]

    @property
    def _edge(self) -> tuple[int, bool]:
        """The end of the visible part, in cells of the whole table, and whether the screen's edge
        cuts a column there. It cuts a column of text, or the first scrolled column; any other
        column shows whole or not at all."""
        room = self.left + self.size.width
        columns = zip(self.painter.starts, self.painter.widths, strict=False)
        for j, (start, width) in enumerate(columns):
            if start + width > room:
                text = self.plot.shown.columns[j].align == "left"
                cut = (
                    text and room - start >= tables.NARROWEST
                ) or start <= self.left + self._stays
                return (room if cut else max(0, start - tables.GAP)), cut
        return self.painter.width, False

    def _slid(self, line: Line) -> Line:
        """The fixed columns of a row, and the visible part of the other columns."""
        end, cut = self._edge
        if not self.left and end >= self.painter.width:
            return line
        hidden = self._stays + self.left
        parts = [self._stays, hidden, max(end, hidden), 1_000_000]
        first, _, rest, after = Segment.divide([*line, Segment(" ")], parts)
        shown = [*first, *rest]
        goes_on = cut and "".join(segment.text for segment in after).strip()
        return replaced(shown, self.size.width - 1, Segment("…")) if goes_on else shown

    def _with_sign(self, line: Line) -> Line:
        """A row of names with the sign of further columns at its end, if nothing is there."""
        sign = Segment("›", Style(color=self.palette.accent, bold=True))
        row = padded(line, self.size.width)
        free = not "".join(segment.text for segment in row)[-2:].strip()
        return replaced(row, self.size.width - 1, sign) if free else row

    def _seen(self) -> str:
        """The last line: the end of the note, and which rows show."""
        count = len(self.plot.shown.rows)
        last = min(self.top + self._body(), count)
        every = "1 row" if count == 1 else f"{count:,} rows"
        words = _seen(self.top + 1, last, count) if self.bottom() else every
        note = self._note[-1]
        return f"{fitted(note, self.size.width - len(words) - 3)}   {words}" if note else words


def _seen(first: int, last: int, count: int) -> str:
    return f"rows {first:,}–{last:,} of {count:,}"


def _noted(note: str, width: int, room: int, most: int) -> list[str]:
    """A note on at most so many lines; the last one leaves room for the range of rows."""
    lines = folded(plain(note), max(8, width))
    if not lines or cell_len(lines[-1]) > room:
        lines.append("")
    if len(lines) > most:
        lines[most - 1 :] = [fitted(" ".join(lines[most - 1 :]), max(0, room)).rstrip()]
    return lines
