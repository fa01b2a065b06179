"""The pictures of one analysis: one that keys act on, and beside it as many as have room."""

from __future__ import annotations

from collections.abc import Sequence

from app.tui.memory import Place
from app.tui.widgets.pane import Pane
from app.tui.widgets.steady import Beside
from core.registry import Analysis
from core.views import View

ROOMY = 75
"""Cells across that a picture should have before another stands beside it."""


def beside(width: int) -> int:
    """How many pictures have room beside one another."""
    return max(1, width // ROOMY)


class Pictures(Beside):
    """A tab of panes, each where it stood before; they are mounted when it is first seen."""

    DEFAULT_CSS = """
    Pictures { height: 1fr; }
    Pictures > Pane { display: none; }
    Pictures > Pane.-chosen { display: block; }
    """

    def __init__(self, analysis: Analysis, views: Sequence[View], before: Place, id: str) -> None:
        """`before` is where the screen stood the last time."""
        self.panes = [Pane(analysis, view, i, len(views)) for i, view in enumerate(views, 1)]
        super().__init__(id=id)
        for pane in self.panes:
            pane.restore(before.stands.get(pane.path))
        last = before.chosen.get(analysis.name)
        for pane in [p for p in self.panes if p.view.key == last][:1] or self.panes[:1]:
            pane.add_class("-chosen")

    async def unfold(self) -> None:
        """Mount the panes, unless they are, or the screen is being left already."""
        if self.panes and self.is_attached and not self.panes[0].is_attached:
            await self.mount_all(self.panes)

    @property
    def chosen(self) -> Pane | None:
        """The pane that keys act on."""
        return next((pane for pane in self.panes if pane.has_class("-chosen")), None)

    def choose(self, pane: Pane) -> None:
        """Have keys act on another pane."""
        for other in self.panes:
            other.set_class(other is pane, "-chosen")

    def gather(self, width: int) -> Sequence[Pane]:
        """Mark the panes that show beside the chosen one in this width, and it; all of them."""
        together = beside(width)
        chosen = next((i for i, pane in enumerate(self.panes) if pane.has_class("-chosen")), 0)
        first = chosen - chosen % together
        for i, pane in enumerate(self.panes):
            pane.set_class(first <= i < first + together, "-near")
            pane.set_class(first < i < first + together, "-later")
        return [pane for pane in self.panes if pane.has_class("-near")]
