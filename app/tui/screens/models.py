"""Choosing a model: one on this machine, or a typed name. Reads no model."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.render.terminal.lines import Line, exactly, fitted
from app.results import wording
from app.text import plain
from app.tui.completion import Completed, files
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.widgets.listing import Colours, Listing
from app.tui.widgets.plain_input import PlainInput

if TYPE_CHECKING:
    from app.library.catalogue import Entry

LOOKING = "Looking for models on this machine…"
NONE = "No models found in the usual folders.\nType a hub id or the path of a folder."
ALL = "The study has every model found here.\nType a hub id or the path of a folder."
FACTS = 28
"""Columns for the facts of a model beside its name."""


def offers(entries: Sequence[Entry], typed: str, base: str = "") -> tuple[str | Entry, ...]:
    """The choices after typing: the models that contain the words, those made from the base first,
    and the words themselves, which come first if they look like a path."""
    from app.library.catalogue import children

    word = typed.strip().casefold()
    near = children(entries, base) if base else ()
    ordered = [*near, *(entry for entry in entries if entry not in near)]
    matching = [e for e in ordered if word in e.name.casefold() and e.name != base]
    if not word or any(entry.name == typed.strip() for entry in matching):
        return tuple(sorted(matching, key=lambda e: e.name != typed.strip()))
    is_place = "/" in word or word.startswith((".", "~"))
    return (typed.strip(), *matching) if is_place or not matching else (*matching, typed.strip())


class Offers(Listing["str | Entry"], can_focus=False):
    """The models to choose from, and the typed words."""

    HEAD, GROUND, CLICKS = 0, "panel", 1

    def key(self, item: str | Entry) -> str:
        return item if isinstance(item, str) else item.name

    def line(self, index: int, width: int, colours: Colours) -> Line:
        offer, accent = self.items[index], Style(color=colours["accent"])
        if isinstance(offer, str):
            words = exactly(f"use {plain(offer)}", width - 1)
            return [Segment(" ", accent), Segment(words, accent)]
        name = fitted(wording.model_name(offer.name), max(8, width - FACTS - 1))
        facts = (wording.count(offer.parameters) if offer.parameters else "", offer.dtype,
                 offer.kind if offer.kind == "adapter" else offer.architecture)  # fmt: skip
        shown = "".join(fitted(fact, w) for fact, w in zip(facts, (9, 10, 9), strict=True))
        tone = Style(color=colours["warning"]) if offer.trouble else None
        return [
            Segment(" ", accent),
            Segment(name, tone),
            Segment(shown, Style(color=colours["muted"])),
        ]


class ModelsScreen(Dialog[str]):
    """Gives the model's path in a study file, or None."""

    DEFAULT_CSS = """
    ModelsScreen > .box { width: 110; height: 30; padding: 0 1; }
    ModelsScreen .box Input { padding: 0 1; }
    ModelsScreen #offers { height: 1fr; margin-top: 1; }
    ModelsScreen #about { height: 3; color: $muted; border-top: solid $line; }
    """
    BINDINGS = [*bindings("typing"), *bindings("models")]  # noqa: RUF012

    def __init__(
        self, title: str, entries: Sequence[Entry] | None, *, base: str = "", typed: str = "",
        taken: Collection[str] = (),
    ) -> None:  # fmt: skip
        """`entries`: None during the search, which hands them to `fill`. Models made from `base`
        come first; the names in `taken` are not offered."""
        super().__init__()
        self.called = title
        self.entries = entries
        self.base = base
        self.taken = taken
        self.typed = typed if plain(typed) == typed else ""
        self._complete = files()

    def compose(self) -> ComposeResult:
        ways = (
            f"{written('models.move--1')}{written('models.move-1')} choose", "enter accepts it",
            f"{written('typing.complete')} completes a path",
        )  # fmt: skip
        with self.box(Vertical, self.called, *ways):
            yield PlainInput(
                self.typed, "a word to filter by, a hub id, or the path of a folder",
                suggester=Completed(self._paths), select_on_focus=True, compact=True,
            )  # fmt: skip
            yield Offers("offers")
            yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        self._show()

    def on_resize(self) -> None:
        self.call_after_refresh(self.on_listing_changed)

    def fill(self, entries: Sequence[Entry]) -> None:
        """Show the models once they are found."""
        self.entries = entries
        self._show()

    def on_input_changed(self) -> None:
        self._show()
        self.query_one(Offers).selected = 0

    def on_input_submitted(self) -> None:
        listing = self.query_one(Offers)
        if listing.current is not None:
            self.dismiss(listing.key(listing.current))

    def on_listing_opened(self) -> None:
        self.on_input_submitted()

    def on_listing_changed(self) -> None:
        """Show the details of the selected model."""
        about, offer = self.query_one("#about", Static), self.query_one(Offers).current
        about.update(self._about(offer, about.size.width) if offer is not None else Content(""))

    def action_move(self, by: int) -> None:
        """Select another model."""
        self.query_one(Offers).move(by)

    def action_page(self, way: int) -> None:
        """Select a model a page away."""
        self.query_one(Offers).page(way)

    def action_complete(self) -> None:
        """Take the first completion of a path."""
        box = self.query_one(Input)
        paths = self._paths(box.value)
        if paths:
            box.value = paths[0]
            box.cursor_position = len(paths[0])

    def _paths(self, typed: str) -> Sequence[str]:
        return self._complete(typed) if typed.startswith((".", "/", "~")) else ()

    def _offers(self) -> tuple[str | Entry, ...]:
        typed = self.query_one(Input).value
        untouched = typed == self.typed  # what was chosen before filters nothing
        free = [entry for entry in self.entries or () if entry.name not in self.taken]
        return offers(free, "" if untouched else typed, self.base)

    def _show(self) -> None:
        listing = self.query_one(Offers)
        listing.empty = LOOKING if self.entries is None else ALL if self.entries else NONE
        listing.fill(self._offers())

    def _about(self, offer: str | Entry, width: int) -> Content:
        if isinstance(offer, str):
            looking = f"\n{LOOKING}" if self.entries is None else ""
            return Content(f"A hub id or the path of a folder, as typed.{looking}")
        lines = [f"made from {', '.join(offer.parents)}" if offer.parents else "names no parent"]
        size = wording.size(offer.size) if offer.size is not None else ""
        lines[0] += f" · {size}" if size else ""
        if offer.trouble:
            return Content.styled(exactly(plain(offer.trouble), width), "$warning")
        return Content("\n".join(exactly(plain(each), width) for each in lines))
