"""The parts that the keys of the bench act on, and whether each is there.

The keys of the columns are in bench_columns.py, keys that ask the worker in bench_asking.py, and
keys that save results in bench_keeping.py.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from textual.widget import Widget

from app.text import plain
from app.tui.bench.board import Board
from app.tui.bench.conversation import Conversation
from app.tui.bench.link import Opening
from app.tui.bench.settings import Settings
from app.tui.data import DataSource
from app.tui.keys import Action, actions
from app.tui.screens.leaving import LeavingScreen
from app.tui.threads import Trouble, said
from app.tui.widgets.board import TEXT, BoardView
from app.tui.widgets.lens import LensView, NeuronList
from app.tui.widgets.prompt import PromptArea
from core.bench.columns import Mixed
from core.bench.messages import Prompt

OF_A_LOOK = frozenset(
    {"enter", "turn", "move", "view", "back", "cancel", "help", "leave", "command_palette"}
)
"""The verbs that act in a look into a column."""
SAID = 5
"""The most lines of a message over the columns."""


class BenchParts(LeavingScreen[None]):
    """The columns, the fields above them, and the worker."""

    source: DataSource
    opening: Opening
    board: Board
    view: BoardView
    talk: Conversation
    settings: Settings
    scoring: bool
    chance: random.Random
    lens: LensView
    neurons: NeuronList
    prompts: tuple[dict[str, str], ...]
    _taken = ""
    """The written text that was taken over as the continuation."""

    # Provided by the screen

    @property
    def prompt(self) -> PromptArea:
        """Where the prompt is typed."""
        raise NotImplementedError

    @property
    def continuation(self) -> PromptArea:
        """Where the text to score is typed."""
        raise NotImplementedError

    def begin(self) -> None:
        """Start the talk with a worker."""
        raise NotImplementedError

    def given(self) -> Prompt:
        """The prompt as it is sent."""
        raise NotImplementedError

    def mix(self) -> Mixed | None:
        """The selected column as a point of task arithmetic, if it is one."""
        raise NotImplementedError

    def refuse(self, error: Trouble) -> None:
        """Show the error and its hint; a long one loses its middle."""
        lines = list(map(plain, said(error, "\n").splitlines()))
        words = "\n".join(lines if len(lines) <= SAID else [*lines[:2], "…", *lines[2 - SAID :]])
        self.notify(words, severity="error", timeout=10, markup=False)

    def ask(self) -> None:
        """Ask every column."""
        raise NotImplementedError

    def ask_again(self) -> None:
        """Ask every column again, if they were asked before."""
        raise NotImplementedError

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """Is the part there that a key needs?"""
        view, count = self.view, len(self.board.setups)
        if not view.display and need not in ("an answer", "an answer due", "no worker", "a worker"):
            return False
        match need:
            case "a knob":
                return view.knob is not None
            case "scores":
                return self.scoring
            case "a column":
                return count > 0
            case "several columns":
                return count > 1
            case "several texts":
                return count > 1 and not self.scoring
            case "prompts":
                return len(self.prompts) > 1
            case "an answer":
                return count > 0 and not self.view.blind and self.board.answers[view.column].known
            case "a record":
                finished = self.board.seconds is not None and bool(self.board.events)
                return finished and bool(self.opening.run)
            case "a mix":
                known = self.opening.study is not None and view.blind is None
                return known and self.mix() is not None
            case "a point":
                mix = None if view.blind else self.mix()
                return bool(self.opening.run) and mix is not None and not mix.restriction.text
            case "a text":
                return count > 0 and bool(self.board.answers[view.column].text)
            case "an answer due":
                return self.talk.due
            case "no worker":
                return not self.talk.runs
            case "a worker":
                return self.talk.runs
        return super().has(need, parameters)

    def offered(self) -> list[Action]:
        """The keys of the field while it is typed in, of a look while it shows."""
        if not self.view.display:
            still = {"turn"} if self.neurons.display else set()
            return [each for each in super().offered() if each.verb in OF_A_LOOK - still]
        if not isinstance(self.focused, PromptArea):
            return super().offered()
        ways = [each for each in actions("bench") if each.name in ("next_tab", "back")]
        return [*actions("prompt"), *ways]

    def labels(self) -> Mapping[str, str]:
        """Escape ends the typing first, and a look into a column."""
        if self.neurons.display:
            return {"enter": "ablate it", "back": "columns"}
        if self.lens.display:
            return {"enter": "columns", "turn(1)": "token", "back": "columns"}
        if isinstance(self.focused, PromptArea):
            return {"back": "columns"}
        if self.view.knob is not None:
            return {}
        on_text = self.view.scores and self.view.line == TEXT
        return {"turn(1)": "token" if on_text else "column"}

    def on_descendant_focus(self) -> None:
        self.renew("keys")

    def look(self, shown: Widget) -> None:
        """Show the columns, or a look into one of them."""
        for each in (self.view, self.lens, self.neurons):
            each.display = each is shown
        self.set_focus(shown)
        self.renew()

    def see(self) -> None:
        """Show the names again."""
        if self.view.blind is not None:
            column = self.view.column
            self.view.blind = None
            self.view.go(column)
