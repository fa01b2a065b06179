"""A text that scrolls. app.render.terminal.passages wraps it; it never scrolls sideways.

The cursor stands on a row. The readout describes the passage of this row.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import passages
from app.render.terminal.lines import Line
from app.render.terminal.passages import TextLine
from app.text import plain
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names
from core.figures.figure import Figure
from core.figures.passages import Passages
from core.figures.plots import resolution
from core.figures.plots.passages import PassagesPlot, TextPassage

EDGE = 2
"""Cells at the left for the cursor."""


class PassagesView(FigureView[PassagesPlot]):
    """Rows of text, with a mark at the cursor's row."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[TextLine] = []
        self._known: list[tuple[str, TextPassage]] = []
        """The passages with the headings of their blocks."""

    def resolved(self, figure: Figure) -> PassagesPlot:
        assert isinstance(figure, Passages)
        plot = resolution.passages(figure)
        self._known = [(b.heading, each) for b in plot.blocks for each in b.passages]
        if self._plot is not None and plot.item != self._plot.item:  # another text: from its top
            self.top = 0
            self.set_reactive(FigureView.cursor, (0, 0))
        self._lines = []
        return plot

    def filled(self) -> bool:
        return bool(self._known)

    def lay_out(self, width: int, height: int) -> None:
        self._lines = passages.lines(self.plot, max(1, width - EDGE), self.palette)
        self.set_reactive(FigureView.cursor, self.clamped(self.cursor))

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        row = y + self.top
        if row >= len(self._lines):
            return []
        here = cursor is not None and cursor[0] == row
        edge = Segment("▌ " if here else " " * EDGE, Style(color=self.palette.accent))
        return [edge, *self._lines[row].line]

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        return (Region(0, cursor[0] - self.top, self.size.width, 1),)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        """The passage under the cursor, with its whole text to copy."""
        heading, passage = self._known[self._at(cursor[0])]
        named = plain(": ".join(filter(None, (heading, passage.label))))
        known = [plain(words) for words in (passage.words, passage.listed) if words]
        text = plain(passage.text)
        return Spot((), value=named or text[:80], beside=tuple(known), line=text)

    def item(self) -> str:
        return self.plot.item

    def row_names(self) -> list[str]:
        heading, passage = self._known[self._at(self.cursor[0])]
        return [heading, passage.label, passage.words, passage.text]

    def at(self, cursor: CursorPosition) -> Names:
        return {}

    def place_of(self, names: Names) -> CursorPosition | None:
        return None

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        last = len(self._lines) - 1 if self._lines else cursor[0]
        return max(0, min(cursor[0], last)), 0

    def action_ends(self, way: int) -> None:
        """To the first or the last row."""
        self.action_move(0, way * 1_000_000_000)

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        return y + self.top, 0

    def bottom(self) -> int:
        return max(0, len(self._lines) - self.size.height)

    def follow(self, cursor: CursorPosition) -> bool:
        """The cursor stays in the middle, so that every key scrolls a longer text."""
        before = self.top
        self.top = max(0, min(cursor[0] - self.size.height // 2, self.bottom()))
        return self.top != before

    def _at(self, row: int) -> int:
        """The place of the passage at a row, or of the next one above it."""
        for line in reversed(self._lines[: row + 1]):
            if line.passage >= 0:
                return line.passage
        return 0
