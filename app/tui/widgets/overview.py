"""The overview of a run: its cards and its findings, with one of them selected.

Scrolls, selects and paints; `app.render.terminal.overview` makes the rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual import events
from textual.message import Message
from textual.strip import Strip

from app.render.terminal.lines import folded
from app.render.terminal.overview import Layout, Row, layout
from app.results.overview import Overview
from app.text import plain
from app.tui.able import Able
from app.tui.keys import bindings
from app.tui.theme import toned
from app.tui.widgets.steady import Steady
from core.overview.finding import FigurePlace


class OverviewView(Steady, Able, can_focus=True):
    """The first tab of a run."""

    PLACE = "overview"
    BINDINGS = bindings("overview")
    DEFAULT_CSS = "OverviewView { height: 1fr; width: 1fr; padding: 0 1; }"

    class Moved(Message):
        """The selection has moved."""

    class Opened(Message):
        """Asks for the figure of the selected card or finding."""

    def __init__(self) -> None:
        super().__init__()
        self.overview: Overview | None = None
        self.selected = -1
        """The cards, then the findings; -1 before there is anything."""
        self.words = "Reading…"
        """The sentence in place of a missing overview."""
        self.top = 0
        self._made: tuple[object, Layout] | None = None

    @property
    def count(self) -> int:
        """The number of cards and findings."""
        overview = self.overview
        return 0 if overview is None else len(overview.cards) + len(overview.findings)

    @property
    def place(self) -> FigurePlace | None:
        """The figure of the selected card or finding."""
        if self.overview is None or not 0 <= self.selected < self.count:
            return None
        cards = self.overview.cards
        if self.selected < len(cards):
            return cards[self.selected].figure
        return self.overview.findings[self.selected - len(cards)].candidate.figure

    def show(self, overview: Overview, blank: str) -> None:
        """Show this overview; `blank` if the run has no values. The first finding is selected until
        the user selects another item."""
        if overview == self.overview and blank == self.words:
            return
        untouched = self.overview is None or self.selected == len(self.overview.cards)
        self.overview, self.words, self._made = overview, blank, None
        first = len(overview.cards) if overview.findings else 0
        self.selected = first if untouched else min(self.selected, self.count - 1)
        self.refresh()

    def refuse(self, words: str) -> None:
        """Show the error of a missing overview."""
        self.overview, self.words = None, words
        self.refresh()

    def action_move(self, by: int) -> None:
        """Select another card or finding."""
        self._select(self.selected + by)

    def action_page(self, way: int) -> None:
        """Go to the next of three places: the first card, the first finding, the last one."""
        cards = 0 if self.overview is None else len(self.overview.cards)
        stops = (0, cards, self.count - 1)[::way]
        self._select(next((stop for stop in stops if (stop - self.selected) * way > 0), stops[-1]))

    def action_ends(self, way: int) -> None:
        """Select the first card, or the last finding."""
        self._select(0 if way < 0 else self.count - 1)

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Is there anything to select?"""
        return self.count > 1

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        laid_out = self._layout()
        if laid_out is not None:
            self.top = self._top(laid_out)
            rows: Sequence[Row] = laid_out.rows[self.top :]
        else:
            rows = [[(line, "muted")] for line in folded(plain(self.words), max(1, width))]
        row = rows[y] if y < len(rows) else []
        colours = self.app.theme_variables
        segments = [Segment(words, toned(tone, colours)) for words, tone in row]
        return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)

    def on_click(self, event: events.Click) -> None:
        """Select the card or finding under the mouse; open it when it was selected already."""
        laid_out = self._layout()
        row = self.top + event.y
        if laid_out is None or row >= len(laid_out.owners) or laid_out.owners[row] < 0:
            return
        if laid_out.owners[row] == self.selected and event.chain > 1:
            self.post_message(self.Opened())
        self._select(laid_out.owners[row])

    def on_mouse_scroll_down(self) -> None:
        self.action_move(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_move(-1)

    def _select(self, item: int) -> None:
        item = max(0, min(item, self.count - 1))
        if item != self.selected and self.count:
            self.selected = item
            self.refresh()
            self.post_message(self.Moved())

    def _layout(self) -> Layout | None:
        """The rows for the present size, made once for each size."""
        overview = self.overview
        if overview is None or (self.words and not overview.findings):
            return None
        key = self.size, self.selected
        if self._made is None or self._made[0] != key:
            self._made = key, layout(overview, *self.size, self.selected)
        return self._made[1]

    def _top(self, laid_out: Layout) -> int:
        """The row in the first line, with the selection in sight as far as it fits."""
        rows, height = len(laid_out.rows), self.size.height
        chosen = [row for row, owner in enumerate(laid_out.owners) if owner == self.selected]
        top = min(self.top, max(0, rows - height))
        if chosen:
            top = max(top, min(chosen[-1] + 1 - height, chosen[0]))
            top = min(top, chosen[0])
        return 0 if chosen and chosen[-1] < height else max(0, top)
