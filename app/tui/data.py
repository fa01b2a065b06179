"""The data of the screens, from the database and from the launcher of jobs. Owns one open database,
and a cache of its results by edition.

Every method may block: screens call them from threads. Heavy modules are imported when first
needed, so that the first screen is painted before.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.tui.cache import AnswerCache

if TYPE_CHECKING:
    from app.bench.items import Offered
    from app.bench.registry import BenchSummary
    from app.results.comparing import Pair
    from app.results.figures import Drawn
    from app.results.overview import Overview
    from app.tui.bench.link import Opening
    from core.bench.columns import Mixed
    from core.bench.messages import Event, Request
    from core.engine.measurement import FailedUnit, WorkerState
    from core.engine.registry import Analysis
    from core.figures.filters import Filter, Names
    from core.figures.views import Catalogue, Choice, View
    from core.study.study import Study
    from storage.database import Database
    from storage.runs import RunSummary, RunWarning
    from storage.standing import Standing


LOG = 1 << 19
"""Bytes of a log that are shown."""
RANGES = 100
"""Cached catalogues of analyses of runs."""
FIGURES = 40
"""Cached figures and pairs of figures."""


@dataclass(frozen=True, slots=True)
class Background:
    """The warnings, the origin and the progress of a run."""

    warnings: Sequence[RunWarning]
    provenance: Mapping[str, Any]
    last_words: Sequence[str] = ()
    """The place and the last lines of the log of a dead worker."""
    standings: Mapping[str, Standing] = field(default_factory=dict)
    """The progress of each analysis."""
    workers: Sequence[WorkerState] = ()
    """The processes that compute for a running run, if others than its own do."""
    failed: Sequence[FailedUnit] = ()
    """The units that the run has given up."""


Contents = tuple[tuple["Analysis", tuple["View", ...]], ...]
"""Analyses with their pictures, in the registry's order."""


@dataclass(frozen=True, slots=True)
class Shared:
    """Two runs, the analyses and views that can show both, and the titles of the analyses that
    only one of them has."""

    runs: tuple[RunSummary, RunSummary]
    views: Contents
    alone: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


class DataSource:
    """The database behind the screens; opened at the first question."""

    def __init__(self, url: str | None) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._database: Database | None = None
        self._ranges = AnswerCache(RANGES)
        self._figures = AnswerCache(FIGURES)

    @property
    def database(self) -> Database:
        """The open database. Raises StorageError."""
        with self._lock:
            if self._database is None:
                from storage.database import open_database

                self._database = open_database(self.url)
            return self._database

    def close(self) -> None:
        """Close the database, if it was opened."""
        with self._lock:
            if self._database is not None:
                self._database.close()

    def runs(self) -> tuple[RunSummary, ...]:
        """All runs, newest first."""
        from storage.runs import list_runs

        return tuple(list_runs(self.database))

    def demo(self) -> str:
        """The stage of the making of the demo; empty unless it is under way."""
        from app.jobs import demo

        return demo.stage(self.database)

    def start_demo(self) -> None:
        """Make the demo's models and its run, in a process of its own."""
        from app.jobs import demo

        demo.start(self.database)

    def cancel_demo(self) -> None:
        """Stop the making of the demo."""
        from app.jobs import demo

        demo.cancel(self.database)

    def demo_trouble(self) -> str:
        """Why the demo ended before its run was done, unless it was cancelled."""
        from app.jobs import demo

        return demo.trouble(self.database)

    def models(self) -> dict[str, tuple[str, ...]]:
        """The paths of models in the runs' studies, by the run's id."""
        from storage.runs import models_of_runs

        return models_of_runs(self.database)

    def run(self, run_id: str) -> RunSummary:
        """The present summary of a run. Raises RunError if it was deleted."""
        from storage.runs import find_run

        return find_run(self.database, run_id)

    def finished_any(self, run_id: str) -> bool:
        """Has the run any results, of this attempt or an earlier one?"""
        from storage.runs import durations

        return bool(durations(self.database, run_id))

    def background(self, run_id: str) -> Background:
        """The warnings, the origin and the progress of a run."""
        from app.jobs.launcher import last_words
        from storage.runs import find_run, provenance, warnings
        from storage.standing import standings
        from storage.workers import failed_units, workers

        run = find_run(self.database, run_id)
        return Background(
            tuple(warnings(self.database, run_id)),
            provenance(self.database, run_id),
            last_words(self.database, run),
            standings(self.database, run_id),
            workers(self.database, run_id) if run.workers else (),
            failed_units(self.database, run_id),
        )

    def log(self, run_id: str) -> list[tuple[int, str]]:
        """The end of the log of a run's worker, line by line, each with its identity."""
        from app.jobs.launcher import log_of, numbered

        return numbered(log_of(self.database, run_id), LOG)

    def contents(self, run: RunSummary) -> Contents:
        """The run's analyses, each with the views that have something to show."""
        from app.results.figures import analyses_of

        return tuple((each, self._views(run.id, each)) for each in analyses_of(run))

    def names(self, run_id: str, analyses: Iterable[Analysis]) -> Names:
        """The names to filter by in these analyses. This also caches their catalogues, which take
        half of the time of a large run's tab."""
        from core.figures.choices import names_of

        return names_of([self._catalogue(run_id, analysis.name) for analysis in analyses])

    def draw(
        self, run_id: str, analysis: Analysis, view: View, choice: Choice | None, by: Filter
    ) -> Drawn:
        """The figure of a view under a choice (None: the one it opens with) and a filter."""
        from app.results.figures import drawn

        def make() -> Drawn:
            ranges = self._catalogue(run_id, analysis.name)
            return drawn(self.database, run_id, analysis, view, choice, ranges, by=by)

        key, edition = (run_id, analysis.name, view.key, by), self._edition(run_id, analysis.name)
        made = self._figures.get((*key, choice), edition, make)
        if choice is None:  # whoever saw it asks for what it settled on the next time
            self._figures.put((*key, made.choice), edition, made)
        return made

    def overview(self, run: RunSummary) -> Overview:
        """The cards and the findings of a run so far."""
        from app.results.overview import read

        edition = [self._edition(run.id, name) for name in run.analyses]
        return self._figures.get(
            (run.id, "overview"), (run.status, *edition), lambda: read(self.database, run)
        )

    def read_ahead(self, run: RunSummary, count: int) -> None:
        """Cache the overview of a run, and then the first pictures, `count` of them."""
        from core.figures.filters import ALL

        self.overview(run)
        for analysis, views in self.contents(run)[:1]:
            for view in views[:count]:
                self.draw(run.id, analysis, view, None, ALL)

    def compare_ahead(self, first: str, second: str) -> None:
        """Cache the first pair of the comparison of two runs."""
        for analysis, views in self.shared(first, second).views[:1]:
            self.pair(first, second, analysis, views[0], None, by_depth=False)

    def shared(self, first: str, second: str) -> Shared:
        """Two runs, and the views that can show both. Raises StudyError if they share nothing."""
        from app.results.comparing import alone, analyses_of_both, views_of_both

        runs = self.run(first), self.run(second)
        contents: list[tuple[Analysis, tuple[View, ...]]] = []
        for analysis in analyses_of_both(*runs):
            ranges = self._both(first, second, analysis)
            views = views_of_both(self.database, first, second, analysis, ranges)
            contents += [(analysis, views)] if views else []
        return Shared(runs, tuple(contents), alone(*runs))

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
        from app.results.comparing import pair

        def make() -> Pair:
            return pair(
                self.database, first, second, analysis, view, choice, by_depth=by_depth,
                ranges=self._both(first, second, analysis),
            )  # fmt: skip

        key = first, second, analysis.name, view.key, by_depth
        edition = [self._edition(each, analysis.name) for each in (first, second)]
        made = self._figures.get((*key, choice), edition, make)
        if choice is None:
            self._figures.put((*key, made.choice), edition, made)
        return made

    def study(self, run_id: str) -> Study:
        """The study of a run."""
        from storage.runs import study_of

        return study_of(self.database, run_id)

    def bench(self, run_id: str) -> Opening:
        """The bench of a run's study, with the way to its worker."""
        return self.bench_of(self.study(run_id), run_id)

    def bench_of(self, study: Study, run_id: str = "") -> Opening:
        """The bench of a study. `run_id`: the run that keeps trials, by default its newest."""
        from app import config
        from app.bench.client import connect
        from app.tui.bench.link import COLUMNS, Opening

        idle = 60 * config.read().bench_idle
        way = functools.partial(connect, self.database.path, study, idle=idle)
        tuned = study.models.tuned
        shown = ("base", *(name for name in tuned if name not in study.controls()))
        return Opening(
            study.name,
            tuple(tuned),
            way,
            first=shown[:COLUMNS],
            study=study,
            run=run_id or self._run_of(study),
        )

    def task_items(self, run_id: str) -> Offered:
        """The items of a run's tasks, as prompts for the bench. Raises StudyError without any."""
        from app.bench.items import of_tasks

        domains = self._catalogue(run_id, "evaluation").domains if run_id else ()
        own_model = {task: domain.own for domain in domains for task in domain.tasks}
        return of_tasks(self.database, run_id, own_model)

    def probe_documents(self, study: Study | None) -> Offered:
        """The documents of the study's probe sets, as prompts for the bench. Raises ProbeError."""
        from app.bench.items import of_probes

        return of_probes(study)

    def keep_trial(self, run_id: str, request: Request, events: Sequence[Event]) -> None:
        """Write a trial of the bench into a run."""
        from app.bench.trials import trial
        from storage.trials import keep_trial

        keep_trial(self.database, run_id, trial(request, events))

    def merge(self, study: Study, mix: Mixed, folder: Path) -> None:
        """Write a mix as a model's folder, in another process. Raises RunError with its last words.

        Code of models does not run: a database can't vouch for it.
        """
        from app.jobs.merging import merge

        merge(study, mix, folder)

    def add_point(self, run_id: str, point: str) -> str:
        """Start a run of a run's study with one more point of arithmetic; the new run."""
        from app.drafts.points import with_point
        from app.jobs.launcher import ready, start_detached
        from storage.runs import study_of

        study = with_point(study_of(self.database, run_id), point)
        analyses = list(dict.fromkeys((*self.run(run_id).analyses, "arithmetic")))
        new_run = ready(self.database, study, analyses)
        start_detached(self.database.url, new_run)
        return new_run

    def benches(self) -> tuple[BenchSummary, ...]:
        """The running benches beside the database."""
        from app.bench.registry import benches

        return tuple(benches(self.database.path))

    def end_bench(self, bench: BenchSummary) -> None:
        """End a bench: its memory is free again."""
        from app.bench.registry import end

        end(bench)

    def cancel(self, run_id: str) -> None:
        """Ask for the run to stop."""
        from storage.runs import request_cancel

        request_cancel(self.database, run_id)

    def delete(self, run_id: str) -> None:
        """Remove a run that is not running."""
        from storage.runs import delete_run

        delete_run(self.database, run_id)

    def resume(self, run_id: str, *, now: bool) -> int:
        """Start a worker on a run that ended early, or on a queued run; `now`: out of turn.

        Code of models and task files does not run: a database can't vouch for it.
        """
        from app.jobs.launcher import start_detached

        return start_detached(self.database.url, run_id, now=now)

    def start(self, path: Path, only: Sequence[str] = ()) -> str:
        """Start the study in a file, or a ready one, in a worker; returns the run's id.

        An unfinished run of the same study goes on. `only`: these analyses alone. Raises
        CheckpointError, and leaves no run, if a model is missing.
        """
        from app.drafts import ready as shelf
        from app.jobs.launcher import check, ready, start_detached
        from app.jobs.selection import select
        from core import trust
        from core.study import intake
        from storage.runs import unfinished_run

        wanted = intake.read(shelf.find(path))
        analyses = select(wanted, only).analyses
        unfinished = unfinished_run(self.database, wanted.key(analyses))
        if unfinished is not None and unfinished.status == "running":
            return unfinished.id
        check(wanted)
        run_id = ready(self.database, wanted, analyses)
        start_detached(self.database.url, run_id, trust=trust.of(wanted))
        return run_id

    def _run_of(self, study: Study) -> str:
        """The newest run of these models under this name; empty without one."""
        from storage.runs import study_of

        ids = (run.id for run in self.runs() if run.name == study.name)
        return next((i for i in ids if study_of(self.database, i).models == study.models), "")

    def _views(self, run_id: str, analysis: Analysis) -> tuple[View, ...]:
        from core.figures.choices import present

        if not any(view.optional for view in analysis.views):
            return analysis.views  # whatever was measured
        return present(analysis.views, self._catalogue(run_id, analysis.name))

    def _both(self, first: str, second: str, analysis: Analysis) -> tuple[Catalogue, Catalogue]:
        return self._catalogue(first, analysis.name), self._catalogue(second, analysis.name)

    def _catalogue(self, run_id: str, analysis: str) -> Catalogue:
        """The catalogue of an analysis, which takes long to read for a large run."""
        from storage.runs import catalogue

        edition = self._edition(run_id, analysis)
        make = functools.partial(catalogue, self.database, run_id, analysis)
        return self._ranges.get((run_id, analysis), edition, make)

    def _edition(self, run_id: str, analysis: str) -> tuple[object, ...]:
        from storage.runs import edition

        return edition(self.database, run_id, analysis)
