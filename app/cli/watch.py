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
from core.errors import Cancelled, RunError
from storage import runs
from storage.database import Database
from storage.runs import RunSummary, RunWarning

_PAUSE = 0.5  # seconds between two queries


@dataclass(frozen=True, slots=True)
class Moment:
    """A run's current state, and its warnings since the previous moment."""

    run: RunSummary
    warnings: tuple[RunWarning, ...]


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

    Each warning is reported once, although every attempt at a run starts without warnings.
    """
    shown: set[RunWarning] = set()
    while True:
        run = runs.find_run(db, run_id)
        warnings = runs.warnings(db, run.id) if run.warnings else []
        yield Moment(run, tuple(warning for warning in warnings if warning not in shown))
        shown.update(warnings)
        if run.status not in wording.UNDER_WAY:
            return
        time.sleep(_PAUSE)


def _narrate(moments: Iterable[Moment]) -> RunSummary:
    with Narrator() as narrator:
        for place, moment in enumerate(moments):
            run = moment.run
            if place == 0:
                narrator.say(f"run {run.id}: {run.name}: {', '.join(run.analyses)}")
            for warning in moment.warnings:
                narrator.warn(warning.subject, warning.message)
            now = wording.now()
            left = "  ".join(filter(None, (wording.pace(run, now), wording.remaining(run, now))))
            percent = int(100 * wording.share(run, now))
            narrator.show(run.done, run.total, left, wording.in_hand(run), percent)
    return run


def _print(moments: Iterable[Moment]) -> RunSummary:
    before: RunSummary | None = None
    for moment in moments:
        # The heartbeat continues while nothing changes.
        run = replace(moment.run, heartbeat=None, took=None)
        if run != before or moment.warnings:
            print_json_line(_data(moment))
        before = run
    return moment.run


def _data(moment: Moment) -> dict[str, Any]:
    now = wording.now()
    eta = moment.run.eta(now)
    return {
        **summary_data(moment.run),
        "units_per_second": moment.run.throughput(now),
        "eta_seconds": None if eta is None else max(0.0, eta),
        "new_warnings": [asdict(warning) for warning in moment.warnings],
    }


def _raise_end(run: RunSummary) -> None:
    resumed = "'tauscope run' with its study resumes it; finished results are stored."
    if run.status == "failed":
        raise RunError(run.error_title or f"Run {run.id} failed.", hint=run.error_hint or resumed)
    if run.status == "cancelled":
        raise Cancelled(f"Run {run.id} was cancelled.", hint=resumed)
    if run.status == "interrupted":
        raise Cancelled(f"Run {run.id} was interrupted. {wording.trouble(run)[0]}", hint=resumed)
