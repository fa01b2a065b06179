"""A study opened beside its run, in another process: it computes jobs by the keys of their units.

Owns the messages from such a process, and the check that its files are the run's. Plans the units
itself, from the same files, so a job is a list of keys and no unit travels. Knows no transport.
"""

from __future__ import annotations

import hashlib
import queue
import socket
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from core import libraries
from core.engine import registry
from core.engine.attempts import described
from core.engine.executor import Computation, Job
from core.engine.measurement import Unit, UnitPart, UnitResult
from core.errors import Cancelled, CheckpointError, InputError, RunError
from core.models.identity import Identities, IdentityMemory, Stamp
from core.study.study import Study

if TYPE_CHECKING:
    from core.engine.session import Session

_TICK = 2.0  # seconds between two signs of life


@dataclass(frozen=True, slots=True)
class Order:
    """A run's study and analyses, the known hashes of its files, and the threads to compute with.

    `hashes` maps a path, the size in bytes and the time of modification in nanoseconds.
    """

    study: Study
    analyses: tuple[str, ...]
    hashes: Mapping[tuple[str, int, int], str]
    threads: int


@dataclass(frozen=True, slots=True)
class Hello:
    """A station that has opened its study. `plan`: the digest of its units' keys."""

    host: str
    device: str
    card: str
    plan: str


@dataclass(frozen=True, slots=True)
class Said:
    """The current step; empty as a sign of life."""

    label: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """A doubt that belongs to no finished unit."""

    subject: str
    message: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model is in memory."""

    model: str
    seconds: float
    placement: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Laid:
    """Finished parts of the slice in hand, by step, and the seconds of their work."""

    by_step: Mapping[str, UnitPart]
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """A finished unit."""

    key: str
    result: UnitResult
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The end of a job by an error. `traceback` is empty for a known one; `loads`: the model of the
    job could be loaded."""

    cause: str
    traceback: str = ""
    loads: bool = True


Message = Said | Warned | Loaded | Laid | Done | Failed


class Handed(IdentityMemory):
    """The run's hashes, for a process that opens the same files.

    A file with another time of modification is hashed again.
    """

    def __init__(self, hashes: Mapping[tuple[str, int, int], str]) -> None:
        self._hashes = hashes
        self._sizes = {path: size for path, size, _ in hashes}

    def recall(self, stamp: Stamp) -> str | None:
        """The run's hash of a file. Raises CheckpointError if the file has another size here."""
        size = self._sizes.get(stamp.path, stamp.size)
        if size != stamp.size:
            raise CheckpointError(
                f"{stamp.path} has {stamp.size} bytes, but {size} where the run was started.",
                hint="All hosts must read the same files.",
            )
        return self._hashes.get((stamp.path, stamp.size, stamp.modified))

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Does nothing: the run remembers."""


class Recorded(IdentityMemory):
    """A cache of hashes that also records them, to hand them over."""

    def __init__(self, memory: IdentityMemory) -> None:
        self._memory = memory
        self.hashes: dict[tuple[str, int, int], str] = {}

    def recall(self, stamp: Stamp) -> str | None:
        """A hash from the cache."""
        known = self._memory.recall(stamp)
        if known is not None:
            self._record(stamp, known)
        return known

    def remember(self, stamp: Stamp, identity: str) -> None:
        """Store a hash in the cache."""
        self._record(stamp, identity)
        self._memory.remember(stamp, identity)

    def _record(self, stamp: Stamp, identity: str) -> None:
        self.hashes[stamp.path, stamp.size, stamp.modified] = identity


class _Carried:
    """The parts of the slice in hand: known ones came with the job, new ones go to the run.

    Parts go once their matrix is done. A matrix that is measured in two processes shares no basis,
    since bases do not travel, so its last digits may differ.
    """

    def __init__(
        self, known: Mapping[str, UnitPart], seconds: float, tell: Callable[[Laid], object]
    ) -> None:
        self._known, self._seconds, self._tell = known, seconds, tell
        self._waiting: dict[str, UnitPart] = {}
        self._worked = 0.0

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        # Arrays in shared memory are read-only.
        copied = {
            step: replace(part, arrays={n: np.array(a) for n, a in part.arrays.items()})
            for step, part in self._known.items()
        }
        return copied, self._seconds

    def save_parts(self, slice: str, by_step: Mapping[str, UnitPart], seconds: float) -> None:
        from core.weights.parts import matrix_of

        self._waiting.update(by_step)
        self._worked += seconds
        last = matrix_of(next(reversed(self._waiting)))
        if done := {k: part for k, part in self._waiting.items() if matrix_of(k) != last}:
            self._tell(Laid(done, self._worked))
            self._waiting = {k: part for k, part in self._waiting.items() if k not in done}
            self._worked = 0.0

    def find_basis(self, key: str) -> None:
        """None: only the run's own process reads stored bases."""

    def keep_basis(self, key: str, arrays: Mapping[str, Any]) -> None:
        pass


class Station:
    """An opened study, and the model that it holds in memory.

    Everything is computed in one thread, while another passes messages on. `stop` may be called
    from anywhere: the job in hand ends at its next pause.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="station")
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._load: Callable[[str], UnitResult] = _missing
        self._laid_by: tuple[Mapping[str, UnitPart], float] = ({}, 0.0)
        self._held = ExitStack()
        self._model = ""
        self._session: Session | None = None
        self._computation: Computation
        self._units: Mapping[str, Unit]

    def open(self) -> Hello:
        """Open the study. Raises InputError, which names this host, if that fails."""
        return self._thread.submit(self._open).result()

    def compute(
        self,
        keys: Sequence[str],
        load: Callable[[str], UnitResult],
        laid_by: tuple[Mapping[str, UnitPart], float] = ({}, 0.0),
    ) -> Iterator[Message]:
        """The messages of a job, until its end. `load` gives the results that its units require;
        `laid_by`: known parts of its slice, and their seconds.

        A unit's results come as soon as they are computed. A slice's results all come at its end,
        its parts before.
        """
        self._load, self._laid_by = load, laid_by
        self._thread.submit(self._work, keys)
        while True:
            try:
                message = self._messages.get(timeout=_TICK)
            except queue.Empty:
                yield Said()
                continue
            if message is None:
                return
            yield message

    def stop(self) -> None:
        """End the job in hand, and all later ones."""
        self._stop.set()

    def pause(self) -> None:
        """Raise Cancelled after a call of `stop`."""
        if self._stop.is_set():
            raise Cancelled("The run was cancelled.")

    def say(self, label: str) -> None:
        """Report the current step."""
        self._messages.put(Said(label))

    def warn(self, subject: str, message: str) -> None:
        """Report a doubt that belongs to no finished unit."""
        self._messages.put(Warned(subject, message))

    def load(self, key: str) -> UnitResult:
        """The results of a required unit."""
        return self._load(key)

    def loaded(self, model: str, seconds: float, placement: Mapping[str, Any]) -> None:
        """Report a loaded model."""
        self._messages.put(Loaded(model, seconds, placement))

    def _open(self) -> Hello:
        from core.engine.runner import planned_units
        from core.engine.subject import open_subject
        from core.models import cards

        order = self._order
        cards.use_threads(order.threads)
        needs = [registry.get(name).needs for name in order.analyses]
        try:
            with libraries.heard(lambda words: None):
                subject = open_subject(order.study, needs, Identities(memory=Handed(order.hashes)))
                units = planned_units(subject, order.analyses)
        except InputError as error:
            title = f"On host {socket.gethostname()}: {error.title}"
            raise type(error)(title, hint=error.hint) from error
        self._computation = Computation(order.study, subject, self)
        self._units = {unit.key: unit for unit in units}
        device = cards.wanted(order.study.run.device)
        return Hello(socket.gethostname(), str(device), cards.kind(device), plan_of(self._units))

    def _work(self, keys: Sequence[str]) -> None:
        from core.models import cards

        job: Job | None = None
        try:
            with libraries.heard(partial(self.warn, "libraries")), cards.exact():
                job = Job(tuple(self._units[key] for key in keys))
                self._compute(job)
        except BaseException as error:
            loads = job is None or job.loads in ("", self._model)
            self._messages.put(Failed(*described(error), loads=loads))
            self._release()  # the error may have left changed weights in the model
        finally:
            self._messages.put(None)

    def _compute(self, job: Job) -> None:
        computation = self._computation
        if not job.loads:
            from core.weights.parts import SliceParts

            carried = _Carried(*self._laid_by, tell=self._messages.put)
            parts = SliceParts(carried)  # type: ignore[arg-type]
            for finished in computation.slice(job.units, parts):
                self._done(*finished)
            return
        if self._model != job.loads:
            self._release()
            self._session = self._held.enter_context(computation.visit(job.loads))
            self._model = job.loads
        assert self._session is not None
        self.pause()
        self.say(job.label)
        for finished in computation.units(job, self._session):
            self._done(*finished)

    def _done(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        self._messages.put(Done(unit.key, in_memory(result), seconds))

    def _release(self) -> None:
        """Drop the model in memory."""
        self._model, self._session = "", None
        with suppress(Exception):
            self._held.close()


def plan_of(keys: Collection[str]) -> str:
    """The digest of the keys of planned units."""
    return hashlib.sha256("\n".join(sorted(keys)).encode()).hexdigest()


def in_memory(result: UnitResult) -> UnitResult:
    """The same results, with all arrays in memory."""
    whole = [replace(each, arrays=dict(each.arrays)) for each in result.artifacts]
    return replace(result, artifacts=whole)


class _Copied(Mapping[str, Any]):
    """Arrays in shared memory, copied on access: no reader may write to the shared ones."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._arrays = arrays

    def __getitem__(self, name: str) -> Any:
        return np.array(self._arrays[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def writable(result: UnitResult) -> UnitResult:
    """The same results, with arrays that a reader may change."""
    apart = [replace(each, arrays=_Copied(each.arrays)) for each in result.artifacts]
    return replace(result, measurements=list(result.measurements), artifacts=apart)


def _missing(key: str) -> UnitResult:
    raise RunError(f"The results of unit {key} were not handed over.")
