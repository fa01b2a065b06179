"""Adding a folder of models: a path with completion, and the errors shown where it is typed."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app import config
from app.text import plain
from app.tui.completion import Completed, files
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.widgets.plain_input import PlainInput
from core.errors import TauscopeError
from core.study.places import expanded, is_folder, working_folder


class FolderScreen(Dialog[str]):
    """Gives the folder added to the settings, or None."""

    DEFAULT_CSS = """
    FolderScreen > .box { width: 76; }
    FolderScreen Input { margin: 1 0; }
    FolderScreen Static { color: $error; height: auto; max-height: 6; }
    """
    BINDINGS = bindings("typing")

    def compose(self) -> ComposeResult:
        ways = f"{written('typing.complete')} completes", "enter adds"
        with self.box(Vertical, "add a folder of models", *ways):
            yield PlainInput(
                placeholder="path of a folder with models, at most four levels down",
                suggester=Completed(files()),
                compact=True,
            )
            yield Static("", id="trouble", markup=False)

    def action_complete(self) -> None:
        """Take the first match."""
        typed = self.query_one(Input)
        paths = files()(typed.value)
        if paths:
            typed.value = paths[0]
            typed.cursor_position = len(paths[0])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Add the folder, or show why it can't be added."""
        given = event.value.strip()
        if not given:
            return
        folder = working_folder() / expanded(given)
        if not is_folder(folder):
            self._refuse(f"{folder} is not a folder.")
            return
        try:
            config.add_folder(folder)
        except TauscopeError as error:
            self._refuse(f"{error.title} {error.hint}")
            return
        self.dismiss(str(folder))

    def _refuse(self, words: str) -> None:
        self.query_one("#trouble", Static).update(Content(plain(words)))
