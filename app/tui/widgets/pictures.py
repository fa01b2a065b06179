"""The pictures of one analysis: the one that keys act on, and as many more as have room."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult

from app.tui.memory import RunPosition
from app.tui.widgets.pane import Pane, path_of
from app.tui.widgets.steady import Beside
from core.engine.registry import Analysis
from core.figures.views import View

ROOMY = 75
"""The least width of a picture, in cells, beside another one."""


def beside(width: int) -> int:
    """How many pictures have room beside one another."""
    return max(1, width // ROOMY)


class Pictures(Beside):
    """A tab of panes, each at its last position. Panes are made at the first request and mounted
    when the tab first shows: a run has more tabs than anybody looks at."""

    DEFAULT_CSS = """
    Pictures { height: 1fr; }
    Pictures > Pane { display: none; }
    Pictures > Pane.-chosen { display: block; }
    """

    def __init__(self, analysis: Analysis, views: Sequence[View], before: RunPosition) -> None:
        """`before` is the last position of the screen."""
        super().__init__()
        self.analysis = analysis
        self._views = views
        self._before = before
        self._panes: list[Pane] = []

    @property
    def panes(self) -> Sequence[Pane]:
        """The pictures, seen or not."""
        if not self._panes:
            count = len(self._views)
            self._panes = [Pane(self.analysis, v, i, count) for i, v in enumerate(self._views, 1)]
            for pane in self._panes:
                pane.restore(self._before.stands.get(pane.path))
            last = self._before.chosen.get(self.analysis.name)
            for pane in [p for p in self._panes if p.view.key == last][:1] or self._panes[:1]:
                pane.add_class("-chosen")
        return self._panes

    def find(self, path: str) -> Pane | None:
        """The picture of this path, if it is one of these."""
        if all(path_of(self.analysis, view) != path for view in self._views):
            return None
        return next(pane for pane in self.panes if pane.path == path)

    def placed(self, place: RunPosition) -> RunPosition:
        """The given position, with the positions of these pictures."""
        if not self._panes:
            return place  # where it stood before
        chosen = {p.analysis.name: p.view.key for p in self._panes if p.has_class("-chosen")}
        stands = {pane.path: pane.stand() for pane in self._panes}
        return place.model_copy(
            update={"chosen": place.chosen | chosen, "stands": place.stands | stands}
        )

    def compose(self) -> ComposeResult:
        yield from self.panes

    @property
    def chosen(self) -> Pane | None:
        """The pane that keys act on."""
        return next((pane for pane in self.panes if pane.has_class("-chosen")), None)

    def choose(self, pane: Pane) -> None:
        """Have keys act on another pane."""
        for other in self.panes:
            other.set_class(other is pane, "-chosen")

    def gather(self, width: int, rows: int = 1) -> Sequence[Pane]:
        """Mark and return the panes that show in this width and these rows: the chosen one and
        those beside it."""
        across = beside(width) if rows == 1 else 2
        together = across * rows
        chosen = next((i for i, pane in enumerate(self.panes) if pane.has_class("-chosen")), 0)
        first = chosen - chosen % together
        for i, pane in enumerate(self.panes):
            pane.set_class(first <= i < first + together, "-near")
            pane.set_class(first <= i < first + together and (i - first) % across > 0, "-later")
            pane.set_class(first + across <= i < first + together, "-below")
        near = [pane for pane in self.panes if pane.has_class("-near")]
        self.set_class(rows > 1 and len(near) <= across, "-one-row")
        for pane in self.panes:
            pane.set_class(rows > 1 and len(near) % across > 0 and pane is near[-1], "-last")
        return near
