"""The cost of a study, shown as it becomes known. A new question replaces the last answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.commands import completed
from app.drafts.building import Draft
from app.text import plain
from app.tui import outlook
from app.tui.data import DataSource
from core.errors import TauscopeError

LOOKING = "Looking at models, texts and tasks…"


class Outlook(VerticalScroll, can_focus=False):
    """The preflight of a draft. `draft`: its draft; `refused`: the reason if a run is refused."""

    class Changed(Message):
        """A preflight has begun, or its answer has come."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.draft: Draft | None = None
        self.refused = ""
        self._hint = ""
        self._found: dict[str, Any] | None = None
        self._since = 0.0

    @property
    def answered(self) -> bool:
        """Is the cost known?"""
        return self._found is not None

    def compose(self) -> ComposeResult:
        yield Static("", markup=False)

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    def on_resize(self) -> None:
        self._show()

    def ask(self, source: DataSource, draft: Draft) -> None:
        """Compute the cost of this draft's study."""
        self.draft, self._found, self.refused = draft, None, ""
        self._since = time.monotonic()
        self.run_worker(self._ask(source, draft), exclusive=True, exit_on_error=False)
        self.scroll_home(animate=False)
        self._show()
        self.post_message(self.Changed())

    def stop(self) -> None:
        """Stop the preflight; a known answer stays."""
        self.workers.cancel_node(self)
        if self._found is None and not self.refused:
            self.draft = None

    async def _ask(self, source: DataSource, draft: Draft) -> None:
        try:
            url = await asyncio.to_thread(lambda: source.database.url)
            self._found = await outlook.foresee(draft, url)
        except (TauscopeError, OSError) as error:
            self.refused = getattr(error, "title", str(error)) or outlook.UNKNOWN
            self._hint = completed(getattr(error, "hint", ""))
        self._show()
        self.post_message(self.Changed())

    def _tick(self) -> None:
        if self.draft is not None and self._found is None and not self.refused:
            self._show()

    def _show(self) -> None:
        words = Content("")
        if self.refused:
            words = Content.styled(f"✗ {plain(self.refused)}", "$error")
            words += f"\n{plain(self._hint)}" if self._hint else ""
        elif self._found is not None:
            words = outlook.shown(self._found, max(20, self.size.width - 2))
        elif self.draft is not None:
            passed = f" {time.monotonic() - self._since:.0f} s"
            words = Content.styled(LOOKING + passed, "$muted")
        self.query_one(Static).update(words)
