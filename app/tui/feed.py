"""The data of a run's screen, read off its thread: status, figures, and the rest.

Owns when to ask the database again. What it finds goes to the screen as messages; shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from textual.message import Message
from textual.screen import Screen
from textual.worker import Worker

from app.results import wording
from app.tui.source import Background, Contents, Source
from core.errors import TauscopeError
from core.figures.filters import ALL, Filter, Names

if TYPE_CHECKING:
    from app.results.figures import Drawn
    from app.tui.widgets.pane import Pane
    from core.engine.registry import Analysis
    from core.figures.views import Choice
    from storage.runs import RunSummary

POLL = 0.25


class Feed:
    """Reads one run for one screen."""

    @dataclass
    class Polled(Message):
        """The database was read: the run as it stands, or why it can't be read."""

        run: RunSummary | None
        trouble: str = ""
        contents: Contents | None = None
        """What the run has to show: with the first message that has the run."""
        names: Names = field(default_factory=dict)
        """What there is to filter by, with `contents`, if that was to be known."""
        barren: bool = False
        """It has just turned out that the run ended early without finishing anything."""

    @dataclass
    class Ready(Message):
        """The figure that a pane asked for was read, or could not be."""

        pane: Pane
        asked: Choice | None
        by: Filter
        drawn: Drawn | None
        trouble: str = ""

    @dataclass
    class Known(Message):
        """What is known of the run besides its results was read."""

        background: Background

    @dataclass
    class Named(Message):
        """What there is to filter by was read."""

        names: Names

    def __init__(
        self, screen: Screen[None], source: Source, run_id: str, *, named: bool = False
    ) -> None:
        """`named`: what there is to filter by is needed before the first figure."""
        self.screen = screen
        self._named = named
        self.source = source
        self.run_id = run_id
        self.filter = ALL
        """What of the run its figures show."""
        self.beat = 0
        """Counts polls up to a second: 0 once in four."""
        self._reading = self._begun = False
        self._status = ""

    def poll(self, run: RunSummary | None) -> None:
        """Ask where the run stands: four times a second while it runs, then once a second."""
        self.beat = (self.beat + 1) % 4
        idle = run is not None and run.status not in wording.UNDER_WAY
        hidden = self.screen.app.screen is not self.screen
        if self._reading or hidden or (idle and self.beat):
            return
        self._reading = True
        self._apart(self._read, "poll", exclusive=False)

    def figure(self, pane: Pane) -> Worker[None]:
        """Read what a pane wants to show."""
        choice, by = pane.wanted, self.filter

        def reading() -> None:
            try:
                drawn = self.source.draw(self.run_id, pane.analysis, pane.view, choice, by)
            except TauscopeError as error:
                said = f"{error.title} {error.hint}".strip()
                self.screen.post_message(self.Ready(pane, choice, by, None, said))
            else:
                self.screen.post_message(self.Ready(pane, choice, by, drawn))

        return self._apart(reading, f"{pane.analysis.name}/{pane.view.key}")

    def look_ahead(self, panes: Sequence[Pane], analyses: Sequence[Analysis]) -> None:
        """Prepare for these panes, and for the tabs of these analyses, that may be gone to."""
        by = self.filter

        def reading() -> None:
            with suppress(TauscopeError):  # whoever needs it will be told
                for pane in panes:
                    self.source.draw(self.run_id, pane.analysis, pane.view, pane.wanted, by)
                if analyses:
                    self.screen.post_message(self.Named(self.source.names(self.run_id, analyses)))

        self._apart(reading, "ahead")

    def background(self) -> None:
        """Read what else is known of the run."""

        def reading() -> None:
            try:
                background = self.source.background(self.run_id)
            except TauscopeError as error:
                self.screen.post_message(self.Polled(None, error.title))
            else:
                self.screen.post_message(self.Known(background))

        self._apart(reading, "facts")

    def _read(self) -> None:
        try:
            run = self.source.run(self.run_id)
            message = self.Polled(run)
            if not self._begun:
                message.contents = self.source.contents(run)
                if self._named:
                    analyses = [analysis for analysis, _ in message.contents]
                    message.names = self.source.names(self.run_id, analyses)
            self._begun = True
            if run.status != self._status:
                early = run.ended_early
                message.barren = early and not self.source.finished_any(run.id)
                self._status = run.status
        except TauscopeError as error:
            message = self.Polled(None, error.title)
        finally:
            self._reading = False
        self.screen.post_message(message)

    def _apart(
        self, work: Callable[[], None], group: str, *, exclusive: bool = True
    ) -> Worker[None]:
        return self.screen.run_worker(
            work, thread=True, group=group, exclusive=exclusive, exit_on_error=False
        )
