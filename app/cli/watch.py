"""Following a run from any terminal or host, through the database, until it ends.

Owns the content and the times of reports. Neither starts nor stops a run.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from app.cli.printing import print_json_line
from app.console.narration import Narrator, say
from app.jobs.launcher import last_words
from app.render.data.record import summary_data
from app.results import wording
from app.results.workers import given_up, line, together
from core.engine.measurement import FailedUnit, WorkerState
from core.errors import Cancelled, RunError
from storage import runs
from storage.database import Database
from storage.runs import RunSummary, RunWarning
from storage.workers import failed_units, workers

_PAUSE = 0.5  # seconds between two queries


@dataclass(frozen=True, slots=True)
class Moment:
    """A run's current state: its workers, the units that it has given up, and its warnings since
    the previous moment."""

    run: RunSummary
    warnings: tuple[RunWarning, ...]
    workers: tuple[WorkerState, ...] = ()
    failed: tuple[FailedUnit, ...] = ()


def watch(db: Database, run_id: str, *, json: bool = False) -> None:
    """Report a run until it is done: in words on stderr, or one JSON object per change on stdout.

    Raises RunError with the run's error if it failed, Cancelled if it was cancelled or interrupted.
    Ctrl+c raises Cancelled too, and the run continues.
    """
    try:
        run = (_print if json else _narrate)(follow(db, run_id))
    except KeyboardInterrupt:
        hint = f"'tauscope watch {run_id}' follows it again, 'tauscope cancel {run_id}' stops it."
        raise Cancelled(f"Stopped watching; run {run_id} continues.", hint=hint) from None
    if not json:
        for words in last_words(db, run):
            say(words)
    _raise_end(run)
    if not json:
        say(f"run {run.id}: {wording.outcome(run)}")


def follow(db: Database, run_id: str) -> Iterator[Moment]:
    """Query a run regularly until its end. Raises RunError if it is deleted.

    Each warning is reported once, although every attempt at a run starts without the run's own.
    """
    shown: set[RunWarning] = set()
    while True:
        run = runs.find_run(db, run_id)
        warnings = runs.warnings(db, run.id) if run.warnings else []
        states = workers(db, run.id) if run.workers else []
        failed = failed_units(db, run.id) if run.failed else []
        unseen = tuple(warning for warning in warnings if warning not in shown)
        yield Moment(run, unseen, tuple(states), tuple(failed))
        shown.update(warnings)
        if run.status not in wording.UNDER_WAY:
            return
        time.sleep(_PAUSE)


def _narrate(moments: Iterable[Moment]) -> RunSummary:
    crew = _Crew()
    with Narrator() as narrator:
        for place, moment in enumerate(moments):
            run = moment.run
            if place == 0:
                narrator.say(f"run {run.id}: {run.name}: {', '.join(run.analyses)}")
            for warning in moment.warnings:
                narrator.warn(warning.subject, warning.message)
            for words in crew.news(moment):
                narrator.say(words)
            now = wording.now()
            narrator.below([line(each, now) for each in moment.workers])
            left = "  ".join(filter(None, (wording.pace(run, now), wording.remaining(run, now))))
            percent = int(100 * wording.share(run, now))
            narrator.show(run.done, run.total, left, wording.in_hand(run), percent)
    return run


class _Crew:
    """The changes of a run's workers and failed units from moment to moment, in lines."""

    def __init__(self) -> None:
        self._known: dict[str, WorkerState] = {}
        self._failed: set[tuple[str, int]] = set()

    def news(self, moment: Moment) -> Iterator[str]:
        """Workers that came or went while the run goes on, and units given up since."""
        states = {each.name: each for each in moment.workers}
        came = [_named(each) for name, each in states.items() if name not in self._known]
        if came:
            yield f"{together(moment.workers)}; new: {', '.join(came)}"
        if states:  # at the end of a run all go
            for name in sorted(self._known.keys() - states.keys()):
                yield f"{_named(self._known[name])} is gone"
        self._known = states
        for each in moment.failed:
            if (each.key, each.attempts) not in self._failed:
                self._failed.add((each.key, each.attempts))
                yield f"failed: {given_up(each)}"


def _named(state: WorkerState) -> str:
    return f"{state.name} ({state.host}, {state.device})"


def _print(moments: Iterable[Moment]) -> RunSummary:
    before: Moment | None = None
    for moment in moments:
        # The heartbeat and the workers' memory change all the time.
        run = replace(moment.run, heartbeat=None, took=None)
        states = tuple(replace(each, memory=0) for each in moment.workers)
        seen = replace(moment, run=run, workers=states, warnings=())
        if seen != before or moment.warnings:
            print_json_line(_data(moment))
        before = seen
    return moment.run


def _data(moment: Moment) -> dict[str, Any]:
    now = wording.now()
    eta = moment.run.eta(now)
    return {
        **summary_data(moment.run),
        "units_per_second": moment.run.throughput(now),
        "eta_seconds": None if eta is None else max(0.0, eta),
        "new_warnings": [asdict(warning) for warning in moment.warnings],
        "worker_states": [asdict(each) for each in moment.workers],
        "failed_units": [asdict(each) for each in moment.failed],
    }


def _raise_end(run: RunSummary) -> None:
    resumed = "'tauscope run' with its study resumes it; finished results are stored."
    if run.status == "failed":
        raise RunError(run.error_title or f"Run {run.id} failed.", hint=run.error_hint or resumed)
    if run.status == "cancelled":
        raise Cancelled(f"Run {run.id} was cancelled.", hint=resumed)
    if run.status == "interrupted":
        raise Cancelled(f"Run {run.id} was interrupted. {wording.trouble(run)[0]}", hint=resumed)
