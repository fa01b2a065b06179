"""What the screens ask of the database, and of the launcher of jobs. Owns one open database.

Every method may block: screens call them from threads. Heavy modules are imported when first
needed, so that the first screen is painted before.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.comparing import Pair
    from app.figures import Drawn
    from core.registry import Analysis
    from core.views import Choice, View
    from storage.database import Database
    from storage.runs import RunSummary, RunWarning


@dataclass(frozen=True, slots=True)
class Background:
    """What makes a run's results doubtful, and where they come from."""

    warnings: Sequence[RunWarning]
    provenance: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shared:
    """Two runs, and the analyses and views that can show both."""

    runs: tuple[RunSummary, RunSummary]
    views: tuple[tuple[Analysis, tuple[View, ...]], ...]


class Source:
    """The database behind the screens; opened at the first question."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._database: Database | None = None

    @property
    def database(self) -> Database:
        """The open database. Raises StorageError."""
        with self._lock:
            if self._database is None:
                from storage.database import open_database

                self._database = open_database(self.url)
            return self._database

    def runs(self) -> tuple[RunSummary, ...]:
        """All runs, newest first."""
        from storage.runs import list_runs

        return tuple(list_runs(self.database))

    def models(self) -> dict[str, tuple[str, ...]]:
        """What the runs' studies say of where their models are, by the run's id."""
        from storage.runs import models_of_runs

        return models_of_runs(self.database)

    def run(self, run_id: str) -> RunSummary:
        """One run as it stands now. Raises RunError when it is gone."""
        from storage.runs import find_run

        return find_run(self.database, run_id)

    def background(self, run_id: str) -> Background:
        """What is known of a run besides its results."""
        from storage.runs import provenance, warnings

        return Background(tuple(warnings(self.database, run_id)), provenance(self.database, run_id))

    def analyses(self, run: RunSummary) -> tuple[Analysis, ...]:
        """The declarations of the run's analyses that have pictures, in the registry's order."""
        from core import registry

        return tuple(registry.get(name) for name in registry.names() if name in run.analyses)

    def views(self, run: RunSummary, analysis: Analysis) -> tuple[View, ...]:
        """The pictures of an analysis that have something to show in this run."""
        from core.views import present
        from storage.runs import catalogue

        return present(analysis.views, catalogue(self.database, run.id, analysis.name))

    def draw(self, run_id: str, analysis: Analysis, view: View, choice: Choice | None) -> Drawn:
        """The figure of a view under a choice (None: the one it opens with)."""
        from app.figures import drawn

        return drawn(self.database, run_id, analysis, view, choice)

    def shared(self, first: str, second: str) -> Shared:
        """Two runs, and what can be shown of both. Raises RunError if they share nothing."""
        from app.comparing import analyses_of_both, views_of_both

        runs = self.run(first), self.run(second)
        views = [
            (analysis, views_of_both(self.database, first, second, analysis))
            for analysis in analyses_of_both(*runs)
        ]
        return Shared(runs, tuple((analysis, found) for analysis, found in views if found))

    def pair(
        self,
        first: str,
        second: str,
        analysis: Analysis,
        view: View,
        choice: Choice | None,
        *,
        by_depth: bool,
    ) -> Pair:
        """A view of two runs under a choice (None: the one it opens with)."""
        from app.comparing import pair

        return pair(self.database, first, second, analysis, view, choice, by_depth=by_depth)

    def cancel(self, run_id: str) -> None:
        """Ask for the run to stop."""
        from storage.runs import request_cancel

        request_cancel(self.database, run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run that is not running."""
        from storage.runs import delete_run

        delete_run(self.database, run_id)

    def resume(self, run_id: str) -> int:
        """Start a worker on a run that ended early."""
        from app.jobs import start_detached

        return start_detached(self.database.url, run_id)

    def start(self, path: Path, only: Sequence[str] = ()) -> str:
        """Start the study in a file, or a ready one, in a worker; the run that runs now.

        It is the unfinished run of the same study where there is one. `only`: these analyses alone.
        """
        from app import ready as shelf
        from app.jobs import ready, start_detached
        from app.selection import select
        from core import study
        from storage.runs import unfinished_run

        wanted = study.read(shelf.find(path))
        analyses = select(wanted, only).analyses
        found = unfinished_run(self.database, wanted.key(analyses))
        if found is not None and found.status == "running":
            return found.id
        run_id = ready(self.database, wanted, analyses)
        start_detached(self.database.url, run_id)
        return run_id
