"""Rows of text: the title with progress, the keys at the bottom, the value at the cursor.

What stands in them is made by functions from widths and words; the widgets only show it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.style import Style

from app.render.terminal.lines import exactly, fitted
from app.text import plain
from app.tui.keys import Action
from app.tui.widgets.steady import Steady

ACT = "act"
"""The mark on words that act when clicked; unlike Textual's own, it leaves their look alone."""

NAME = 10
"""Columns of the name before the words."""

Piece = tuple[str, str]
"""Words and the style they are shown in."""


def keys_line(actions: Sequence[Action], width: int) -> Content:
    """As many keys as fit, the most important kept, in the order of their rank."""
    ranked = sorted((a for a in actions if a.rank), key=lambda action: action.rank)
    while ranked and sum(_key_size(a) for a in ranked) > width:
        ranked.remove(_least(ranked))
    pieces: list[Content] = []
    for action in ranked:
        meta = Style.from_meta({ACT: _clicked(action)})
        key = action.shown.split()[0]
        pieces.append(Content.styled(f" {key}", "$accent bold") + f" {action.label} ")
        pieces[-1] = pieces[-1].stylize(meta)
    return Content("").join(pieces)


def two_ends(left: Iterable[Piece], right: Iterable[Piece], width: int) -> Content:
    """Words at both ends of a row; the left ones give way."""
    tail = [(plain(text), style) for text, style in right]
    room = max(0, width - sum(cell_len(text) for text, _ in tail) - 1)
    head: list[Piece] = []
    for text, style in left:
        text = plain(text)
        if room <= 0:
            break
        if cell_len(text) > room:
            text = exactly(text, room)
        head.append((text, style))
        room -= cell_len(text)
    return Content.assemble(*head, " " * (room + 1), *tail)


def named(name: str, words: str, width: int, style: str) -> Content:
    """Words after what they are about, cut to a row."""
    text = fitted(words, width - NAME).rstrip()
    return Content.assemble((f"{name:<{NAME - 1}} ", "$muted"), (text, style))


class Row(Steady):
    """A row of the screen, or two, whose words are made for the width that it is painted in: made
    once that is known, they would be a second painting."""

    DEFAULT_CSS = """
    Row {
        height: 1; width: 1fr; text-wrap: nowrap;
    }
    """

    def __init__(self, make: Callable[[int], Content], *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._make = make
        self._made = 0, Content("")
        """The width that words were made for, and the words."""

    @property
    def words(self) -> Content:
        """What stands there."""
        width = self.size.width
        if width and self._made[0] != width:
            self._made = width, self._make(width)
        return self._made[1]

    def render(self) -> Content:
        return self.words

    def renew(self) -> None:
        """Make the words again; nothing is painted when they stayed the same. A row that is hidden
        has no width: it makes them when it shows."""
        width = self.size.width
        if not width:
            if self._made[0]:
                self._made = 0, Content("")
                self.refresh()  # else it would show as it was painted the last time
        else:
            old, self._made = self._made, (width, self._make(width))
            if old[0] == width and not old[1].is_same(self._made[1]):
                self.refresh()

    def acts(self) -> list[tuple[int, str]]:
        """Where words begin that stand for an action, and the action."""
        starts: dict[str, int] = {}
        x = 0
        for segment in self.render_line(0):
            action = segment.style.meta.get(ACT) if segment.style else None
            if action:
                starts.setdefault(action, x)
            x += segment.cell_length
        return [(x, action) for action, x in starts.items()]

    async def on_click(self, event: events.Click) -> None:
        """Do what the words under the mouse stand for."""
        action = event.style.meta.get(ACT)
        if action:
            event.stop()
            await self.run_action(action)


def _key_size(action: Action) -> int:
    return len(action.shown.split()[0]) + len(action.label) + 3


def _least(ranked: Sequence[Action]) -> Action:
    """What the bottom line loses first: never help, quit, or the way back."""
    essential = {"app.help", "app.leave"} | {
        f"{place}.back" for place in ("run", "compare", "library", "builder", "bench")
    }
    return next((a for a in reversed(ranked) if a.id not in essential), ranked[-1])


def _clicked(action: Action) -> str:
    place = {"app": "app", "figure": "focused", "prompt": "focused"}.get(action.where, "screen")
    return f"{place}.{action.name}" if "(" in action.name else f"{place}.{action.name}()"
