"""Starting a study: a path with completion or the name of a ready one, and the errors of the file
shown where it is typed."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.drafts import ready
from app.text import plain
from app.tui.completion import Completed, matches
from app.tui.data import DataSource
from app.tui.keys import bindings, written
from app.tui.screens.leaving import Dialog
from app.tui.threads import Trouble, busy, in_thread, said
from app.tui.widgets.plain_input import PlainInput
from core.errors import TauscopeError
from core.study.places import expanded, is_there

MOST = 6
"""Files offered below the input."""


def offers(typed: str) -> list[str]:
    """Completions of the typed text: study files, folders, and ready studies."""
    return [*matches(typed), *(name for name in ready.names() if name.startswith(typed))]


class StartScreen(Dialog[str]):
    """Gives the id of the started run, or None."""

    DEFAULT_CSS = """
    StartScreen > .box { width: 90; }
    StartScreen Input { margin: 1 0; }
    StartScreen .offers { color: $muted; height: auto; max-height: 10; }
    StartScreen .trouble { color: $error; height: auto; max-height: 8; margin-bottom: 1; }
    """
    BINDINGS = bindings("typing")

    def __init__(self, source: DataSource) -> None:
        super().__init__()
        self.source = source

    def compose(self) -> ComposeResult:
        ways = f"{written('typing.complete')} completes", "enter starts"
        with self.box(Vertical, "start a study", *ways):
            yield PlainInput(
                placeholder="path of a study file, or a ready study's name",
                suggester=Completed(offers),
                compact=True,
            )
            yield Static("", classes="trouble", markup=False)
            yield Static("", classes="offers", markup=False)

    def on_mount(self) -> None:
        self.query_one(".trouble").display = False
        self._offer("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._offer(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        typed = event.value.strip()
        if typed and not busy(self, "start"):
            path = expanded(typed)
            found = offers(typed)
            if len(found) == 1 and typed not in found and not is_there(path):
                self.action_complete()  # it shows behind the typed text, as if it were typed
                return
            self._say("Reading…", "$muted")
            in_thread(
                self, lambda: self.source.start(path), self._started,
                refused=self._refuse, group="start",
            )  # fmt: skip

    def action_complete(self) -> None:
        """Take the first match."""
        typed = self.query_one(Input)
        paths = offers(typed.value)
        if paths:
            typed.value = paths[0]
            typed.cursor_position = len(paths[0])

    def _refuse(self, error: Trouble) -> None:
        file = isinstance(error, TauscopeError)
        words = said(error, "\n") if file else f"The worker can't be started: {error}"
        self._say(words, "$error")

    def _started(self, run_id: str) -> None:
        if self.is_current:
            self.dismiss(run_id)

    def _say(self, words: str, style: str) -> None:
        if not self.is_attached:
            return
        line = self.query_one(".trouble", Static)
        line.display = True
        line.update(Content.styled(plain_lines(words), style))

    def _offer(self, typed: str) -> None:
        paths = matches(typed)
        rows = [plain(path) for path in paths[:MOST]]
        if len(paths) > MOST:
            rows.append(f"… and {len(paths) - MOST} more")
        ours = (name for name in ready.names() if name.startswith(typed))
        rows += [f"{name}  (comes with tauscope)" for name in ours]
        self.query_one(".offers", Static).update(Content("\n".join(rows)))


def plain_lines(words: str) -> str:
    """Outside text made harmless line by line."""
    return "\n".join(plain(line) for line in words.splitlines())
