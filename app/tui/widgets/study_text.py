"""A study file as it becomes. Scrolls to the part that is asked for; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from app.drafts.studyfile import COMMENT
from app.text import plain


class StudyText(VerticalScroll, can_focus=False):
    """The text, a row a line: what is too long for the width is cut."""

    DEFAULT_CSS = "StudyText Static { text-wrap: nowrap; text-overflow: ellipsis; }"

    def compose(self) -> ComposeResult:
        yield Static("", id="file", markup=False)

    def show(self, text: str, parts: Sequence[str]) -> None:
        """Show the text from the first of these parts on, which may be commented out."""
        self.query_one("#file", Static).update(coloured(text))
        heads = tuple(f"[{part}" for part in parts)
        lines = [line.removeprefix("# ") for line in text.splitlines()]
        row = next((y for y, line in enumerate(lines) if line.startswith(heads)), 0)
        self.scroll_to(y=row if parts else 0, animate=False)


def coloured(text: str) -> Content:
    """A study file, its comments and headings told apart."""
    return Content("\n").join(_line(line) for line in text.splitlines())


def _line(line: str) -> Content:
    style = "$accent" if line.startswith("[") else ""
    if line.startswith("#"):
        return Content.styled(plain(line), "$muted")
    if line[COMMENT : COMMENT + 1] == "#":
        setting, about = line[:COMMENT], line[COMMENT:]
        return Content.assemble((plain(setting), style), (plain(about), "$muted"))
    return Content.styled(plain(line), style)
