"""A small choice: a key for each answer, and a folder where one is wanted."""

from __future__ import annotations

from collections.abc import Mapping

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingsMap
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.tui.keys import Action, Where, actions, bindings
from app.tui.screens.leaving import Dialog
from app.tui.widgets.plain_input import PlainInput


def answer_of(action: Action) -> str:
    """The answer that an action of a choice gives."""
    return action.name.split("'")[1]


class PickScreen(Dialog[tuple[str, str]]):
    """Gives the answer picked and the folder, or None."""

    AUTO_FOCUS = ""  # letters pick until the folder is gone to
    DEFAULT_CSS = """
    PickScreen > .box { width: 64; max-width: 94%; padding: 1 2; }
    PickScreen Input { margin-top: 1; }
    """

    def __init__(
        self, title: str, place: Where, offers: Mapping[str, str], folder: str = ""
    ) -> None:
        """`offers` describes each offered answer; `place` has the keys of all answers."""
        super().__init__()
        self._bindings = BindingsMap.merge([self._bindings, BindingsMap(bindings(place))])
        self.called = title
        self.place = place
        self.offers = dict(offers)
        self.folder = folder

    def compose(self) -> ComposeResult:
        with self.box(Vertical, self.called, *["tab: folder"] * bool(self.folder)):
            for action in actions(self.place):
                answer = answer_of(action)
                if answer in self.offers:
                    words = f"  {self.offers[answer]}"
                    yield Static(Content.assemble((action.key, "bold $accent"), words))
            if self.folder:
                yield PlainInput(self.folder, placeholder="folder", compact=True)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys pick offered answers, except while the folder is being typed."""
        if action == "pick":
            return not isinstance(self.focused, Input) and parameters[0] in self.offers
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Take answers here, in their order: later keys act on no other screen."""
        for action in actions(self.place):
            answer = answer_of(action)
            if event.key == action.key and self.check_action("pick", (answer,)):
                event.stop()
                self.action_pick(answer)

    def action_pick(self, answer: str) -> None:
        """Give this answer."""
        typed = self.query_one(Input).value.strip() if self.folder else ""
        self.dismiss((answer, typed or self.folder))

    def on_input_submitted(self) -> None:
        self.set_focus(None)
