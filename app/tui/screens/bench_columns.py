"""The keys of the bench that act on its columns."""

from __future__ import annotations

from collections.abc import Callable

from app.text import plain
from app.tui.bench import blind, knobs
from app.tui.bench.blind import summary
from app.tui.bench.knobs import FINE, PART
from app.tui.screens.bench_parts import BenchParts
from app.tui.screens.column import ColumnScreen, TypedScreen
from app.tui.threads import said
from app.tui.widgets.board import NAME, TEXT
from app.tui.widgets.prompt import PromptArea
from core.bench.columns import Column, Plain, parse, vectors
from core.errors import StudyError


class ColumnKeys(BenchParts):
    """The keys of the columns."""

    # Moving

    def action_enter(self) -> None:
        """Type the column, the knob or the prompt at the cursor."""
        view, knob = self.view, self.view.knob
        if self.neurons.display and self.neurons.current is not None:
            self._without(*self.neurons.current[:2])
        elif not view.display:
            self.look(view)
        elif not self.board.setups:
            self.action_add()
        elif view.line == TEXT or view.blind:
            self.set_focus(self.prompt)
        elif knob is None or knob.name == knobs.CHANGE:
            self._type_column()
        else:
            self._type_knob(knob.name, knob.text)

    def action_move(self, by: int) -> None:
        """A line up or down; from the top to the typed fields."""
        if self.lens.display:
            self.lens.move(0, -by)
        elif self.neurons.display:
            self.neurons.move(by)
        elif not self.view.move(by) and by < 0:
            self.set_focus(self.continuation if self.scoring else self.prompt)
        self.renew("keys")

    def action_turn(self, by: int) -> None:
        """Turn a number by fine steps, or a part to the next; else go to a token or a column."""
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
        index = len(fields) + self.view.at
        index = next((n for n, each in enumerate(fields) if each is self.focused), index)
        index = (index + by) % (len(fields) + max(1, count))
        if index < len(fields):
            self.set_focus(fields[index])
        else:
            self.look(self.view)
            self.view.go(index - len(fields))

    def action_tab(self, number: int) -> None:
        """To the column of this number; when blind, count it as preferred."""
        view = self.view
        if number > len(self.board.setups):
            return
        if view.blind:
            if self.board.seconds is None or self.board.request in view.blind.judged:
                words = "Not counted: each prompt counts once, after all its texts are finished."
                self.notify(words, severity="warning", timeout=4, markup=False)
                return
            view.blind = view.blind.preferred(number - 1, self.board.request, self.chance)
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
            self.home.remember(self.placed(self.home.memory))
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
            index = self.view.column
            setup = self.board.setups[index]
            self._add(self.board.column(index))
            self.board.setups[self.view.at] = setup
            self.view.update()

    def action_drop(self) -> None:
        """Take this column away."""
        if self.board.setups:
            self.see()
            self.leave_behind(self.board.names[self.view.at])
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
        """Hide the names and shuffle the columns; or show the counts and the names."""
        view = self.view
        if view.blind is None:
            view.blind = blind.begun(len(self.board.setups), self.chance)
            view.line = NAME
            view.update()
        else:
            self.notify(
                plain(summary(view.blind.counts, self.board.names)), timeout=15, markup=False
            )
            self.see()
        self.renew()

    def _add(self, column: Column) -> None:
        self.see()
        index = min(self.view.at + 1, len(self.board.setups))
        self.board.add(column, index)
        self.view.go(index)
        self.ask_again()

    def _give(self, held: knobs.Setup) -> None:
        """Give the column here other knobs, and ask again if that is another column."""
        if self.board.change(self.view.column, held):
            self.ask_again()
        self.view.update()
        self.renew("keys")

    def _without(self, layer: int, neuron: int) -> None:
        """One more column: the model of this one without a neuron. A changed model can't be
        ablated further."""
        column = self.board.column(self.view.column)
        model = next(iter(vectors(column)), "base")
        if column != Plain(model):
            words = f"The new column is {plain(model)} without this neuron."
            self.notify(words, severity="warning", timeout=8, markup=False)
        self._add(parse(f"ablate({model}):neurons={layer}.{neuron}", self.board.tuned))

    def _type_column(self) -> None:
        index = self.view.column

        def typed(column: Column) -> None:
            self.leave_behind(self.board.names[index])
            if self.board.change(index, knobs.setup(column)):
                self.ask_again()
            self.view.go(self.view.at)

        self._pick("this column", self.board.names[index], typed)

    def _pick(self, title: str, text: str, then: Callable[[Column], None]) -> None:
        screen = ColumnScreen(
            title, self.board.tuned, text, layers=self.talk.layers,
            earlier=[name for name in self.earlier if name not in self.board.names],
        )  # fmt: skip
        self.app.push_screen(screen, lambda column: then(column) if column else None)

    def _type_knob(self, name: str, text: str) -> None:
        index = self.view.column

        def trouble(words: str) -> str:
            try:
                knobs.typed(self.board.setups[index], name, words)
            except StudyError as error:
                return said(error)
            return ""

        def typed(words: str | None) -> None:
            if words is not None:
                self._give(knobs.typed(self.board.setups[index], name, words))

        hint = "attention, mlp, layers like 0-3,7; empty: all" if name == PART else "a number"
        words = self.board.setups[index].part.text if name == PART else text
        title = "part of the model" if name == PART else f"λ of {name}" if name != "λ" else "λ"
        self.app.push_screen(TypedScreen(title, words, trouble, hint), typed)
