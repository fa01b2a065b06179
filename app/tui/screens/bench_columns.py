"""The keys of the bench that act on its columns. The screen says what is asked of the worker."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from textual.widget import Widget

from app.text import plain
from app.tui.bench import blind, knobs
from app.tui.bench.blind import summary
from app.tui.bench.board import MEASURES, Board
from app.tui.bench.conversation import Conversation
from app.tui.bench.knobs import FINE, PART
from app.tui.bench.settings import Settings
from app.tui.keys import Action, actions
from app.tui.screens.column import ColumnScreen, TypedScreen
from app.tui.screens.leaving import LeavingScreen
from app.tui.screens.sampling import SettingsScreen
from app.tui.threads import said
from app.tui.widgets.board import NAME, TEXT, BoardView
from app.tui.widgets.lens import LensView, NeuronList
from app.tui.widgets.prompt import PromptArea
from core.bench.columns import Column
from core.bench.messages import Compare, Failed, Lens, Prompt, Request
from core.errors import StudyError


class ColumnKeys(LeavingScreen[None]):
    """The columns under the keys."""

    board: Board
    view: BoardView
    talk: Conversation
    settings: Settings
    scoring: bool
    chance: random.Random
    lens: LensView
    neurons: NeuronList
    prompts: tuple[str, ...]
    _taken = ""
    """The written text that was taken over as the continuation."""

    # What the screen provides.

    @property
    def prompt(self) -> PromptArea:
        """Where the prompt is typed."""
        raise NotImplementedError

    @property
    def continuation(self) -> PromptArea:
        """Where the text to score is typed."""
        raise NotImplementedError

    def begin(self) -> None:
        """Talk to a new worker."""
        raise NotImplementedError

    def given(self) -> Prompt:
        """The prompt as it is sent."""
        raise NotImplementedError

    def ask(self) -> None:
        """Have every column answer."""
        raise NotImplementedError

    def ask_again(self) -> None:
        """Have every column answer, if something was asked before."""
        raise NotImplementedError

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """What the keys of the bench act on."""
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
        """While something is typed, the keys of that."""
        if not isinstance(self.focused, PromptArea):
            return super().offered()
        ways = [each for each in actions("bench") if each.name in ("next_tab", "back")]
        return [*actions("prompt"), *ways]

    def labels(self) -> Mapping[str, str]:
        """Escape ends the typing first."""
        return {"back": "columns"} if isinstance(self.focused, PromptArea) else {}

    def on_descendant_focus(self) -> None:
        self.renew("keys")

    # Moving

    def action_enter(self) -> None:
        """Type what the cursor stands on."""
        view, knob = self.view, self.view.knob
        if not view.display:
            self.look(view)
        elif not self.board.setups:
            self.action_add()
        elif view.line == TEXT or view.blind:
            self.prompt.focus()
        elif knob is None or knob.name == knobs.CHANGE:
            self._type_column()
        else:
            self._type_knob(knob.name, knob.text)

    def action_move(self, by: int) -> None:
        """A line up or down; from the top to what is typed."""
        if self.lens.display:
            self.lens.move(0, -by)
        elif self.neurons.display:
            self.neurons.move(by)
        elif not self.view.move(by) and by < 0:
            (self.continuation if self.scoring else self.prompt).focus()
        self.renew("keys")

    def action_turn(self, by: int) -> None:
        """So many fine steps of a number; the next part; else a token or a column."""
        view, knob = self.view, self.view.knob
        if self.lens.display:
            self.lens.move(by, 0)
        elif self.neurons.display:
            return
        elif knob is not None and knob.name != knobs.CHANGE:
            held = self.board.setups[view.column]
            step = by * FINE if knob.name != PART else by
            self._give(knobs.turned(held, knob.name, step))
        elif view.line == TEXT and view.scores:
            view.step(by)
        else:
            view.go(view.at + (1 if by > 0 else -1))
        self.renew("keys")

    def action_leap(self, way: int) -> None:
        """Five steps at once."""
        self.action_turn(5 * way)

    def action_page(self, way: int) -> None:
        """Scroll the text."""
        self.view.page(way)

    def action_ends(self, way: int) -> None:
        """To the name, or the end of the text."""
        self.view.ends(way)

    def action_next_tab(self) -> None:
        """To the next field or column."""
        self._turn(1)

    def action_previous_tab(self) -> None:
        """To the field or column before."""
        self._turn(-1)

    def _turn(self, by: int) -> None:
        fields = [self.prompt, *([self.continuation] if self.scoring else [])]
        count = len(self.board.setups)
        at = len(fields) + self.view.at
        at = next((n for n, each in enumerate(fields) if each.has_focus), at)
        at = (at + by) % (len(fields) + max(1, count))
        if at < len(fields):
            fields[at].focus()
        else:
            self.look(self.view)
            self.view.go(at - len(fields))

    def action_tab(self, number: int) -> None:
        """To the column of this number; blind, prefer it."""
        view = self.view
        if number > len(self.board.setups):
            return
        if view.blind:
            view.blind = view.blind.preferred(number - 1, self.chance)
            self.notify("Counted. The columns are shuffled again.", timeout=2, markup=False)
            view.update()
            self.renew("status")
        else:
            view.go(number - 1)
            self.renew("keys")

    def action_back(self) -> None:
        """End the typing, or leave; the worker goes on."""
        if isinstance(self.focused, PromptArea) or not self.view.display:
            self.look(self.view)
        else:
            self.dismiss(None)

    # Columns

    def action_switch(self) -> None:
        """Switch the knob here off, or on again."""
        knob = self.view.knob
        if knob is not None:
            self._give(knobs.switched(self.board.setups[self.view.column], knob.name))

    def action_add(self) -> None:
        """Ask for one more column."""
        self._pick("add a column", "", self._add)

    def action_double(self) -> None:
        """One more column like this one."""
        if self.board.setups:
            at = self.view.column
            setup = self.board.setups[at]
            self._add(self.board.column(at))
            self.board.setups[self.view.at] = setup
            self.view.update()

    def action_drop(self) -> None:
        """Take this column away."""
        if self.board.setups:
            self._see()
            self.board.drop(self.view.at)
            self.view.go(min(self.view.at, len(self.board.setups) - 1))
            self.ask_again()

    def action_refer(self) -> None:
        """Compare the others with this column."""
        self.board.reference = self.view.column
        self.ask_again()

    def action_zoom(self) -> None:
        """One column on the whole width, and back."""
        self.view.zoomed = not self.view.zoomed
        self.view.go(self.view.at)

    def action_blind(self) -> None:
        """Hide the names and shuffle the columns; then say who they are."""
        view = self.view
        if view.blind is None:
            view.blind = blind.begun(len(self.board.setups), self.chance)
            view.line = NAME
            view.update()
        else:
            self.notify(
                plain(summary(view.blind.counts, self.board.names)), timeout=15, markup=False
            )
            self._see()
        self.renew()

    def _see(self) -> None:
        """Show the names again."""
        if self.view.blind is not None:
            at = self.view.column
            self.view.blind = None
            self.view.go(at)

    def _add(self, column: Column) -> None:
        self._see()
        at = min(self.view.at + 1, len(self.board.setups))
        self.board.add(column, at)
        self.view.go(at)
        self.ask_again()

    def _give(self, held: knobs.Setup) -> None:
        """Give the column here other knobs, and ask again if that is another column."""
        if self.board.change(self.view.column, held):
            self.ask_again()
        self.view.update()
        self.renew("keys")

    def _type_column(self) -> None:
        at = self.view.column

        def typed(column: Column) -> None:
            if self.board.change(at, knobs.setup(column)):
                self.ask_again()
            self.view.go(self.view.at)

        self._pick("this column", self.board.names[at], typed)

    def _pick(self, title: str, text: str, then: Callable[[Column], None]) -> None:
        screen = ColumnScreen(title, self.board.tuned, text)
        self.app.push_screen(screen, lambda column: then(column) if column else None)

    def _type_knob(self, name: str, text: str) -> None:
        at = self.view.column

        def trouble(words: str) -> str:
            try:
                knobs.typed(self.board.setups[at], name, words)
            except StudyError as error:
                return said(error)
            return ""

        def typed(words: str | None) -> None:
            if words is not None:
                self._give(knobs.typed(self.board.setups[at], name, words))

        hint = "attention, mlp, layers like 0-3,7; empty: all" if name == PART else "a number"
        words = self.board.setups[at].part.text if name == PART else text
        title = "part of the model" if name == PART else f"λ of {name}" if name != "λ" else "λ"
        self.app.push_screen(TypedScreen(title, words, trouble, hint), typed)

    # Looking into a column

    def action_view(self) -> None:
        """From the texts to the logit lens of this column, then to the neurons at its token that
        differ most from another column's."""
        at, names = self.view.column, self.board.names
        text = self.continuation.text if self.view.scores else self.board.answers[at].text
        if self.view.display:
            tokens = self.board.tokens
            self.lens.position = self.view.token + tokens.start if tokens is not None else 0
            self.lens.wait(names[at])
            self.look(self.lens)
            self.ask_aside(Lens(prompt=self.given(), continuation=text, column=names[at]))
        elif self.lens.display and len(names) > 1 and self.lens.grid is not None:
            other = self.board.reference if self.board.reference != at else (at == 0) * 1
            self.neurons.names = names[other], names[at]
            self.neurons.empty = "Reading…"
            self.neurons.fill(())
            self.look(self.neurons)
            self.ask_aside(
                Compare(
                    prompt=self.given(), continuation=text, columns=self.neurons.names,
                    position=self.lens.position,
                )
            )  # fmt: skip
        else:
            self.look(self.view)

    def ask_aside(self, request: Request) -> None:
        """Ask what is no answer of the columns, which ends theirs."""
        if self.board.busy:
            self.board.take(Failed(title="", cancelled=True))
        self.talk.ask(request)

    def look(self, shown: Widget) -> None:
        """Have the columns on the screen, or a look into one of them."""
        for each in (self.view, self.lens, self.neurons):
            each.display = each is shown
        shown.focus()
        self.renew()

    # Asking

    def action_mode(self) -> None:
        """Write texts, or score one: the text of this column where no other was typed."""
        self.scoring = not self.scoring
        if self.scoring and self.board.setups:
            text = self.board.answers[self.view.column].text
            if text and self.continuation.text in ("", self._taken):
                self._taken = self.continuation.text = text
        self.query_one("#then").display = self.scoring
        self._see()
        if self.scoring and not self.continuation.text:
            self.continuation.focus()
        else:
            self.ask_again()
        self.renew()

    def action_measure(self, by: int) -> None:
        """Shade by the next measure."""
        at = MEASURES.index(self.view.measure)
        self.view.measure = MEASURES[(at + by) % len(MEASURES)]
        self.view.update()
        self.renew("status")

    def action_settings(self) -> None:
        """Ask how texts are written."""

        def given(found: Settings | None) -> None:
            if found is not None and found != self.settings:
                self.settings = found
                self.ask_again()

        self.app.push_screen(SettingsScreen(self.settings), given)

    def action_open(self) -> None:
        """Ask for a file of prompts."""

        def trouble(words: str) -> str:
            try:
                return "" if list(prompts_of(words)) else "There is no prompt in it."
            except (OSError, UnicodeDecodeError, StudyError) as error:
                return str(error)

        def given(words: str | None) -> None:
            if words:
                self.prompts = tuple(prompts_of(words))
                self._show(0)

        hint = '.txt: a prompt a line; .jsonl with "prompt" or "text"'
        self.app.push_screen(TypedScreen("a file of prompts", "", trouble, hint), given)

    def action_item(self, by: int) -> None:
        """The next or the previous prompt of the file."""
        held = self.prompt.text
        at = self.prompts.index(held) if held in self.prompts else -1
        self._show((at + by) % len(self.prompts))

    def _show(self, at: int) -> None:
        self.prompt.text = self.prompts[at]
        self.ask()
        self.renew()

    def action_copy(self) -> None:
        """Copy the text of this column."""
        self.app.copy_to_clipboard(self.board.answers[self.view.column].text)
        self.notify("Copied the text.", timeout=2, markup=False)

    def action_cancel(self) -> None:
        """End the request in hand."""
        self.talk.cancel()

    def action_stop(self) -> None:
        """End the worker."""
        self.talk.stop()

    def action_resume(self) -> None:
        """Start the worker again; what was asked last is asked again."""
        self.begin()
        self.ask_again()


def prompts_of(path: str) -> Iterator[str]:
    """The prompts in a file: `.jsonl` with "prompt" or "text" in each line, else a line each.

    Raises OSError, UnicodeDecodeError or StudyError."""
    file = Path(path).expanduser()
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        if file.suffix != ".jsonl":
            yield line
            continue
        try:
            held = json.loads(line)
            yield str(held["prompt"] if "prompt" in held else held["text"])
        except (ValueError, KeyError, TypeError):
            raise StudyError(f'{file}, line {number}: no object with "prompt" or "text".') from None
