"""The data of a run's screen, read off its thread: status, figures, and the rest.

Owns when to ask the database again. Hands over what it finds; shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.worker import Worker

from app.results import wording
from app.tui.data import Contents, DataSource
from app.tui.threads import in_thread, said
from core.errors import TauscopeError
from core.figures.filters import ALL, Names, read

if TYPE_CHECKING:
    from app.tui.screens.run import RunScreen
    from app.tui.widgets.pane import Pane
    from core.engine.registry import Analysis
    from storage.runs import RunSummary

POLL = 0.25


@dataclass
class Polled:
    """The result of one poll: the run's summary."""

    run: RunSummary
    contents: Contents | None = None
    """The run's analyses and views; only in the first poll."""
    names: Names = field(default_factory=dict)
    """The names to filter by, with `contents`, if requested."""
    barren: bool = False
    """True once, when the run has ended early without a finished unit."""


class Feed:
    """Reads one run for one screen."""

    def __init__(self, screen: RunScreen, source: DataSource, run_id: str, *, named: bool) -> None:
        """`named`: the names to filter by are needed before the first figure."""
        self.screen = screen
        self._named = named
        self.source = source
        self.run_id = run_id
        self.filter = ALL
        """The filter of the run's figures."""
        self.beat = 0
        """Counts polls up to a second: 0 once in four."""
        self._reading = self._begun = False
        self._status = ""

    def recall(self, line: str, names: Names) -> None:
        """Apply the filter of the last time, unless it is invalid now."""
        with suppress(TauscopeError):
            self.filter = read(line, names)

    def poll(self) -> None:
        """Read the run's state: four times a second while it runs, then once a second."""
        self.beat = (self.beat + 1) % 4
        run = self.screen.run
        idle = run is not None and run.status not in wording.UNDER_WAY
        hidden = self.screen.app.screen is not self.screen
        if not (self._reading or hidden or (idle and self.beat)):
            self._reading = True
            in_thread(
                self.screen, self._read, self.screen.polled, refused=self.screen.lose,
                group="poll", exclusive=False,
            )  # fmt: skip

    def figure(self, pane: Pane) -> Worker[None]:
        """Read the figure that a pane wants."""
        choice, by = pane.wanted, self.filter
        return in_thread(
            self.screen,
            lambda: self.source.draw(self.run_id, pane.analysis, pane.view, choice, by),
            lambda drawn: self.screen.hand_over(pane, choice, by, drawn),
            refused=lambda error: pane.refuse(choice, said(error)),
            group=f"{pane.analysis.name}/{pane.view.key}",
        )

    def overview(self) -> Worker[None] | None:
        """Read the overview of the run, once it is known."""
        run = self.screen.run
        if run is None:
            return None
        return in_thread(
            self.screen,
            lambda: self.source.overview(run),
            self.screen.know_overview,
            refused=self.screen.refuse_overview,
            group="overview",
        )

    def look_ahead(self, panes: Sequence[Pane], analyses: Sequence[Analysis]) -> None:
        """Read ahead for these panes and for the tabs of these analyses. Errors show only when a
        tab is opened."""
        by = self.filter

        def reading() -> Names:
            for pane in panes:
                self.source.draw(self.run_id, pane.analysis, pane.view, pane.wanted, by)
            return self.source.names(self.run_id, analyses) if analyses else {}

        in_thread(self.screen, reading, self.screen.know_names, group="ahead")

    def background(self) -> Worker[None]:
        """Read the details of the run."""
        screen, read = self.screen, self.source.background
        return in_thread(
            screen, lambda: read(self.run_id), screen.know, refused=screen.lose, group="facts"
        )

    def _read(self) -> Polled:
        try:
            run = self.source.run(self.run_id)
            polled = Polled(run)
            if not self._begun:
                polled.contents = self.source.contents(run)
                if self._named:
                    analyses = [analysis for analysis, _ in polled.contents]
                    polled.names = self.source.names(self.run_id, analyses)
            self._begun = True
            if run.status != self._status:
                polled.barren = run.ended_early and not self.source.finished_any(run.id)
                self._status = run.status
            return polled
        finally:
            self._reading = False
