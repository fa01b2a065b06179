"""The bench's choice of a prompt: from a file, the run's tasks or the study's probe sets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from app.text import plain
from app.tui.screens.bench_asking import AskingKeys
from app.tui.screens.choose import ChooseScreen
from app.tui.screens.pick import PickScreen
from app.tui.steering import Offer
from app.tui.threads import in_thread

if TYPE_CHECKING:
    from app.bench.items import Offered

SOURCES = {
    "1": "a file of prompts",
    "2": "items of the run's tasks",
    "3": "documents of the probe sets",
}
"""Where prompts come from, by their keys."""


class PromptKeys(AskingKeys):
    """The key of stored prompts."""

    def action_open(self) -> None:
        """Ask where prompts come from, then for one of them."""
        source, opening = self.source, self.opening

        def picked(got: tuple[str, str] | None) -> None:
            match got:
                case ("1", _):
                    self.ask_for_file()
                case ("2", _):
                    title = f"{SOURCES['2']} · the base → the task's own model"
                    self._read(title, lambda: source.task_items(opening.run))
                case ("3", _):
                    self._read(SOURCES["3"], lambda: source.probe_documents(opening.study))

        self.app.push_screen(PickScreen("prompts", "pick", SOURCES), picked)

    def _read(self, title: str, find: Callable[[], Offered]) -> None:
        self.notify("Reading…", timeout=1, markup=False)
        in_thread(
            self, find, lambda offered: self._offer(title, offered),
            refused=self.refuse, group="prompts",
        )  # fmt: skip

    def _offer(self, title: str, offered: Offered) -> None:
        """Offer the prompts by typing; keys then step from the chosen one to the next."""
        if not self.is_current:
            return

        def chosen(index: int | None) -> None:
            if index is not None:
                # The prompt of an item has its template already.
                self.settings = replace(self.settings, template=False, system="")
                self.prompts = tuple(each.prompt for each in offered.listed)
                self._shown = {}  # settings from a file's prompt end with it
                self._show(index)

        offers = [
            Offer(plain(each.name), plain(each.words), index, current=False)
            for index, each in enumerate(offered.listed)
        ]
        if len(offers) < offered.total:
            title = f"{title}: {len(offers)} of {offered.total}, the first of each"
        hint = "a word of the prompt or its task, or right or wrong"
        self.app.push_screen(ChooseScreen(title, offers, hint, wide=True), chosen)
