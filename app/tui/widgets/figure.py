"""Shared behaviour of figures: a cursor, scrolling that follows it, painting of changes only.

Each kind of figure defines its layout, the drawing of a row, and the places of its cursor.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from app.render.terminal.lines import Line, folded
from app.render.terminal.palette import Palette, on
from app.tui.able import Able
from app.tui.keys import bindings
from app.tui.readout import Spot
from app.tui.widgets.steady import Steady
from core.figures.figure import Figure
from core.figures.plots.plot import EMPTY, Plot
from core.figures.plots.tables import TablePlot

CursorPosition = tuple[int, int]
Names = dict[int | str, str]
Name = TypeVar("Name")
Resolved = TypeVar("Resolved", bound=Plot | TablePlot)

READING = "Reading…"

COLOURS = {"standard": 16, "256": 256}
"""The number of colours of a terminal without true colour."""


class FigureView(Steady, Able, Generic[Resolved], can_focus=True):
    """One figure with a cursor. Kinds override the marked methods."""

    PLACE = "figure"
    BINDINGS = bindings("figure")
    DEFAULT_CSS = "FigureView { width: 1fr; height: 1fr; }"
    DENSE: ClassVar[bool] = False
    """Has this kind a view without numbers?"""

    cursor: reactive[CursorPosition] = reactive((0, 0), repaint=False)

    @dataclass
    class Moved(Message):
        """The cursor has moved, or its value has changed."""

        view: FigureView[Any]

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, FigureView.Moved) and message.view is self.view

    @dataclass
    class Copied(Message):
        """The readout is to be copied."""

        view: FigureView[Any]

    def __init__(self) -> None:
        super().__init__()
        self.top = 0
        self.blank = READING
        """The sentence in place of a missing figure."""
        self.follows = False
        """Does the cursor follow another figure's, and show without focus?"""
        self._plot: Resolved | None = None
        self.by_hand = False
        """Was the cursor ever moved by the user?"""
        self._opened = False
        self._open_at: CursorPosition | None = None
        self._laid_out: tuple[Size, str, bool] | None = None
        self._strips: dict[int, Strip] = {}
        self._ground = Style()
        """The background, looked up once and not for each row."""

    def show(self, figure: Figure, blank: str = EMPTY) -> None:
        """Show this figure, or `blank` if there is nothing to draw; the cursor keeps its place if
        possible."""
        self._plot, self.blank = self.resolved(figure), blank
        self._laid_out = None
        if not self._opened and self.filled():
            self._opened = True
            self.set_reactive(FigureView.cursor, self._open_at or self.opening())
        self.set_reactive(FigureView.cursor, self.clamped(self.cursor))
        self.refresh()
        self.post_message(self.Moved(self))

    def refuse(self, words: str) -> None:
        """Show the reason of a missing figure."""
        self._plot, self.blank = None, words
        self._strips.clear()
        self.refresh()
        self.post_message(self.Moved(self))

    @property
    def shows(self) -> bool:
        """Has it a figure?"""
        return self._plot is not None

    def open_at(self, cursor: CursorPosition | None) -> None:
        """Show the first figure with the cursor at this place."""
        self._open_at = cursor

    def seek(self, names: Mapping[str, str], axes: Sequence[str]) -> None:
        """Move the cursor to what has these names, by coordinate; only as far as it has them.

        `axes` are the coordinates that the figure is laid out by, in their order.
        """
        if self._plot is None or not self.filled():
            return
        called: Mapping[str, int | str] = {c: i for i, c in enumerate(axes)}
        called = called or {name: name for name in names}
        wanted: Names = {called[n]: text for n, text in names.items() if n in called}
        place = self.place_of(wanted)
        if place is not None:
            self.cursor = self.clamped(place)

    def spot(self) -> Spot | None:
        """The place of the cursor."""
        return self.spot_at(self.cursor) if self._plot is not None and self.filled() else None

    @property
    def lit(self) -> bool:
        """Does the cursor show?"""
        return self.has_focus or self.follows

    @property
    def palette(self) -> Palette:
        """The colours for this theme and terminal."""
        background = "dark" if self.app.current_theme.dark else "light"
        return on(background, COLOURS.get(self.app.console.color_system or "", 1 << 24))

    @property
    def plot(self) -> Resolved:
        """The plot shown."""
        assert self._plot is not None
        return self._plot

    # What a kind of figure overrides.

    def resolved(self, figure: Figure) -> Resolved:
        """The plot of a figure."""
        raise NotImplementedError

    def filled(self) -> bool:
        """Is there anything to draw?"""
        raise NotImplementedError

    def lay_out(self, width: int, height: int) -> None:
        """Lay the figure out."""
        raise NotImplementedError

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        """The row y of the widget, with the cursor where it touches that row."""
        raise NotImplementedError

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        """The regions that a cursor at this place changes."""
        raise NotImplementedError

    def spot_at(self, cursor: CursorPosition) -> Spot:
        """The coordinates and the cell at a place."""
        raise NotImplementedError

    def at(self, cursor: CursorPosition) -> Names:
        """The names of a place: by the number of an axis, or by coordinate."""
        raise NotImplementedError

    def item(self) -> str:
        """The name of the item under the cursor, "" where there is none."""
        return ""

    def row_names(self) -> list[str]:
        """The names that the row under the cursor begins with, in the plot as a table."""
        return [self.at(self.cursor)[0]]

    def place_of(self, names: Names) -> CursorPosition | None:
        """The place of these names; missing names keep the cursor's coordinate."""
        raise NotImplementedError

    def opening(self) -> CursorPosition:
        """The first place of the cursor."""
        return 0, 0

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        """The nearest place that exists."""
        raise NotImplementedError

    def moved(self, cursor: CursorPosition, dx: int, dy: int) -> CursorPosition:
        """The place that many steps away (it need not exist)."""
        return cursor[0] + dy, cursor[1] + dx

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        """The place under a click."""
        raise NotImplementedError

    def bottom(self) -> int:
        """The largest offset to which the figure scrolls."""
        return 0

    def follow(self, cursor: CursorPosition) -> bool:
        """Scroll until the cursor shows. True if that moved anything."""
        return False

    # Painting

    def render_line(self, y: int) -> Strip:
        if self._plot is None or not self.filled():
            words = folded(self.blank, max(1, self.size.width - 4))
            blank = Strip([Segment(f"  {words[y - 1]}" if 0 < y <= len(words) else "")])
            return blank.adjust_cell_length(self.size.width).apply_style(self.rich_style)
        self._ready()
        lit = self.lit and any(r.y <= y < r.bottom for r in self.touched(self.cursor))
        if lit:
            return self._strip(y, self.cursor)
        if y not in self._strips:
            self._strips[y] = self._strip(y, None)
        return self._strips[y]

    def _ready(self) -> None:
        """Lay out anew after a change of size or theme, else do nothing."""
        key = (self.size, self.app.theme, self.lit)
        if self._laid_out != key:
            self._laid_out = key
            self._strips.clear()
            self._ground = self.rich_style
            self.lay_out(max(1, self.size.width), max(1, self.size.height))
            self.top = min(self.top, self.bottom())
            self.follow(self.cursor)

    def _strip(self, y: int, cursor: CursorPosition | None) -> Strip:
        line = self.paint(y, cursor)
        return Strip(line).adjust_cell_length(self.size.width).apply_style(self._ground)

    def watch_cursor(self, old: CursorPosition, new: CursorPosition) -> None:
        """Paint the old and the new place, or everything if the figure had to scroll."""
        if self._plot is None or not self.filled() or not self.size:
            return
        self._ready()
        if self.follow(new):
            self.scrolled()
        else:
            self.refresh(*self.touched(old), *self.touched(new))
        self.post_message(self.Moved(self))

    def scrolled(self) -> None:
        """Repaint all rows."""
        self._strips.clear()
        self.refresh()

    # Keys and mouse

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Whether the keys of a figure have anything to act on."""
        there = self._plot is not None and self.filled()
        match need:
            case "values":
                return there
            case "cells":
                return there and self.DENSE
            case "several lines":
                return False
        return super().has(need, parameters)

    def action_move(self, dx: int, dy: int) -> None:
        """One step."""
        if self._plot is not None and self.filled():
            self._ready()
            self.by_hand = True
            self.cursor = self.clamped(self.moved(self.cursor, dx, dy))

    def action_ends(self, way: int) -> None:
        """To the left or right end."""
        self.action_move(way * 1_000_000, 0)

    def action_page(self, way: int) -> None:
        """About a screen up or down."""
        self.action_move(0, way * max(1, self.size.height - 4))

    def action_copy(self) -> None:
        """Hand over what the readout says."""
        self.post_message(self.Copied(self))

    def on_click(self, event: events.Click) -> None:
        if self._plot is None or not self.filled():
            return
        self._ready()
        place = self.place_at(event.x, event.y)
        if place is not None:
            self.by_hand = True
            self.cursor = self.clamped(place)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._roll(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._roll(-3)

    def _roll(self, rows: int) -> None:
        if self._plot is None or not self.filled():
            return
        self._ready()
        top = min(max(0, self.top + rows), self.bottom())
        if top != self.top:
            self.top = top
            self.scrolled()


def index_of(name: Name | None, among: Sequence[Name], otherwise: int) -> int:
    """The index of a name; the given default if it is missing."""
    return among.index(name) if name is not None and name in among else otherwise
