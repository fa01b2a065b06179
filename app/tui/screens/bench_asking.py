"""The keys of the bench that send requests to its worker, or change their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from app.bench import prompts
from app.tui.bench.board import MEASURES
from app.tui.bench.settings import Settings
from app.tui.screens.bench_parts import BenchParts
from app.tui.screens.column import TypedScreen
from app.tui.screens.sampling import SettingsScreen
from app.tui.threads import said
from core.bench.messages import Compare, Failed, Lens, Request
from core.errors import StudyError
from core.study.places import expanded
from core.texts.encoding import WAYS


class AskingKeys(BenchParts):
    """The keys of requests."""

    _place = 0
    """The index in `prompts` of the prompt shown last."""
    _shown: Mapping[str, str] = MappingProxyType({})
    _own = ("", False)
    """The system prompt and template for prompts without a system prompt of their own."""

    # Looking into a column

    def action_view(self) -> None:
        """From the texts to the logit lens of this column, then to the neurons at its token that
        differ most from another column's."""
        column, names = self.view.column, self.board.names
        text = self.continuation.text if self.view.scores else self.board.answers[column].text
        if self.view.display:
            tokens = self.board.tokens
            self.lens.position = self.view.token + tokens.start if tokens is not None else 0
            self.lens.wait(names[column])
            self.look(self.lens)
            self.ask_aside(Lens(prompt=self.given(), continuation=text, column=names[column]))
        elif self.lens.display and len(names) > 1 and self.lens.grid is not None:
            other = self.board.reference if self.board.reference != column else (column == 0) * 1
            self.neurons.names = names[other], names[column]
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
        """Ask about one column. This ends the answer of all columns."""
        if self.board.busy:
            self.board.take(Failed(title="", cancelled=True))
        self.talk.ask(request)

    # Asking

    def action_mode(self) -> None:
        """Write texts, or score one: the typed text, or else the text of this column."""
        self.scoring = not self.scoring
        if self.scoring and self.board.setups:
            text = self.board.answers[self.view.column].text
            if text and self.continuation.text in ("", self._taken):
                self._taken = self.continuation.text = text
        self.query_one("#then").display = self.scoring
        self.see()
        if self.scoring and not self.continuation.text:
            self.set_focus(self.continuation)
        else:
            self.ask_again()
        self.renew()

    def action_measure(self, by: int) -> None:
        """Shade by the next measure."""
        index = MEASURES.index(self.view.measure)
        self.view.measure = MEASURES[(index + by) % len(MEASURES)]
        self.view.update()
        self.renew("status")

    def action_settings(self) -> None:
        """Ask for the settings of written texts."""

        def given(settings: Settings | None) -> None:
            if settings is not None and settings != self.settings:
                self.settings = settings
                self.ask_again()

        self.app.push_screen(SettingsScreen(self.settings), given)

    def ask_for_file(self) -> None:
        """Ask for a file of prompts."""

        def trouble(words: str) -> str:
            try:
                self.prompts = tuple(prompts.read(expanded(words.strip())))
            except StudyError as error:
                return said(error)
            return ""

        def given(words: str | None) -> None:
            if words is not None:
                self._show(0)

        hint = '.txt: a prompt a line; .jsonl: "prompt", optional "continuation", "system"'
        self.app.push_screen(TypedScreen("a file of prompts", "", trouble, hint), given)

    def action_item(self, by: int) -> None:
        """The next or the previous prompt."""
        self._show((self._place + by) % len(self.prompts))

    def _show(self, index: int) -> None:
        """Show a prompt. The system prompt and continuation of the one before end with it."""
        before, self._shown, self._place = self._shown, self.prompts[index], index
        shown, how = self._shown, self.settings
        self.prompt.text = shown["prompt"]
        self._own = self._own if "system" in before else (how.system, how.template)
        system, template = (shown["system"], True) if shown.get("system") else self._own
        alone = WAYS[shown.get("alone", "item")]
        self.settings = replace(how, system=system, template=template, alone=alone)
        if "continuation" in shown or "continuation" in before:
            self.continuation.text = shown.get("continuation", "")
            self.scoring = "continuation" in shown
        self.query_one("#then").display = self.scoring
        self.ask()
        self.renew()
        if "note" in shown:
            self.notify(shown["note"], severity="warning", timeout=6, markup=False)

    def action_cancel(self) -> None:
        """Cancel the present request."""
        self.talk.cancel()

    def action_stop(self) -> None:
        """End the worker."""
        self.talk.stop()

    def action_resume(self) -> None:
        """Start the worker again, and repeat the last request."""
        self.begin()
        self.ask_again()
