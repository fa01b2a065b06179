"""The commands of the palette: one line each, with its key or its place at the end."""

from __future__ import annotations

from rich.cells import cell_len
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from app.render.terminal.lines import cut, exactly

WIDEST = 80
"""Columns of the palette, at most."""
AROUND = 10
"""Columns beside its lines: their padding, the scroll bar, and the margin of a narrow screen."""
LEAST = 12
"""Columns of a place that is cut; one without as many stands below."""


class Commands(Provider):
    """The commands of the application, one line each where they fit."""

    async def discover(self) -> Hits:
        offered = self.app.get_system_commands(self.screen)
        for title, about, act, _ in sorted(offered, key=lambda command: command.title):
            yield DiscoveryHit(self._line(Content(title), about), act, text=title)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for title, about, act, _ in self.app.get_system_commands(self.screen):
            if (score := matcher.match(title)) > 0:
                yield Hit(score, self._line(matcher.highlight(title), about), act, text=title)

    def _line(self, title: Content, about: str) -> Content:
        room = min(WIDEST, self.app.size.width) - AROUND - title.cell_length
        if room < min(LEAST, cell_len(about) + 2):
            return Content.assemble(title, (f"\n{about}", "$muted not bold"))
        words = exactly(cut(about, room - 2), room, "right")
        return Content.assemble(title, (words, "$muted not bold"))
