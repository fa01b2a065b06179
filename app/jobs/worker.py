"""One run in its own process: `work` in the foreground, `python -P -m app.worker` detached.

Owns the worker's lifecycle: its claim on the run, its heartbeat, and the record of its end. Shows
nothing; callers of `work` may pass callbacks.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from app.console.narration import Patience
from app.jobs import following
from app.jobs.environment import environment, tune
from app.jobs.following import Follow
from app.jobs.launcher import check_engine, log_of
from app.jobs.stopping import STOPPED, stopping_on_signals
from core.engine.measurement import Progress, Unit, UnitResult, WorkerState
from core.errors import (
    Cancelled,
    InputError,
    RunError,
    StorageError,
    StudyError,
    TauscopeError,
    of_the_system,
    out_of_memory,
    reason,
)
from core.sizes import counted
from core.study import series
from core.study.study import Study
from core.trust import NOBODY, Trust, granted
from storage import runs
from storage.database import Database, open_database
from storage.patience import PATIENCE
from storage.runs import RunSummary
from storage.sink import RunSink

if TYPE_CHECKING:
    from core.engine.executor import Executor

_BEAT = 2.0
_HURRIED = 5.0  # seconds that a cancelled run waits for the database to record it
_PASS = 10.0  # seconds between two log lines of one pass over documents
_DOCUMENT = ", document "
_LOOK = 1.0  # seconds between two checks of a run's turn
_BORNE = 300.0  # seconds that a waiting run tolerates an unreadable database


def work(
    db: Database,
    run_id: str,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_warning: Callable[[str, str], None] | None = None,
    on_workers: Callable[[Sequence[WorkerState]], None] | None = None,
    on_stop: Callable[[], None] | None = None,
    keep: bool = True,
    trust: Trust = NOBODY,
    follow: Follow | None = None,
) -> RunSummary:
    """Claim a queued run and compute it to its end; returns the final run.

    Raises the error that ended it early, after recording it: Cancelled, a TauscopeError (RunError
    for an unexpected error; its traceback is in the log), or KeyboardInterrupt at the second
    signal. `on_stop` is called when a signal stops the run. Without `keep`, a new run with
    unreadable inputs is removed again; the caller gets the error. `trust`: permission to run
    third-party code, which the database does not store. `follow`: wait for further checkpoints of
    the study's series; a run that is stopped while it waits is done.
    """
    tune()
    attempt = runs.claim(db, run_id)
    stop = threading.Event()
    sink = _ListenedSink(db, run_id, attempt, stop, on_progress, on_warning, on_workers)
    try:
        with _heartbeat(sink), stopping_on_signals(stop, on_stop):
            _compute(db, run_id, sink, trust, follow)
            sink.beat(patience=PATIENCE)
    except BaseException as error:
        reported = _reported(error, db, run_id)
        _record(db, run_id, attempt, sink, reported)
        unopened = isinstance(reported, InputError | StudyError) and not sink.planned
        if unopened and attempt == 1 and not keep:
            _remove(db, run_id)
        if reported is error:
            raise
        raise reported from error
    runs.finish(db, run_id, attempt, "done")
    return runs.find_run(db, run_id)


def main(arguments: list[str] | None = None) -> int:
    """The entry point of a detached worker. Its output goes to the log."""
    parser = argparse.ArgumentParser(prog="python -P -m app.worker")
    parser.add_argument("run")
    parser.add_argument("--db", required=True)
    for flag in ("--now", "--trust-models", "--trust-tasks", "--follow"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--until", type=int)
    parser.add_argument("--idle", type=float)
    given = parser.parse_args(arguments)
    _say(f"worker {os.getpid()} takes run {given.run}")
    try:
        db = open_database(given.db, write=True, waiting=Patience(_say))
        if not given.now:
            _await_turn(db, given.run)
        trust = Trust(models=given.trust_models, tasks=given.trust_tasks)
        follow = Follow(given.until, given.idle) if given.follow else None
        work(
            db, given.run,
            on_progress=_Steps(), on_warning=_say_warning, trust=trust, follow=follow,
        )  # fmt: skip
    except TauscopeError as error:
        _say(f"{type(error).__name__}: {error.title} {error.hint}")
        return 1
    except KeyboardInterrupt:
        _say("stopped at once")
        return STOPPED
    _say("done")
    return 0


def _await_turn(db: Database, run_id: str) -> None:
    """Wait until no earlier run is active on this host. Returns at once for a run that is cancelled
    or claimed by another worker meanwhile.

    Tolerates a database that is locked for a while; raises StorageError after that.
    """
    announced, looked = "", time.monotonic()
    while True:
        try:
            earlier = runs.before(db, run_id)
            if earlier is None:
                return
            if earlier.id != announced:
                runs.say_waiting(db, run_id, f"after {earlier.name} ({earlier.id})")
                _say(f"waits for run {earlier.id}")
                announced = earlier.id
            looked = time.monotonic()
        except StorageError:
            if time.monotonic() - looked > _BORNE:
                raise
        time.sleep(_LOOK)


class _ListenedSink(RunSink):
    """A sink that also calls listeners in this process. `planned`: the units are planned, so all
    inputs could be opened."""

    def __init__(
        self,
        db: Database,
        run_id: str,
        attempt: int,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] | None,
        on_warning: Callable[[str, str], None] | None,
        on_workers: Callable[[Sequence[WorkerState]], None] | None,
    ) -> None:
        super().__init__(db, run_id, attempt, stop=stop)
        self._on_progress = on_progress
        self._on_warning = on_warning
        self._on_workers = on_workers
        self._warned: set[tuple[str, str]] = set()
        self.planned = False
        self.last = Progress(0, 0)

    def progress(self, progress: Progress) -> None:
        self.planned |= progress.total > 0
        self.last = progress
        super().progress(progress)
        if self._on_progress:
            self._on_progress(progress)

    def workers(self, states: Sequence[WorkerState]) -> None:
        super().workers(states)
        if self._on_workers:
            self._on_workers(states)

    def failed(self, unit: Unit, cause: str, attempts: int) -> None:
        super().failed(unit, cause, attempts)
        if self._on_warning:
            self._on_warning(unit.label, f"failed {counted(attempts, 'time')}: {cause}")

    def warn(self, subject: str, message: str) -> None:
        super().warn(subject, message)
        self._tell(subject, message)

    def adopt(self, keys: Collection[str]) -> None:
        super().adopt(keys)
        for known in runs.warnings(self._db, self._run):
            self._tell(known.subject, known.message)

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        super().save(unit, result, seconds)
        for doubt in result.warnings:
            self._tell(*doubt)

    def save_slice(self, units: Sequence[tuple[Unit, UnitResult, float]]) -> None:
        super().save_slice(units)
        for doubt in (doubt for _, result, _ in units for doubt in result.warnings):
            self._tell(*doubt)

    def _tell(self, subject: str, message: str) -> None:
        if self._on_warning and (subject, message) not in self._warned:
            self._warned.add((subject, message))
            self._on_warning(subject, message)


def _compute(
    db: Database, run_id: str, sink: _ListenedSink, trust: Trust, follow: Follow | None
) -> None:
    if sink.cancelled():
        raise Cancelled("The run was cancelled before it began.")
    trusted = {"trust": asdict(trust)} if trust != NOBODY else {}
    sink.describe({"environment": environment(), **trusted})
    study = granted(runs.study_of(db, run_id), trust)
    analyses = runs.find_run(db, run_id).analyses
    while True:
        if follow is None or not study.models.pending:
            with _logging(db, run_id) as log, _executor(study, log) as executor:
                _compute_present(study, sink, analyses, follow, executor)
        grown = None if follow is None else following.awaited(study, sink, follow, sink.last)
        if grown is None:
            break
        runs.grow(db, run_id, grown)
        study = grown
    for about, words in series.notes(study.models):
        sink.warn(about, words)
    if study.models.pending:
        raise Cancelled("The run was stopped before the first checkpoint.")


@contextlib.contextmanager
def _logging(db: Database, run_id: str) -> Iterator[Callable[[str], object]]:
    """Appends tracebacks to the run's log; a RunError of the block then names it."""
    logged: list[bool] = []
    try:
        yield lambda text: logged.append(_log(db, run_id, text))
    except RunError as error:
        if not any(logged):
            raise
        hint = f"{error.hint} {log_of(db, run_id)} has the tracebacks."
        raise RunError(error.title, hint=hint) from None


@contextlib.contextmanager
def _executor(study: Study, on_fault: Callable[[str], object]) -> Iterator[Executor]:
    """Where the study is to be computed."""
    run = study.run
    if run.engine == "local":
        from core.engine.executor import LocalExecutor

        yield LocalExecutor(on_fault)
        return
    check_engine(study)
    from app.jobs.cluster.executor import RayExecutor

    hangs = 60.0 * run.timeout
    with RayExecutor(run.address, run.workers, hangs=hangs, on_fault=on_fault) as executor:
        yield executor


def _compute_present(
    study: Study,
    sink: _ListenedSink,
    analyses: Sequence[str],
    follow: Follow | None,
    executor: Executor,
) -> None:
    """Compute a study without the checkpoints that are gone. While it follows a training run, a
    checkpoint may also be deleted meanwhile."""
    from core.engine import runner

    while True:
        sink.absent = series.absent(study.models)
        try:
            runner.run(series.present(study), sink, analyses, executor)
        except (InputError, RunError):  # RunError: units of a lost checkpoint failed
            if follow is None or series.absent(study.models) == sink.absent:
                raise
        else:
            break
    for name in sorted(sink.absent):
        sink.warn(name, "its folder was deleted; results computed from it remain.")


def _reported(error: BaseException, db: Database, run_id: str) -> BaseException:
    """The error for the user; an unexpected error's traceback goes to the log."""
    if isinstance(error, TauscopeError | KeyboardInterrupt | SystemExit):
        return error
    system = of_the_system(error)
    words = system or f"{type(error).__name__}: {reason(error)}"
    whose = "" if system else "This is a bug in tauscope; "
    if out_of_memory(error):
        whose = "Free memory, or choose another device (run.device); finished units remain. "
    return RunError(words, hint=_kept(error, db, run_id, whose))


def _kept(error: BaseException, db: Database, run_id: str, whose: str) -> str:
    if not _log(db, run_id, "".join(traceback.format_exception(error))):
        return f"{whose}TAUSCOPE_DEBUG=1 shows the traceback."
    return f"{whose}{log_of(db, run_id)} has the traceback."


def _log(db: Database, run_id: str, text: str) -> bool:
    """Append to the run's log; false if it can't be written."""
    log = log_of(db, run_id)
    try:
        db.access.make_folder(log.parent)
        db.access.make_file(log)
        with log.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{_now()} {text}")
    except (OSError, StorageError):
        return False
    return True


def _record(db: Database, run_id: str, attempt: int, sink: RunSink, error: BaseException) -> None:
    """Record the run's end, if the database allows it: the database may be the cause."""
    with contextlib.suppress(StorageError, Cancelled):
        sink.beat()
        if isinstance(error, Cancelled | KeyboardInterrupt | SystemExit):
            # A user who cancels does not want to wait: without this record the run counts as
            # interrupted.
            runs.finish(db, run_id, attempt, "cancelled", patience=_HURRIED)
        else:
            hint = getattr(error, "hint", "")
            runs.finish(db, run_id, attempt, "failed", title=str(error), hint=hint)


def _remove(db: Database, run_id: str) -> None:
    """Remove a run without results, unless another worker has resumed it."""
    with contextlib.suppress(StorageError, RunError):
        runs.delete_run(db, run_id)


@contextlib.contextmanager
def _heartbeat(sink: RunSink) -> Iterator[None]:
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(_BEAT):
            # The computing thread reports a database that is locked for long.
            with contextlib.suppress(StorageError):
                sink.beat()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class _Steps:
    """Log the current step of the run, once a step. A pass over documents is one step, logged again
    every `_PASS` seconds."""

    def __init__(self) -> None:
        self._last, self._logged = "", 0.0

    def __call__(self, progress: Progress) -> None:
        label, now = progress.label, time.monotonic()
        same = label.partition(_DOCUMENT)[0] == self._last.partition(_DOCUMENT)[0]
        if label and label != self._last and not (same and now - self._logged < _PASS):
            self._last, self._logged = label, now
            _say(f"{progress.done}/{progress.total} {label}")


def _say(words: str) -> None:
    print(f"{_now()} {words}", flush=True)


def _say_warning(subject: str, message: str) -> None:
    _say(f"warning: {subject}: {message}")


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
