"""Choosing one of many by typing: a value of a selector, a measure or an order, or a prompt.

Reads nothing: the caller hands it all offers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from app.render.terminal.lines import Line, fitted
from app.text import plain
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.steering import Offer, Picked
from app.tui.widgets.listing import Colours, Listing
from app.tui.widgets.plain_input import PlainInput

NAMED = 12
"""Columns for the name of a selector."""


def found(offers: Sequence[Offer[Picked]], typed: str) -> tuple[Offer[Picked], ...]:
    """The offers that contain every typed word in their name or value. Values equal to the last
    word come first, then values that begin with it."""
    words = typed.casefold().split()
    last = words[-1] if words else ""

    def fits(offer: Offer[Picked]) -> bool:
        text = f"{offer.name} {offer.value}".casefold()
        return all(word in text for word in words)

    def farness(offer: Offer[Picked]) -> tuple[bool, bool]:
        value = offer.value.casefold()
        return value != last, not value.startswith(last)

    return tuple(sorted(filter(fits, offers), key=farness))


class Offers(Listing[Offer[Any]], can_focus=False):
    """The offers; the current choice has a sign."""

    HEAD, GROUND, CLICKS = 0, "panel", 1
    named = NAMED
    """Columns for the names of these offers."""

    def fill(self, items: Sequence[Offer[Any]]) -> None:
        self.named = max(NAMED, *map(cell_len, {each.name for each in items}), 0) + 1
        super().fill(items)

    def key(self, item: Offer[Any]) -> str:
        return f"{item.name}\n{item.value}"

    def line(self, index: int, width: int, colours: Colours) -> Line:
        offer, muted = self.items[index], Style(color=colours["muted"])
        named = min(self.named, width // 3)
        sign = "● " if offer.current else "  "
        return [
            Segment(" "),
            Segment(fitted(offer.name, named), muted),
            Segment(sign, Style(color=colours["accent"])),
            Segment(fitted(offer.value, max(1, width - named - 3))),
        ]


class ChooseScreen(Dialog[Picked], Generic[Picked]):
    """Gives the value of the picked offer, such as a choice, or None."""

    DEFAULT_CSS = """
    ChooseScreen > .box { width: 64; height: 20; padding: 0 1; }
    ChooseScreen.-wide-words > .box { width: 100%; max-width: 120; }
    ChooseScreen .box Input { padding: 0 1; }
    ChooseScreen #offers { height: 1fr; margin-top: 1; }
    """
    BINDINGS = bindings("models")

    def __init__(
        self,
        title: str,
        offers: Sequence[Offer[Picked]],
        hint: str = "part of a name, such as model med or layer 3",
        *,
        wide: bool = False,
    ) -> None:
        """`hint` stands in the empty line; `wide`: the values are sentences."""
        super().__init__()
        self.set_class(wide, "-wide-words")
        self.called = title
        self.hint = hint
        self.offers = tuple(offers)

    def compose(self) -> ComposeResult:
        keys = f"{written('models.move--1')}{written('models.move-1')}"
        with self.box(Vertical, plain(self.called), f"{keys} select", "enter chooses"):
            yield PlainInput("", self.hint, compact=True)
            yield Offers("offers")

    def on_mount(self) -> None:
        listing = self.query_one(Offers)
        listing.empty = "No match."
        listing.fill(self.offers)

    def on_input_changed(self, event: Input.Changed) -> None:
        listing = self.query_one(Offers)
        listing.fill(found(self.offers, event.value))
        listing.selected = 0

    def on_input_submitted(self) -> None:
        offer = self.query_one(Offers).current
        if offer is not None:
            self.dismiss(offer.choice)

    def on_listing_opened(self) -> None:
        self.on_input_submitted()

    def action_move(self, by: int) -> None:
        """Select another."""
        self.query_one(Offers).move(by)

    def action_page(self, way: int) -> None:
        """Select one a page away."""
        self.query_one(Offers).page(way)
