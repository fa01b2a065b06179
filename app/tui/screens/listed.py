"""Shared parts of the screens that are a list: the keys that move in it, and the word that rows
must contain. Knows neither runs nor models.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual.widgets import Input

from app.tui.data import DataSource
from app.tui.screens.leaving import LeavingScreen
from app.tui.widgets.listing import Listing
from app.tui.widgets.plain_input import PlainInput


class ListScreen(LeavingScreen[None]):
    """A list and a filter, which shows while it holds a word or is typed in."""

    DEFAULT_CSS = "ListScreen > #filter { padding: 0 1; background: $panel; }"
    OF: ClassVar[str]
    """What is listed."""

    def __init__(self, source: DataSource) -> None:
        super().__init__()
        self.source = source

    # What a screen overrides.

    def fill(self) -> None:
        """List the items that contain the word."""
        raise NotImplementedError

    def tell(self) -> None:
        """Show the details of the selected row."""
        raise NotImplementedError

    # What all have in common.

    def box(self, word: str = "") -> Input:
        """The line that the word is typed into."""
        box = PlainInput(word, f"show only {self.OF} that contain…", id="filter", compact=True)
        box.display = bool(word)
        return box

    @property
    def listing(self) -> Listing[Any]:
        """The list."""
        return self.query_one(Listing)

    @property
    def filter(self) -> Input:
        """The line that the word is typed into; None before it is mounted."""
        return self.query_one("#filter", Input)

    def on_resize(self) -> None:
        """Show the details again: another width may change their number of lines."""
        self.call_after_refresh(self.tell)

    def on_listing_changed(self) -> None:
        self.tell()

    def on_input_changed(self) -> None:
        self.narrow()

    def narrow(self) -> None:
        """List again for another word."""
        self.fill()

    def on_input_submitted(self) -> None:
        self.close_filter()

    def close_filter(self) -> None:
        """Have keys act on the list again."""
        self.filter.display = bool(self.filter.value)
        self.listing.focus()

    def action_filter(self) -> None:
        """Type a word that rows must contain."""
        self.filter.display = True
        self.filter.focus()

    def action_move(self, by: int) -> None:
        """Select a row above or below."""
        self.listing.move(by)

    def action_page(self, way: int) -> None:
        """Select a row a page away."""
        self.listing.page(way)

    def action_ends(self, way: int) -> None:
        """Select the first or the last row."""
        self.listing.move(way * 1_000_000)

    def open(self, run_id: str | None) -> None:
        """Show a run at the last position of its screen; nothing without a run."""
        from app.tui.screens.run import RunScreen

        if run_id:
            before = self.home.memory.place
            known = before if before is not None and before.run == run_id else None
            self.app.push_screen(RunScreen(self.source, run_id, known))
