"""A run's jobs over several workers: their distribution, and the response to errors.

Owns the choice of jobs, the attempts at a unit, and the search for workers that hang. Knows no
transport: a `Pool` starts workers and passes messages on.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from core.engine import registry
from core.engine.attempts import Attempts, described
from core.engine.executor import Finished, Job, Work
from core.engine.measurement import Unit, WorkerState
from core.engine.station import Done, Failed, Laid, Loaded, Message, Said, Warned
from core.errors import ResultError, RunError, TauscopeError
from core.sizes import counted

TRIES = 3
"""Attempts at a unit: the first one, and two more."""

GRACE = 10.0
"""Seconds for workers to end by themselves when a run is cancelled."""

HANGS = 1800.0
"""Seconds without progress before which no worker counts as hung."""

LONG = 10.0
"""No worker counts as hung before this many times the expected duration of its job."""

SHARES = 2
"""Shares for each worker of the remaining units with a common preparation.

Shares shrink towards the end, so that workers hardly wait for one another."""

_LISTEN = 0.2  # seconds between two checks for a cancellation
_REPORT = 0.5  # seconds between two reports of the workers


@dataclass(frozen=True, slots=True)
class Ended:
    """A worker is ready for the next job."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker's process has ended."""

    cause: str


class Worker(Protocol):
    """A process with an opened study."""

    name: str
    host: str
    device: str
    memory: int

    def give(self, job: Job) -> None:
        """Let it compute a job. Its messages follow, then Ended, or Lost."""

    def stop(self) -> None:
        """Ask it to end its job."""

    def kill(self) -> None:
        """End its process."""


class Pool(Protocol):
    """The workers of a run."""

    def workers(self) -> Sequence[Worker]:
        """The workers that are ready; starts all that can be started."""

    def expects_more(self) -> bool:
        """May further workers come without an action of the user?"""

    def listen(self, seconds: float) -> Sequence[tuple[Worker, Message | Ended | Lost]]:
        """The received messages, in order; waits up to `seconds` for the first one."""


@dataclass(slots=True)
class _Hand:
    """A worker and its job in hand. `left`: the job's units without results."""

    worker: Worker
    job: Job | None = None
    left: list[Unit] = field(default_factory=list)
    slice: list[Finished] = field(default_factory=list)
    model: str = ""
    label: str = ""
    since: float = 0.0
    heard: float = 0.0
    done: int = 0
    failures: int = 0

    def state(self) -> WorkerState:
        worker = self.worker
        return WorkerState(
            name=worker.name, host=worker.host, device=worker.device, model=self.model,
            label=self.label, memory=worker.memory, done=self.done, failures=self.failures,
            since=self.since,
        )  # fmt: skip


class Crew:
    """Computes a run's jobs with the workers of a pool.

    `hangs`: seconds without progress after which a worker counts as hung.
    """

    def __init__(self, pool: Pool, work: Work, *, hangs: float = HANGS) -> None:
        self._pool, self._work, self._hangs = pool, work, hangs
        self._hands: dict[str, _Hand] = {}
        self._attempts = Attempts(work, TRIES)
        self._open: list[Job] = []
        self._changed = True
        self._reported = 0.0
        self._last = ""

    def compute(self) -> None:
        """Compute jobs until none is ready. Raises RunError if no worker is left."""
        try:
            while self._feed():
                self._work.pause()
                for worker, message in self._pool.listen(_LISTEN):
                    if worker.name in self._hands:
                        self._hear(self._hands[worker.name], message)
                    elif isinstance(message, Lost):  # it ended before it had opened the study
                        self._mourn(worker, message.cause)
                self._end_hung()
                self._report()
        except BaseException as error:
            if isinstance(error, Exception):
                with suppress(TauscopeError):  # of a worker that opens the study meanwhile
                    self._dismiss()
            raise
        finally:
            for hand in self._hands.values():
                hand.worker.kill()
            self._work.workers([])

    def _feed(self) -> bool:
        """Give jobs to idle workers; return False once no job is left."""
        for worker in self._pool.workers():
            if worker.name not in self._hands:
                self._hands[worker.name] = _Hand(worker)
                self._changed = True
        idle = [hand for hand in self._hands.values() if hand.job is None]
        while self._changed and (idle or not self._hands):
            self._open = self._jobs()
            self._changed = False
            for hand in idle:
                if self._open and hand.job is None:
                    self._give(hand)
        if any(hand.job is not None for hand in self._hands.values()):
            return True
        if not self._open:
            return False
        if not self._hands and not self._pool.expects_more():
            last = f" The last one ended: {self._last}" if self._last else ""
            raise RunError(
                f"No worker is left.{last}",
                hint="Finished units are stored; start the run again to continue.",
            )
        return True

    def _jobs(self) -> list[Job]:
        """The ready jobs without the units in progress, cut into shares for the workers."""
        taken = {unit.key for hand in self._hands.values() for unit in hand.left}
        jobs = []
        for job in self._attempts.ready():
            units = [unit for unit in job.units if unit.key not in taken]
            if units:
                jobs += self._cut(Job(tuple(units)))
        return jobs

    def _cut(self, job: Job) -> list[Job]:
        """A job cut into smaller ones; units that are computed together stay together."""
        units = job.units
        if job.is_whole:
            return [job]
        size = 1
        if registry.get(units[0].analysis).prepares:
            size = -(-len(units) // (SHARES * max(1, len(self._hands))))
        return [Job(units[start : start + size]) for start in range(0, len(units), size)]

    def _give(self, hand: _Hand) -> None:
        """Give a worker the longest slice of the weights, or the longest job of the model that it
        holds.

        If there is none, the model with most work for each worker that holds it comes next.
        """
        models = dict.fromkeys(job.loads for job in self._open)
        model = "" if "" in models else hand.model
        if model not in models:
            model = max(models, key=self._work_per_worker)
        job = max((job for job in self._open if job.loads == model), key=self._seconds)
        self._open.remove(job)
        hand.job, hand.left, hand.slice = job, list(job.units), []
        hand.model, hand.label = model or hand.model, job.label
        hand.since = time.time()
        hand.heard = time.monotonic()
        try:
            hand.worker.give(job)
        except ResultError as error:
            self._failed(hand, described(error)[0])
            self._set_idle(hand)

    def _work_per_worker(self, model: str) -> float:
        holders = sum(hand.model == model and hand.job is not None for hand in self._hands.values())
        work = sum(self._seconds(job) for job in self._open if job.loads == model)
        return work / (1 + holders)

    def _seconds(self, job: Job) -> float:
        return sum(map(self._work.seconds, job.units))

    def _hear(self, hand: _Hand, message: Message | Ended | Lost) -> None:
        if message != Said():
            hand.heard = time.monotonic()
        match message:
            case Said(label) if label:
                hand.label = label
                self._work.say(label)
            case Warned(subject, words):
                self._work.warn(subject, words)
            case Loaded(model, seconds, placement):
                self._work.loaded(model, seconds, placement)
            case Laid(by_step, seconds):
                if hand.job is not None and hand.left:
                    self._work.lay_by(hand.job.units, by_step, seconds)
            case Done():
                self._take(hand, message)
            case Failed():
                self._failed(hand, message.cause, loads=message.loads)
            case Ended():
                if hand.left:
                    self._failed(hand, "The worker gave no result.")
                self._set_idle(hand)
            case Lost(cause):
                self._lose(hand, cause)

    def _take(self, hand: _Hand, done: Done) -> None:
        unit = next((unit for unit in hand.left if unit.key == done.key), None)
        if unit is None:
            return
        finished = (unit, done.result, done.seconds)
        if hand.job is not None and not hand.job.loads:
            hand.slice.append(finished)
            if len(hand.slice) < len(hand.job.units):
                return
            self._attempts.save(hand.slice)
            hand.done += len(hand.slice)
            hand.left = []
        else:
            self._attempts.save([finished])
            hand.done += 1
            hand.left.remove(unit)
            hand.since = time.time()
        self._changed = True

    def _failed(self, hand: _Hand, cause: str, *, lost: bool = False, loads: bool = True) -> None:
        """Count an attempt at the job in hand."""
        if hand.job is not None and hand.left:
            self._attempts.failed(hand.job, hand.left, cause, lost=lost, loads=loads)
            hand.failures += 1
        hand.left, hand.slice, hand.model = [], [], ""
        self._changed = True

    def _set_idle(self, hand: _Hand) -> None:
        hand.job, hand.label, hand.since = None, "", 0.0
        self._changed = True

    def _lose(self, hand: _Hand, cause: str) -> None:
        self._mourn(hand.worker, cause)
        if hand.left:
            self._failed(hand, f"Its worker ended: {cause}", lost=True)
        del self._hands[hand.worker.name]
        self._changed = True

    def _mourn(self, worker: Worker, cause: str) -> None:
        """Report the end of a worker."""
        self._last = f"{worker.name} on {worker.host}: {cause}"
        self._work.warn("workers", f"{worker.name} on {worker.host} ended: {cause}")

    def _end_hung(self) -> None:
        """Kill workers whose job shows no progress."""
        now = time.monotonic()
        for hand in list(self._hands.values()):
            if hand.job is None:
                continue
            longest = max(self._hangs, LONG * self._seconds(hand.job))
            if now - hand.heard > longest:
                hand.worker.kill()
                silent = counted(round(longest / 60), "minute")
                self._lose(hand, f"it showed no progress for {silent} and was stopped.")

    def _dismiss(self) -> None:
        """Ask all workers to end their jobs, and wait up to GRACE seconds; units that they finish
        meanwhile are stored."""
        busy = {name for name, hand in self._hands.items() if hand.job is not None}
        for name in busy:
            self._hands[name].worker.stop()
        deadline = time.monotonic() + GRACE
        while busy and time.monotonic() < deadline:
            for worker, message in self._pool.listen(_LISTEN):
                if isinstance(message, Ended | Lost):
                    busy.discard(worker.name)
                elif isinstance(message, Done) and worker.name in self._hands:
                    self._take(self._hands[worker.name], message)

    def _report(self) -> None:
        if time.monotonic() - self._reported > _REPORT:
            self._reported = time.monotonic()
            self._work.workers([hand.state() for hand in self._hands.values()])
            if not self._hands:
                self._work.say("starting workers")
