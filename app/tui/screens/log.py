"""The log of a run's worker: its last lines, followed while more come, and searched by typing."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from app.render.terminal.lines import Line, fitted, folded
from app.text import plain
from app.tui.data import DataSource
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.threads import Trouble, busy, in_thread, said
from app.tui.widgets.listing import Colours, Listing
from app.tui.widgets.plain_input import PlainInput

POLL = 1.0
NOTHING = "There is no log: the run's worker has written nothing yet, or runs in a terminal."
Numbered = tuple[int, str]


def holding(lines: Sequence[Numbered], typed: str) -> list[Numbered]:
    """The lines that contain every typed word."""
    words = typed.casefold().split()
    return [
        (number, line) for number, line in lines if all(word in line.casefold() for word in words)
    ]


def rows(lines: Sequence[Numbered], width: int) -> list[Numbered]:
    """The lines in rows of at most `width` cells. The last row of a line has its number, each row
    before it one less: a number is the place of a line's last byte, so no two rows share one."""
    folded_lines = ((number, _folded(plain(line), width)) for number, line in lines)
    return [
        (number - len(parts) + place, row)
        for number, parts in folded_lines
        for place, row in enumerate(parts, 1)
    ]


def _folded(line: str, width: int) -> list[str]:
    return [line] if cell_len(line) <= width else folded(line, width, indent="  ")


class LogLines(Listing[Numbered], can_focus=False):
    """Rows of lines, by their numbers."""

    HEAD, GROUND, CLICKS = 0, "panel", 1

    def key(self, item: Numbered) -> str:
        return str(item[0])

    def line(self, index: int, width: int, colours: Colours) -> Line:
        return [Segment(" "), Segment(fitted(self.items[index][1], max(1, width - 1)))]


class LogScreen(Dialog[None]):
    """Follows the log while its last line is selected."""

    DEFAULT_CSS = """
    LogScreen > .box { width: 100%; height: 96%; padding: 0 1; }
    LogScreen .box Input { padding: 0 1; }
    LogScreen #lines { height: 1fr; margin-top: 1; }
    """
    BINDINGS = bindings("models")

    def __init__(self, source: DataSource, run_id: str) -> None:
        super().__init__()
        self.source = source
        self.run_id = run_id
        self._lines: list[Numbered] = []

    def compose(self) -> ComposeResult:
        moves = f"{written('models.move--1')}{written('models.move-1')} scroll"
        with self.box(Vertical, "log", moves, "follows the last line"):
            yield PlainInput("", "show only lines that contain…", compact=True)
            yield LogLines("lines")

    def on_mount(self) -> None:
        self.set_interval(POLL, self._poll)
        self._poll()

    def on_input_changed(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def action_move(self, by: int) -> None:
        """Go a line up or down."""
        self.query_one(LogLines).move(by)

    def action_page(self, way: int) -> None:
        """Go a page up or down."""
        self.query_one(LogLines).page(way)

    def _poll(self) -> None:
        read = self.source.log
        if not busy(self, "log"):
            in_thread(self, lambda: read(self.run_id), self._read, refused=self._lost, group="log")

    def _read(self, lines: Sequence[Numbered]) -> None:
        if list(lines) != self._lines:
            self._lines = list(lines)
            self._show()
        elif not lines:
            self._show()

    def _lost(self, error: Trouble) -> None:
        listing = self.query_one(LogLines)
        listing.empty = plain(said(error))
        listing.refresh()

    def _show(self) -> None:
        listing = self.query_one(LogLines)
        listing.empty = NOTHING if not self._lines else "No line contains this text."
        follows = listing.selected >= len(listing.keys) - 1
        found = holding(self._lines, self.query_one(Input).value)
        listing.fill(rows(found, max(9, listing.size.width - 1)))
        if follows:
            listing.move(len(listing.keys))
