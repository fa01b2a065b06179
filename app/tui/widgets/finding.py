"""The finding of a figure, in words above it."""

from __future__ import annotations

import textwrap

from textual.content import Content
from textual.geometry import Size

from app.render.terminal.lines import fitted
from app.tui.widgets.steady import Steady


class Finding(Steady):
    """Words over the lines that they need in the width there is, `max-height` of them at most: the
    last one is marked where there is more. Without words it takes no room."""

    DEFAULT_CSS = """
    Finding { height: auto; max-height: 2; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.words: str | None = None
        """What it says; None before the first words, for which it keeps no room either."""
        self.display = False

    def tell(self, words: str) -> None:
        """Say this from now on; only another number of lines has everything laid out again."""
        if words == self.words:
            return
        width, before = self.size.width, self.words
        self.words = words
        self.display = bool(words)
        fits = before and width and len(self._lines(width)) == self.size.height
        self.refresh(layout=not fits)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._lines(width))

    def render(self) -> Content:
        return Content("\n".join(self._lines(self.size.width)))

    def _lines(self, width: int) -> list[str]:
        most = int(self.styles.max_height.value) if self.styles.max_height else 1
        lines = textwrap.wrap(self.words or "", max(1, width))
        if len(lines) > most:
            lines[most - 1 :] = [fitted(" ".join(lines[most - 1 :]), width)]
        return lines
