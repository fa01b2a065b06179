"""Looks into one column of the bench: the likeliest token after each layer, and the neurons that
differ most from another column's.

Paints given answers. Asks nothing.
"""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app.render.terminal.lines import Line, fitted
from app.render.terminal.palette import Palette, filled, on, step
from app.tui.widgets.figure import COLOURS
from app.tui.widgets.listing import Colours, Listing
from app.tui.widgets.steady import Steady
from core.bench.messages import LensGrid, Tokens

CELL, LABEL = 10, 8
"""Cells of a token and of the layers' names."""
HEAD = 2
"""Rows above the layers."""
Neuron = tuple[int, int, float, float]


class LensView(Steady, can_focus=True):
    """Layers from the last one down, by tokens. A colour is the probability of the token."""

    DEFAULT_CSS = "LensView { width: 1fr; height: 1fr; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="lens")
        self.title = ""
        self.tokens: Tokens | None = None
        self.grid: LensGrid | None = None
        self.position = 0
        self.depth = 0
        self.words = ""
        """The sentence in place of a missing grid."""

    def wait(self, title: str) -> None:
        """Show nothing until the next grid comes."""
        self.title, self.grid, self.words = title, None, "Reading…"
        self.refresh()

    def refuse(self, words: str) -> None:
        """Say why there is none."""
        self.words = words
        self.refresh()

    def show(self, grid: LensGrid) -> None:
        """Show a grid, from its last layer on."""
        self.grid, self.depth = grid, len(grid.rows) - 1
        self.move(0, 0)

    def move(self, by_tokens: int, by_layers: int) -> None:
        """Stand on another token or layer."""
        if self.grid is not None and self.grid.rows:
            self.depth = max(0, min(self.depth + by_layers, len(self.grid.rows) - 1))
            most = len(self.grid.rows[0]) - 1
            self.position = max(0, min(self.position + by_tokens, most))
        self.refresh()

    @property
    def palette(self) -> Palette:
        """The colours for this theme and terminal."""
        background = "dark" if self.app.current_theme.dark else "light"
        return on(background, COLOURS.get(self.app.console.color_system or "", 1 << 24))

    def render_line(self, y: int) -> Strip:
        return Strip(self._line(y)).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _line(self, y: int) -> Line:
        quiet = Style(color=self.palette.dim)
        if self.grid is None or not self.grid.rows:
            return [Segment(f"  {fitted(self.words, self.size.width - 2)}", quiet)] * (y == 1)
        if y == self.size.height - 1:
            return [Segment(fitted(f" {self._said()}", self.size.width))]
        if y == 0:
            title = f" logit lens of {self.title}: the likeliest next token after each layer"
            return [Segment(fitted(title, self.size.width), quiet)]
        count = max(1, (self.size.width - LABEL) // CELL)
        first = max(0, min(self.position - count // 2, len(self.grid.rows[0]) - count))
        places = range(first, min(first + count, len(self.grid.rows[0])))
        if y == 1:
            pieces = self.tokens.pieces if self.tokens is not None else ()
            names = [
                self._head(pieces[position] if position < len(pieces) else "", position)
                for position in places
            ]
            return [Segment(" " * LABEL), *names]
        layer = self._top() - (y - HEAD)
        if layer < 0 or y >= self.size.height - 1:
            return []
        ink = Style(color=self.palette.accent if layer == self.depth else self.palette.dim)
        label = Segment(fitted(f" layer {layer}", LABEL), ink)
        return [label, *(self._cell(layer, position) for position in places)]

    def _top(self) -> int:
        """The layer in the first row."""
        assert self.grid is not None
        room = max(1, self.size.height - HEAD - 1)
        last = len(self.grid.rows) - 1
        return min(last, max(self.depth + room // 2, room - 1))

    def _head(self, piece: str, position: int) -> Segment:
        here = position == self.position
        style = Style(color=self.palette.accent if here else self.palette.dim, bold=here)
        return Segment(fitted(shown(piece), CELL - 1) + " ", style)

    def _cell(self, layer: int, position: int) -> Segment:
        assert self.grid is not None
        piece, share = self.grid.rows[layer][position]
        style = filled(self.palette.sequential[step(max(0.0, min(1.0, share)))])
        if (layer, position) == (self.depth, self.position):
            style = style + Style(reverse=True, bold=True)
        return Segment(fitted(f" {shown(piece)}", CELL), style)

    def _said(self) -> str:
        """The value under the cursor in words."""
        assert self.grid is not None
        piece, share = self.grid.rows[self.depth][self.position]
        pieces = self.tokens.pieces if self.tokens is not None else ()
        after = shown(pieces[self.position]) if self.position < len(pieces) else "?"
        return f"layer {self.depth}, after {after}: {shown(piece)} at {percent(share)}"


class NeuronList(Listing[Neuron]):
    """Neurons by the size of the difference."""

    DEFAULT_CSS = "NeuronList { display: none; }"
    GROUND = "panel"

    def __init__(self) -> None:
        super().__init__("neurons")
        self.names = "", ""

    def key(self, item: Neuron) -> str:
        return f"{item[0]}.{item[1]}"

    def heading(self, width: int) -> str:
        first, second = (fitted(name, 16, "right") for name in self.names)
        return fitted(f"  {'layer':>6} {'neuron':>8} {first} {second} {'difference':>12}", width)

    def line(self, index: int, width: int, colours: Colours) -> Line:
        layer, neuron, first, second = self.items[index]
        values = f"{first:>z16.3f} {second:>z16.3f} {second - first:>+z12.3f}"
        words = f" {layer:>6} {neuron:>8} {values}"
        return [Segment(" "), Segment(words.replace("-", "−"))]


def percent(share: float) -> str:
    """A probability in percent, never as none or all of it."""
    value = round(100 * share, 1)
    if not 0.1 <= value < 100:
        return "<0.1%" if value < 1 else ">99.9%"
    return f"{value:.0f}%" if 10 <= value <= 99 else f"{value:.1f}%"


def shown(piece: str) -> str:
    """A token so that its blanks and line breaks show."""
    inner = piece.strip()
    return inner or piece.replace("\n", "↵").replace(" ", "␣")
