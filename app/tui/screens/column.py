"""A column of the bench, typed in its notation or picked from templates.

Nothing is built here: the dialog gives a column, or the words for a knob.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.render.terminal.lines import Line, fitted
from app.text import plain
from app.tui.bench import knobs
from app.tui.completion import Completed
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.threads import said
from app.tui.widgets.listing import Colours, Listing
from app.tui.widgets.plain_input import PlainInput
from core.bench.columns import Column, parse
from core.errors import StudyError

Template = tuple[str, str]


class Templates(Listing[Template], can_focus=False):
    """Columns to begin with."""

    HEAD, GROUND, CLICKS = 0, "panel", 1

    def key(self, item: Template) -> str:
        return item[0]

    def line(self, index: int, width: int, colours: Colours) -> Line:
        name, about = self.items[index]
        room = max(8, width // 2)
        muted = Style(color=colours["muted"])
        return [
            Segment(" "),
            Segment(fitted(name, room)),
            Segment(fitted(f" {about}", max(1, width - room - 1)), muted),
        ]


class ColumnScreen(Dialog[Column]):
    """Gives the column, or None."""

    DEFAULT_CSS = """
    ColumnScreen > .box { width: 76; height: 20; padding: 0 1; }
    ColumnScreen Input { padding: 0 1; }
    ColumnScreen #trouble { height: 2; padding: 0 1; color: $error; }
    ColumnScreen #templates { height: 1fr; }
    """
    BINDINGS = bindings("models")

    def __init__(
        self, title: str, tuned: Sequence[str], text: str = "", *, layers: int | None = None,
        earlier: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """`layers`: the models' number, if known; `earlier`: columns that the bench once had."""
        super().__init__()
        self.called, self.tuned, self.text = title, tuple(tuned), text
        before = [(name, "an earlier column") for name in reversed(earlier)]
        self.templates = [*before, *knobs.templates(self.tuned, layers)]
        self._shown = text
        """The words that were not typed but put there."""

    def compose(self) -> ComposeResult:
        keys = f"{written('models.move--1')}{written('models.move-1')}"
        with self.box(Vertical, plain(self.called), f"{keys} picks", "enter accepts it"):
            hint = "medical=0.7,maths=0.4  ·  ablate(medical):top-1%"
            yield PlainInput(self.text, hint, compact=True, suggester=Completed(self._completed))
            yield Static("", id="trouble", markup=False)
            yield Templates("templates")

    def on_mount(self) -> None:
        listing = self.query_one(Templates)
        listing.empty = "No template matches. You can type any column in this notation."
        listing.fill(self.templates)
        listing.select(self.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.value != self._shown:
            word = event.value.casefold().strip()
            listing = self.query_one(Templates)
            listing.fill([each for each in self.templates if word in each[0].casefold()])
            listing.selected = 0
            self._shown = ""
        self._say(self._trouble(event.value))

    def on_input_submitted(self) -> None:
        """Accept the typed column; if it is none, type the selected template."""
        typed = self.query_one(Input).value
        trouble, offer = self._trouble(typed), self.query_one(Templates).current
        if not typed.strip() or (trouble and offer is not None):
            self._put()
        elif trouble:
            self._say(trouble)
        else:
            self.dismiss(parse(typed, self.tuned))

    def on_listing_opened(self) -> None:
        self._put()

    def action_move(self, by: int) -> None:
        """Select another template, which may be changed then."""
        self.query_one(Templates).move(by if self._shown else 0)
        self._put()

    def action_page(self, way: int) -> None:
        """Select one a page away."""
        self.query_one(Templates).page(way)
        self._put()

    def _put(self) -> None:
        offer = self.query_one(Templates).current
        if offer is not None:
            box = self.query_one(Input)
            self._shown = box.value = offer[0]
            box.cursor_position = len(offer[0])

    def _completed(self, typed: str) -> list[str]:
        return [name for name, _ in self.templates if name.startswith(typed)]

    def _trouble(self, typed: str) -> str:
        try:
            parse(typed, self.tuned)
        except StudyError as error:
            return said(error)
        return ""

    def _say(self, words: str) -> None:
        self.query_one("#trouble", Static).update(Content(plain(words)))


class TypedScreen(Dialog[str]):
    """A typed line. `check` gives the error of a line, or an empty text."""

    DEFAULT_CSS = """
    TypedScreen > .box { width: 60; padding: 0 1; }
    TypedScreen #trouble { height: auto; padding: 0 1; color: $error; }
    """

    def __init__(self, title: str, text: str, check: Callable[[str], str], hint: str = "") -> None:
        super().__init__()
        self.called, self.text, self.check, self.hint = title, text, check, hint

    def compose(self) -> ComposeResult:
        with self.box(Vertical, plain(self.called), "enter accepts it"):
            yield PlainInput(self.text, self.hint, compact=True)
            yield Static("", id="trouble", markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        trouble = self.check(event.value)
        if trouble:
            self.query_one("#trouble", Static).update(Content(plain(trouble)))
        else:
            self.dismiss(event.value)
