"""The overview of the selected run, beside the list of runs.

Reads it once the selection rests, in a thread. The last overview stays until the next one is read,
so a held key paints nothing here. The rows are app.render.terminal.overview's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.segment import Segment
from textual.strip import Strip
from textual.timer import Timer

from app.render.terminal.lines import folded
from app.text import plain
from app.tui.theme import toned
from app.tui.threads import in_thread, said
from app.tui.widgets.steady import Steady

if TYPE_CHECKING:
    from app.render.terminal.overview import Row
    from app.results.overview import Overview
    from app.tui.data import DataSource
    from storage.runs import RunSummary

ROOMY = 160
"""The least width of a screen that shows it beside the list."""
RESTS = 0.15
"""Seconds on a run before it is read."""
SLOW = 0.3
"""Seconds of a reading after which the last overview makes way for a word."""
PARTS = 20
"""The most readings of a running run's overview, one for each such part of its units."""


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
        self._shown = ""
        """The run whose overview shows, or why it can't be read."""
        self.reading = False
        """Is the selected run's overview still to come?"""
        self._words = "Reading…"
        self._made: tuple[object, Sequence[Row]] | None = None
        self._timer: Timer | None = None

    def ask(self, run: RunSummary | None) -> None:
        """Show the overview of this run, if there is room and it does not show already."""
        self.display = self.screen.size.width >= ROOMY and run is not None
        if not self.display or run is None:
            return
        of = run.id, run.status, run.done * PARTS // max(1, run.total)
        if of == self._of:
            return
        self._of, self.reading = of, True
        self._after(RESTS, functools.partial(self._read, run))

    def render_line(self, y: int) -> Strip:
        rows = self._rows()
        row = rows[y] if y < len(rows) else []
        colours = self.app.theme_variables
        line = [Segment(words, toned(tone, colours)) for words, tone in row]
        return Strip(line).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    def _after(self, seconds: float, then: Callable[[], None]) -> None:
        """Do it after so long, in place of all that waits."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(seconds, then)

    def _read(self, run: RunSummary) -> None:
        def reading() -> Overview:
            import app.render.terminal.overview  # noqa: F401 - takes long, so not while painting

            return self._source.overview(run)

        of = self._of
        in_thread(
            self,
            reading,
            lambda overview: self._show(of, overview),
            refused=lambda error: self._show(of, None, said(error)),
            group="preview",
        )
        if run.id != self._shown:
            self._after(SLOW, self._clear)

    def _clear(self) -> None:
        self.overview, self._words, self._shown = None, "Reading…", ""
        self.refresh()

    def _show(self, of: object, overview: Overview | None, words: str = "") -> None:
        if of != self._of:
            return  # the selection went on meanwhile
        self.overview, self._words, self.reading = overview, words, False
        self._shown = str(self._of[0])
        if self._timer is not None:
            self._timer.stop()
        self.refresh()

    def _rows(self) -> Sequence[Row]:
        """The rows for the present size; made once for each overview."""
        if self.overview is None:
            width = max(1, self.size.width)
            return [[(line, "muted")] for line in folded(plain(self._words), width)]
        from app.render.terminal.overview import layout

        key = self.overview, self.size
        if self._made is None or self._made[0] != key:
            nothing = len(self.overview.cards) + len(self.overview.findings)
            self._made = key, layout(self.overview, *self.size, nothing).rows
        return self._made[1]
