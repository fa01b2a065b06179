"""Choosing a model: from those on this machine, or by what is typed. Reads no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.render.terminal.lines import exactly, fitted
from app.results import wording
from app.text import plain
from app.tui.completion import Completed, files
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog

if TYPE_CHECKING:
    from app.library.catalogue import Entry

LOOKING = "Looking for models on this machine…"
NONE = "No models are in the usual places. Type a hub id or the path of a folder."
FACTS = 28
"""Columns for what is said of a model besides its name."""


def offers(entries: Sequence[Entry], typed: str, base: str = "") -> tuple[str | Entry, ...]:
    """What may be chosen after this was typed: the models that contain it, those made from the
    base first, and the words themselves; before those models where they look like a place."""
    from app.library.catalogue import children

    word = typed.strip().casefold()
    near = children(entries, base) if base else ()
    ordered = [*near, *(entry for entry in entries if entry not in near)]
    found = [e for e in ordered if word in e.name.casefold() and e.name != base]
    if not word or any(entry.name == typed.strip() for entry in found):
        return tuple(sorted(found, key=lambda e: e.name != typed.strip()))
    is_place = "/" in word or word.startswith((".", "~"))
    return (typed.strip(), *found) if is_place or not found else (*found, typed.strip())


class ModelsScreen(Dialog[str]):
    """Gives what a study file says for the model, or None."""

    DEFAULT_CSS = """
    ModelsScreen > .box { width: 110; height: 30; padding: 0 1; }
    ModelsScreen .box Input { padding: 0 1; }
    ModelsScreen #offers { height: 1fr; margin-top: 1; }
    ModelsScreen #about { height: 3; color: $muted; border-top: solid $line; }
    """
    BINDINGS = [*bindings("typing"), *bindings("models")]  # noqa: RUF012

    def __init__(
        self, title: str, entries: Sequence[Entry] | None, *, base: str = "", typed: str = ""
    ) -> None:
        """`entries` None: they are still being looked for, and will be handed to `fill`; models
        made from `base` come first."""
        super().__init__()
        self.called = title
        self.entries = entries
        self.base = base
        self.typed = typed if plain(typed) == typed else ""
        self.at = 0
        self.top = 0
        self._complete = files()

    def compose(self) -> ComposeResult:
        ways = (
            f"{written('models.move--1')}{written('models.move-1')} choose", "enter takes it",
            f"{written('typing.complete')} completes a path",
        )  # fmt: skip
        with self.box(Vertical, self.called, *ways):
            yield Input(
                self.typed, "a word to filter by, a hub id, or the path of a folder",
                suggester=Completed(self._paths), select_on_focus=True, compact=True,
            )  # fmt: skip
            yield Static("", id="offers", markup=False)
            yield Static("", id="about", markup=False)

    def on_mount(self) -> None:
        self.call_after_refresh(self._show)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    def fill(self, entries: Sequence[Entry]) -> None:
        """Show the models once they are found."""
        self.entries = entries
        self._show()

    def on_input_changed(self, event: Input.Changed) -> None:
        harmless = plain(event.value)
        if harmless != event.value:
            event.input.value = harmless
        self.at = self.top = 0
        self._show()

    def on_input_submitted(self) -> None:
        found = self._offers()
        if found:
            chosen = found[self.at]
            self.dismiss(chosen if isinstance(chosen, str) else chosen.name)

    def on_click(self, event: events.Click) -> None:
        listing = self.query_one("#offers")
        at = self.top + event.screen_y - listing.region.y
        if listing.region.contains(event.screen_x, event.screen_y) and at < len(self._offers()):
            if at == self.at:
                self.on_input_submitted()
            else:
                self.at = at
                self._show()

    def action_move(self, by: int) -> None:
        """Choose another."""
        self.at = max(0, min(self.at + by, len(self._offers()) - 1))
        self._show()

    def action_page(self, way: int) -> None:
        """Choose one a page away."""
        self.action_move(way * max(1, self.query_one("#offers").size.height - 1))

    def action_complete(self) -> None:
        """Take over the first completion of a path."""
        box = self.query_one(Input)
        found = self._paths(box.value)
        if found:
            box.value = found[0]
            box.cursor_position = len(found[0])

    def _paths(self, typed: str) -> Sequence[str]:
        return self._complete(typed) if typed.startswith((".", "/", "~")) else ()

    def _offers(self) -> tuple[str | Entry, ...]:
        typed = self.query_one(Input).value
        untouched = typed == self.typed  # what was chosen before filters nothing
        return offers(self.entries or (), "" if untouched else typed, self.base)

    def _show(self) -> None:
        listing, about = self.query_one("#offers", Static), self.query_one("#about", Static)
        width, height = listing.size.width, max(1, listing.size.height)
        found = self._offers()
        self.at = max(0, min(self.at, len(found) - 1))
        self.top = max(self.at + 1 - height, min(self.top, self.at), 0)
        lines = [
            self._line(each, width, chosen=at == self.at)
            for at, each in enumerate(found[self.top : self.top + height], self.top)
        ]
        if self.entries is None:
            lines.append(Content.styled(f" {LOOKING}", "$muted"))
        elif not lines:
            lines.append(Content.styled(f" {NONE}", "$muted"))
        listing.update(Content("\n").join(lines))
        about.update(self._about(found[self.at], width) if found else Content(""))

    def _line(self, offer: str | Entry, width: int, *, chosen: bool) -> Content:
        mark = Content.styled("▌" if chosen else " ", "$accent")
        if isinstance(offer, str):
            words = exactly(f"use {plain(offer)}", width - 1)
            line = Content.styled(words, "$accent")
        else:
            name = fitted(wording.model_name(offer.name), max(8, width - FACTS - 1))
            facts = (wording.count(offer.parameters) if offer.parameters else "", offer.dtype,
                     offer.kind if offer.kind == "adapter" else offer.architecture)  # fmt: skip
            said = "".join(fitted(fact, w) for fact, w in zip(facts, (9, 10, 9), strict=True))
            line = Content.assemble((name, "$warning" if offer.trouble else ""), (said, "$muted"))
        return (mark + line).stylize("on $panel") if chosen else mark + line

    def _about(self, offer: str | Entry, width: int) -> Content:
        if isinstance(offer, str):
            return Content("A hub id or the path of a folder, as typed.")
        lines = [f"made from {', '.join(offer.parents)}" if offer.parents else "names no parent"]
        size = wording.size(offer.size) if offer.size is not None else ""
        lines[0] += f" · {size}" if size else ""
        if offer.trouble:
            return Content.styled(exactly(plain(offer.trouble), width), "$warning")
        return Content("\n".join(exactly(plain(each), width) for each in lines))
