"""A list of rows, with a selection that stays on its row when others come and go.

Scrolls, selects and paints rows, and only what changed; subclasses make a row's words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from app.render.terminal.lines import Line, folded

Colours = dict[str, str]
_NAMES = ("muted", "line", "panel", "accent", "success", "warning", "error", "foreground")
Item = TypeVar("Item")


class Listing(Widget, Generic[Item], can_focus=True):
    """One row per item, identified by its key; the words of `empty` without items."""

    DEFAULT_CSS = "Listing { height: 1fr; width: 1fr; }"
    HEAD: ClassVar[int] = 1
    """Rows of the heading."""
    GROUND: ClassVar[str] = "line"
    """The colour behind the selected row."""
    CLICKS: ClassVar[int] = 2
    """Clicks that open the selected row."""

    selected: reactive[int] = reactive(0, repaint=False)
    marked: reactive[tuple[str, ...]] = reactive(())
    """The keys of marked rows, in the order in which they were marked."""

    class Changed(Message):
        """Another row is selected or marked, or the selected one changed."""

    class Opened(Message):
        """The selected row is to be opened."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.items: tuple[Item, ...] = ()
        self.keys: tuple[str, ...] = ()
        self.top = 0
        self.empty = ""
        self._rows: dict[int, Line] = {}

    def key(self, item: Item) -> str:
        """The key of an item."""
        raise NotImplementedError

    def heading(self, width: int) -> str:
        """The names of the columns."""
        return ""

    def line(self, index: int, width: int, colours: Colours) -> Line:
        """A row; its first cell is left for the selection and the mark."""
        raise NotImplementedError

    def mark_of(self, key: str) -> str:
        """The sign before a marked row."""
        return ""

    @property
    def current(self) -> Item | None:
        """The selected item."""
        return self.items[self.selected] if self.selected < len(self.items) else None

    def fill(self, items: Sequence[Item]) -> None:
        """Show these items, with the same one selected if it is still there. If no row moves, only
        changed rows are painted."""
        held, before = self.current, self.keys
        self.items, self.keys = tuple(items), tuple(map(self.key, items))
        self.selected = min(self.selected, max(0, len(items) - 1))
        if held is not None:
            self.select(self.key(held))
        if self.keys != before or not items:
            self.refresh()
        else:
            width, colours = self.size.width, self.colours()
            for y, old in list(self._rows.items()):
                index = self.top + y - self.HEAD
                if index < len(self.items) and self.line(index, width, colours) != old:
                    self.refresh(Region(0, y, width, 1))
        self.post_message(self.Changed())

    def move(self, by: int) -> None:
        """Select another row."""
        self.selected = max(0, min(self.selected + by, len(self.keys) - 1))

    def page(self, way: int) -> None:
        """Select a row a page away."""
        self.move(way * max(1, self.size.height - self.HEAD - 1))

    def select(self, key: str) -> None:
        """Select a row by its key, if it is there."""
        if key in self.keys:
            self.selected = self.keys.index(key)

    def places(self) -> list[tuple[int, int]]:
        """The visible rows: their index in the list, and their line of the screen."""
        seen = range(self.top, min(self.top + self._body(), len(self.keys)))
        return [(index, self.region.y + self.HEAD + index - self.top) for index in seen]

    def watch_selected(self, old: int, new: int) -> None:
        """Paint the two changed rows, or all if the list has to scroll."""
        top = self._top()
        if top != self.top:
            self.top = top
            self.refresh()
        elif self.size:
            lines = (index - top + self.HEAD for index in (old, new))
            self.refresh(*(Region(0, y, self.size.width, 1) for y in lines))
        self.post_message(self.Changed())

    def watch_marked(self) -> None:
        self.post_message(self.Changed())

    def render_line(self, y: int) -> Strip:
        width, colours, keys = self.size.width, self.colours(), self.keys
        if not keys:
            words, index = _lines(self.empty, width), y - self.HEAD
            segments = _said(words[index], colours) if 0 <= index < len(words) else []
            return Strip(segments).adjust_cell_length(width).apply_style(self.rich_style)
        if y < self.HEAD:
            line = [Segment(self.heading(width), Style(color=colours["muted"]))]
            return Strip(line).adjust_cell_length(width).apply_style(self.rich_style)
        self.top = self._top()
        index = self.top + y - self.HEAD
        if index >= len(keys):
            return Strip.blank(width, self.rich_style)
        line = self.line(index, width, colours)
        self._rows[y] = list(line)
        base, chosen = self.rich_style, index == self.selected
        if keys[index] in self.marked:  # reversed, so that it shows without colours too
            style = Style(color=colours["accent"], bold=True, reverse=chosen)
            line[0] = Segment(self.mark_of(keys[index]), style)
        elif chosen:
            line[0] = Segment("▌", Style(color=colours["accent"]))
        if chosen:
            base = base + Style(bgcolor=colours[self.GROUND])
        return Strip(line).adjust_cell_length(width).apply_style(base)

    def _body(self) -> int:
        return max(1, self.size.height - self.HEAD)

    def _top(self) -> int:
        """The row in the first line: the selected one is always in sight."""
        body = self._body()
        top = max(self.selected + 1 - body, min(self.top, self.selected), 0)
        return min(top, max(0, len(self.keys) - body))

    def on_click(self, event: events.Click) -> None:
        index = self.top + event.y - self.HEAD
        if event.y >= self.HEAD and index < len(self.keys):
            if index == self.selected and event.chain >= self.CLICKS:
                self.post_message(self.Opened())
            self.selected = index

    def on_mouse_scroll_down(self) -> None:
        self.move(1)

    def on_mouse_scroll_up(self) -> None:
        self.move(-1)

    def colours(self) -> Colours:
        """The theme's colours by their names."""
        variables = self.app.theme_variables
        return {name: variables[name] for name in _NAMES}


def _lines(text: str, width: int) -> list[str]:
    """The lines of a text, folded where one is longer than the list is wide."""
    room, lines = max(1, width - 2), list[str]()
    for line in text.split("\n"):
        fits = cell_len(line.replace("`", "")) <= room
        lines += [line] if fits else folded(line, room)
    return lines


def _said(words: str, colours: Colours) -> Line:
    """Our own words, with those between backticks emphasised."""
    strong = Style(color=colours["accent"], bold=True)
    parts = enumerate(words.split("`"))
    return [Segment("  "), *(Segment(text, strong if i % 2 else None) for i, text in parts)]
