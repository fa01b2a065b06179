"""The overview of the selected run, beside the list of runs.

Reads it once the selection rests, in a thread. The rows are app.render.terminal.overview's.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.timer import Timer

from app.text import plain
from app.tui.theme import toned
from app.tui.threads import Trouble, in_thread, said
from app.tui.widgets.steady import Steady

if TYPE_CHECKING:
    from app.render.terminal.overview import Row
    from app.results.overview import Overview
    from app.tui.data import DataSource
    from storage.runs import RunSummary

ROOMY = 160
"""Columns of a screen that has room for it beside the list."""
RESTS = 0.15
"""Seconds on a run after which it is read."""
PARTS = 20
"""How often the overview of a running run is read, at most."""


class RunPreview(Steady):
    """The cards and the findings of the selected run."""

    DEFAULT_CSS = """
    RunPreview { width: 1fr; height: 1fr; padding: 0 1; border-left: solid $line; }
    """

    def __init__(self, source: DataSource) -> None:
        super().__init__()
        self.overview: Overview | None = None
        self._source = source
        self._of: tuple[object, ...] = ()
        self._words = ""
        self._made: tuple[object, Sequence[Row]] | None = None
        self._timer: Timer | None = None

    def ask(self, run: RunSummary | None) -> None:
        """Show the overview of this run, where there is room and it is not shown already."""
        self.display = self.screen.size.width >= ROOMY and run is not None
        if not self.display or run is None:
            return
        of = run.id, run.status, run.done * PARTS // max(1, run.total)
        if of == self._of:
            return
        if of[:1] != self._of[:1]:
            self._show(None)
        self._of = of
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(RESTS, functools.partial(self._read, run))

    def render_line(self, y: int) -> Strip:
        rows = self._rows()
        row = rows[y] if y < len(rows) else []
        colours = self.app.theme_variables
        line = [Segment(words, toned(tone, colours)) for words, tone in row]
        return Strip(line).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _read(self, run: RunSummary) -> None:
        def reading() -> Overview:
            import app.render.terminal.overview  # noqa: F401 - takes long, so not while painting

            return self._source.overview(run)

        in_thread(self, reading, self._show, refused=self._refuse, group="preview")

    def _show(self, overview: Overview | None) -> None:
        self.overview, self._words = overview, "" if overview else "Reading…"
        self.refresh()

    def _refuse(self, error: Trouble) -> None:
        self.overview, self._words = None, said(error)
        self.refresh()

    def _rows(self) -> Sequence[Row]:
        """The rows for the size that there is; made once for each overview."""
        if self.overview is None:
            return [[(plain(self._words), "muted")]]
        from app.render.terminal.overview import layout

        key = self.overview, self.size
        if self._made is None or self._made[0] != key:
            nothing = len(self.overview.cards) + len(self.overview.findings)
            self._made = key, layout(self.overview, *self.size, nothing).rows
        return self._made[1]
