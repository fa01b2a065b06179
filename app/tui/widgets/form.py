"""A page of fields, one per line: one is selected, and at most one is being edited.

Draws items and reports edits. Knows no field by name: see app.tui.pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from app.render.terminal.lines import exactly, fitted
from app.text import plain
from app.tui.completion import Complete, Completed
from app.tui.pages import Item
from app.tui.widgets.plain_input import PlainInput

LABEL = 21
"""Columns of the labels, with the mark of the selected line."""


def line(item: Item, width: int, *, selected: bool, typing: bool = False) -> Content:
    """One item in a row of this width; only its label while it is being edited."""
    mark = Content.styled("▌", "$accent") if selected else Content(" ")
    whole = typing or item.kind == "add"
    left = width - 1 if whole else _label_width(item, width)
    name = _label(item, left - 1)
    if item.kind in ("options", "text", "model"):
        name = name.stylize("bold" if selected else "$muted")
    held = Content("") if typing else _held(item, width - left - 1, selected=selected)
    gap = "" if item.options else " "
    return Content("").join((mark, name, Content(gap), held)).truncate(width, ellipsis=True)


def _label_width(item: Item, width: int) -> int:
    return max(6, min(LABEL + 2 * item.depth, width // 2))


def _label(item: Item, width: int) -> Content:
    sign = {
        "part": "▾ " if item.on else "▸ ",
        "switch": "[x] " if item.on else "[ ] ",
        "add": "+ ",
        "fault": "! ",
    }.get(item.kind, "")
    words = fitted("  " * item.depth + sign + item.label, width - 1) + " "
    style = {"add": "$accent", "fault": "$error bold", "part": "bold"}.get(item.kind, "")
    return Content.styled(words, "$muted" if item.dim else style)


def _held(item: Item, width: int, *, selected: bool) -> Content:
    """The value of an item, or its default."""
    if item.options:
        return _options(item, width, selected=selected)
    words, otherwise = plain(item.words), plain(item.otherwise)
    if not words:
        return Content.styled(exactly(otherwise, min(width, cell_len(otherwise))), "$muted")
    beside = f"  {otherwise}" if otherwise and item.kind in ("part", "switch") else ""
    room = max(8, width - cell_len(beside))
    shown = _end_of(words, room) if item.kind in ("part", "model", "text") else fitted(words, room)
    return Content.assemble(
        shown.rstrip(), (exactly(beside, min(cell_len(beside), width - 8)), "$muted")
    )


def _options(item: Item, width: int, *, selected: bool) -> Content:
    """All options, or only the chosen one where they have no room."""
    chosen = item.words or item.otherwise
    names = [plain(option) for option in item.options]
    if sum(cell_len(name) + 2 for name in names) > width:
        place = f"{item.options.index(chosen) + 1} of {len(names)}" if chosen in names else ""
        return Content.assemble(
            ("‹ ", "$accent"), fitted(chosen, max(4, width - 14)).rstrip(), (" › ", "$accent"),
            (place, "$muted"),
        )  # fmt: skip
    style = "bold $background on $accent" if selected else "bold"
    return Content("").join(
        Content.styled(f" {name} ", style if option == chosen else "$muted")
        for option, name in zip(item.options, names, strict=True)
    )


def _end_of(words: str, width: int) -> str:
    """The end of a path tells more than its beginning."""
    if cell_len(words) <= width:
        return words
    end = words[-(width - 1) :]
    while cell_len(end) > width - 1:
        end = end[1:]
    return f"…{end}"


class FormLine(Widget):
    """One item in a row, and its fault below. While it is edited its words are an Input."""

    DEFAULT_CSS = """
    FormLine { height: auto; text-wrap: nowrap; }
    FormLine Input { padding: 0 1; width: 1fr; background: $panel; }
    FormLine.-selected { background: $panel; }
    """

    def __init__(self, item: Item) -> None:
        super().__init__(markup=False)
        self.item = item

    def show(self, item: Item, *, selected: bool) -> None:
        """Show an item, which may be the same as before."""
        if item != self.item or selected != self.has_class("-selected"):
            anew = item.trouble != self.item.trouble
            self.item = item
            self.set_class(selected, "-selected")
            self.refresh(layout=anew)

    async def edit(self, complete: Complete | None) -> None:
        """Put the words into an Input."""
        box = PlainInput(
            self.item.words, plain(self.item.otherwise), select_on_focus=False, compact=True,
            suggester=Completed(complete) if complete else None,
        )  # fmt: skip
        box.styles.margin = (0, 0, 0, _label_width(self.item, self.size.width))
        await self.mount(box)
        box.focus()
        self.refresh()

    async def rest(self) -> None:
        """Remove the Input."""
        if self.query(Input):
            await self.query(Input).remove()
            self.refresh()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return 1 + len(self._trouble(width))

    def render(self) -> Content:
        width, typing = self.size.width, bool(self.query(Input))
        room = _label_width(self.item, width) if typing else width
        row = line(self.item, room, selected=self.has_class("-selected"), typing=typing)
        return Content("\n").join([row, *self._trouble(width)])

    def _trouble(self, width: int) -> list[Content]:
        if not self.item.trouble:
            return []
        lines = Content(plain(self.item.trouble)).wrap(max(1, width - 4))
        return [Content.styled(f"   {words.plain}", "$error") for words in lines]


class Form(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The lines of a page."""

    DEFAULT_CSS = "Form { height: 1fr; scrollbar-size-vertical: 1; }"

    @dataclass
    class Selected(Message):
        """Another line is selected."""

        item: Item | None

    @dataclass
    class Typed(Message):
        """The words of an item have changed."""

        key: str
        words: str

    @dataclass
    class Acted(Message):
        """The selected line was clicked."""

        key: str

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.items: tuple[Item, ...] = ()
        self.at = 0
        self.editing: str | None = None

    @property
    def current(self) -> Item | None:
        """The selected item."""
        return self.items[self.at] if self.at < len(self.items) else None

    async def fill(self, items: Sequence[Item], select: str | None = None) -> None:
        """Show these items. `select` is selected, by default the same item as before."""
        before, keys = [item.key for item in self.items], [item.key for item in items]
        held = select or (self.current.key if self.current else None)
        same = before == keys
        self.items = tuple(items)
        self.at = keys.index(held) if held in keys else min(self.at, max(0, len(items) - 1))
        if not same:
            self.editing = None
            with self.app.batch_update():
                await self.remove_children()
                await self.mount_all(FormLine(item) for item in items)
        self._show()

    def move(self, by: int) -> None:
        """Select another line."""
        self.at = max(0, min(self.at + by, len(self.items) - 1))
        self._show()

    async def edit(self, complete: Complete | None) -> None:
        """Edit the selected item."""
        if self.current is not None and self.editing is None:
            self.editing = self.current.key
            await self._lines()[self.at].edit(complete)
            self.post_message(self.Selected(self.current))

    async def rest(self) -> None:
        """End the edit; its words stay."""
        if self.editing is not None:
            self.editing = None
            for each in self._lines():
                await each.rest()
            self.focus()
            self.post_message(self.Selected(self.current))

    def complete(self, complete: Complete | None) -> None:
        """Take the first completion of the typed words."""
        for box in self.query(Input):
            completions = complete(box.value) if complete else ()
            if completions:
                box.value = completions[0]
                box.cursor_position = len(completions[0])

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.editing is not None:
            self.post_message(self.Typed(self.editing, event.value))

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        await self.rest()
        self.move(1)

    def on_click(self, event: events.Click) -> None:
        lines = self._lines()
        for index, each in enumerate(lines):
            if each in (event.widget.ancestors_with_self if event.widget else ()):
                if index == self.at:
                    self.post_message(self.Acted(each.item.key))
                elif self.editing is None:
                    self.at = index
                    self._show()

    def _lines(self) -> list[FormLine]:
        return list(self.query_children(FormLine))

    def _show(self) -> None:
        lines = self._lines()
        for index, (each, item) in enumerate(zip(lines, self.items, strict=True)):
            each.show(item, selected=index == self.at)
        if self.at < len(lines):
            self.call_after_refresh(self._follow)
        self.post_message(self.Selected(self.current))

    def _follow(self) -> None:
        lines = self._lines()
        if self.at < len(lines):
            lines[self.at].scroll_visible(animate=False)
