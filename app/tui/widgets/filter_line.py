"""The line for the filter of a run; below it, its possible words or its error.

Every valid line acts at once. Knows the language of `core.figures.filters`, and no figure.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from app.tui.completion import Completed
from app.tui.keys import bindings, written
from app.tui.threads import said
from app.tui.widgets.bar import Row, two_ends
from app.tui.widgets.plain_input import PlainInput
from core.errors import TauscopeError
from core.figures.filters import ALL, Filter, Names, completed, ended, offered, read

EXAMPLE = "model:medical layer:10-20 module:q,k"


class FilterLine(Vertical):
    """Hidden until it opens. Enter keeps the filter, escape ends it, tab completes a name."""

    DEFAULT_CSS = """
    FilterLine { height: 2; display: none; background: $panel; }
    FilterLine.-open { display: block; }
    FilterLine.-open Input { padding: 0 1; background: $panel; }
    """
    BINDINGS = [*bindings("typing"), *bindings("filter")]  # noqa: RUF012

    @dataclass
    class Changed(Message):
        """Another filter acts from now on."""

        filter: Filter

    class Closed(Message):
        """The line was left."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = ALL
        self.names: Names = {}
        self.trouble = ""

    def compose(self) -> ComposeResult:
        yield PlainInput(placeholder=EXAMPLE, compact=True, suggester=Completed(self._completed))
        yield Row(self._said, id="said")

    @property
    def writing(self) -> bool:
        """Is it being edited?"""
        return self.has_class("-open")

    def open(self, names: Names, acting: Filter) -> None:
        """Edit the present filter, with these names as completions."""
        self.names, self.filter = names, acting
        box = self.query_one(Input)
        box.value = str(acting)
        self.add_class("-open")
        box.focus()
        self._judge(box.value)

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()
        if self.has_class("-open"):
            self._judge(ended(message.value))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Leave the line, unless it is invalid."""
        message.stop()
        self._judge(message.value)
        if not self.trouble:
            self._close()

    def action_complete(self) -> None:
        """Complete the last word by the faint letters after it."""
        box = self.query_one(Input)
        for line in self._completed(box.value):
            box.value = line
            box.cursor_position = len(line)

    def action_clear(self) -> None:
        """Show all again, and leave the line."""
        self.query_one(Input).value = ""
        self._act(ALL)
        self._close()

    def _completed(self, line: str) -> list[str]:
        completion = completed(line, self.names)
        return [] if completion is None else [completion]

    def _judge(self, line: str) -> None:
        """Apply the line if it is valid, else show its error."""
        try:
            parsed = read(line, self.names)
        except TauscopeError as error:
            self.trouble = said(error)
        else:
            self.trouble = ""
            self._act(parsed)
        self.query_one("#said", Row).renew()

    def _act(self, chosen: Filter) -> None:
        if chosen != self.filter:
            self.filter = chosen
            self.post_message(self.Changed(chosen))

    def _close(self) -> None:
        self.trouble = ""
        self.remove_class("-open")
        self.post_message(self.Closed())

    def _said(self, width: int) -> Content:
        if self.trouble:
            return two_ends([(f" {self.trouble}", "bold $warning")], [], width)
        line = self.query_one(Input).value
        offers = "  ".join(offered(line, self.names)) or "a number, or a range like 10-20"
        ways = (
            f"{written('typing.complete')} completes · enter applies · {written('filter.clear')} "
            "clears "
        )
        return two_ends([(f" {offers}", "$muted")], [(ways, "$muted")], width)
