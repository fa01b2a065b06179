"""The finding of a figure, in words above it."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size

from app.render.terminal.lines import fitted, folded
from app.tui.widgets.steady import Steady


class Finding(Steady):
    """Words on as many lines as they need, at most `max-height`: the last one is marked if there
    are more. Takes no room without words."""

    DEFAULT_CSS = """
    Finding { height: auto; max-height: 2; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(markup=False)
        self.words: str | None = None
        """Its words; None before the first ones."""
        self.display = False

    def tell(self, words: str) -> None:
        """Show these words; the screen is laid out again only for another number of lines."""
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
        lines = folded(self.words or "", max(1, width))
        if len(lines) > most:
            lines[most - 1 :] = [fitted(" ".join(lines[most - 1 :]), width)]
        return lines
