"""Starting a study file: a path with completion, and the file's errors shown where it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.suggester import Suggester
from textual.widgets import Input, Static

from app.text import plain
from app.tui.source import Source
from core.errors import TauscopeError

MOST = 6
"""Files offered below the input."""


def matches(typed: str) -> list[str]:
    """The study files and folders that continue what was typed, files first."""
    path = Path(typed or ".").expanduser()
    folder, stem = (path, "") if typed.endswith("/") or not typed else (path.parent, path.name)
    try:
        found = [p for p in folder.iterdir() if p.name.startswith(stem) and _offered(p, stem)]
    except OSError:
        return []
    found.sort(key=lambda p: (p.is_dir(), p.name))
    return [_written(p, typed) for p in found]


def _offered(path: Path, stem: str) -> bool:
    hidden = path.name.startswith(".") and not stem.startswith(".")
    # A name that acts on the terminal would do so from the line where it is typed.
    harmless = plain(path.name) == path.name
    return harmless and not hidden and (path.suffix == ".toml" or path.is_dir())


def _written(path: Path, typed: str) -> str:
    """The path in the way in which its beginning was typed."""
    text = str(path)
    if typed.startswith("~"):
        text = text.replace(str(Path.home()), "~", 1)
    if typed.startswith("./"):
        text = f"./{text}"
    return text + "/" if path.is_dir() else text


class Paths(Suggester):
    """Completes what is typed with the first match."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        found = matches(value) if value else []
        return found[0] if found else None


class StartScreen(ModalScreen[str | None]):
    """Gives the id of the run that was started, or None."""

    DEFAULT_CSS = """
    StartScreen { align: center middle; }
    StartScreen > Vertical {
        width: 90; max-width: 96%; height: auto; max-height: 96%; padding: 0 2;
        background: $surface; border: round $accent;
        border-title-color: $accent; border-subtitle-color: $muted;
    }
    StartScreen Input { border: none; height: 1; padding: 0; background: $panel; margin: 1 0; }
    StartScreen Input:focus { border: none; }
    StartScreen .offers { color: $muted; height: auto; max-height: 7; }
    StartScreen .trouble { color: $error; height: auto; max-height: 8; margin-bottom: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", priority=True),
        Binding("tab", "complete", "Complete", priority=True),
    ]

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = source

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = "start a study"
            box.border_subtitle = "tab completes · enter starts · esc closes"
            yield Input(placeholder="path of a study file, such as study.toml", suggester=Paths())
            yield Static("", classes="trouble", markup=False)
            yield Static("", classes="offers", markup=False)

    def on_mount(self) -> None:
        self.query_one(".trouble").display = False
        self._offer("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._offer(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip():
            path = Path(event.value.strip()).expanduser()
            self._say("Reading…", "$muted")
            self.run_worker(lambda: self._start(path), thread=True, exclusive=True)

    def action_complete(self) -> None:
        """Take the first match over."""
        typed = self.query_one(Input)
        found = matches(typed.value)
        if found:
            typed.value = found[0]
            typed.cursor_position = len(found[0])

    def action_close(self) -> None:
        """Leave without starting anything."""
        self.dismiss(None)

    def _start(self, path: Path) -> None:
        try:
            run_id = self.source.start(path)
        except TauscopeError as error:
            words = "\n".join(part for part in (error.title, error.hint) if part)
            self.app.call_from_thread(self._say, words, "$error")
        except OSError as error:
            self.app.call_from_thread(self._say, f"The worker can't be started: {error}", "$error")
        else:
            self.app.call_from_thread(self.dismiss, run_id)

    def _say(self, words: str, style: str) -> None:
        line = self.query_one(".trouble", Static)
        line.display = True
        line.update(Content.styled(plain_lines(words), style))

    def _offer(self, typed: str) -> None:
        found = matches(typed)
        rows = [plain(f) for f in found[:MOST]]
        if len(found) > MOST:
            rows.append(f"… and {len(found) - MOST} more")
        self.query_one(".offers", Static).update(Content("\n".join(rows)))


def plain_lines(words: str) -> str:
    """Outside text made harmless line by line."""
    return "\n".join(plain(line) for line in words.splitlines())
