"""Jobs: units that one process computes together, and the executors that compute them.

Owns the computation of a job, which is the same in every process. The runner owns the order, the
reductions and the saving. `LocalExecutor` computes in this process; others may spread jobs over
processes, which read the same files. Knows no sink.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Protocol

from core.engine import registry
from core.engine.attempts import Attempts, described, ends_run
from core.engine.doubts import Doubts
from core.engine.measurement import Doubt, Unit, UnitPart, UnitResult, WorkerState, ordered
from core.models.identity import IdentityMemory

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.study.study import Study
    from core.weights.parts import SliceParts

Finished = tuple[Unit, UnitResult, float]
"""A unit, its results, and the seconds that it took."""

TRIES = 1
"""Attempts at a unit in this process: the same error would come again."""


@dataclass(frozen=True, slots=True)
class Job:
    """Units that one process computes together, in this order.

    Units over weights are of one slice, and share its reading; readers of states are of one model
    and probe set, and share a forward pass. Other units are of one analysis and model.
    """

    units: tuple[Unit, ...]

    @property
    def loads(self) -> str:
        """The model that must be in memory; empty for a job over weights."""
        return self.units[0].loads

    @property
    def label(self) -> str:
        """The label of its first unit."""
        return self.units[0].label

    @property
    def is_whole(self) -> bool:
        """Are its units finished together, or not at all?"""
        return not self.loads or registry.get(self.units[0].analysis).reader is not None

    def by_analysis(self) -> list[Job]:
        """A job for each of its analyses."""
        return [Job(tuple(units)) for _, units in by_analysis(self.units)]


@dataclass(frozen=True, slots=True)
class Machine:
    """The kind of device that computes: torch's name of its type, and the name of a card."""

    device: str
    card: str


class Report(Protocol):
    """The receiver of a computation's messages; it also hands over required results."""

    def pause(self) -> None:
        """Called regularly; raises Cancelled if the computation is to stop."""

    def say(self, label: str) -> None:
        """Report the current step."""

    def warn(self, subject: str, message: str) -> None:
        """Report a doubt that belongs to no finished unit."""

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit."""

    def loaded(self, model: str, seconds: float, placement: Mapping[str, Any]) -> None:
        """Report that a model is in memory, and the modules on each device."""


class Work(Report, Protocol):
    """A run, as an executor sees it: open jobs, and the receiver of results."""

    study: Study
    subject: Subject
    units: Sequence[Unit]
    parts: SliceParts

    def ready(self, model: str = "") -> list[Job]:
        """The jobs whose units are neither finished nor given up, and whose requirements are
        finished.

        Jobs over weights come first, then those over models; or only those over `model`. A forward
        pass waits for the weights if any of its units does.
        """

    def save(self, finished: Sequence[Finished]) -> None:
        """Store finished units, all or nothing. The units of a slice come together."""

    def laid_by(self, units: Sequence[Unit]) -> tuple[Mapping[str, UnitPart], float]:
        """The stored parts of the slice of these units, by step, and their seconds."""

    def lay_by(
        self, units: Sequence[Unit], by_step: Mapping[str, UnitPart], seconds: float
    ) -> None:
        """Store parts of the slice of these units."""

    def fail(self, units: Sequence[Unit], cause: str, attempts: int) -> None:
        """Give up units that failed together, and all units that need them."""

    def leave_out(self, analysis: str, model: str) -> None:
        """Leave out the open units of an analysis over a model: they would fail alike. Without an
        analysis, all units over the model."""

    def seconds(self, unit: Unit) -> float:
        """The expected seconds of a unit."""

    def workers(self, states: Sequence[WorkerState]) -> None:
        """Report the processes that compute."""

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the run's provenance."""


class Executor(Protocol):
    """Where the jobs of a run are computed. `on_fault` receives tracebacks."""

    on_fault: Callable[[str], object]

    def machine(self, study: Study) -> Machine:
        """The device that will compute. Raises StudyError if the study's device is absent."""

    def remembering(self, memory: IdentityMemory) -> IdentityMemory:
        """A cache of file hashes for opening the study, which wraps the run's own."""

    def compute(self, work: Work, analyses: Sequence[str]) -> None:
        """Compute jobs until none is ready.

        `analyses`: the run's analyses, from which another process can plan the same units.
        """


class LocalExecutor:
    """Computes in this process, one model at a time. `on_fault` receives tracebacks."""

    def __init__(self, on_fault: Callable[[str], object] = lambda text: None) -> None:
        self.on_fault = on_fault

    def machine(self, study: Study) -> Machine:
        """This process's device."""
        from core.models import cards

        device = cards.wanted(study.run.device)
        return Machine(str(device), cards.kind(device))

    def remembering(self, memory: IdentityMemory) -> IdentityMemory:
        """The run's own cache."""
        return memory

    def compute(self, work: Work, analyses: Sequence[str]) -> None:
        """Compute slices of the weights, then visit models until no unit is ready."""
        computation = Computation(work.study, work.subject, work)
        attempts = Attempts(work, TRIES)
        while jobs := attempts.ready():
            visit = _Visit(jobs[0])
            try:
                if visit.job.loads:
                    visit.compute(computation, attempts)
                else:
                    attempts.save(computation.slice(visit.job.units, work.parts))
            except Exception as error:
                if ends_run(error) or not visit.left:
                    raise
                cause, traceback = described(error)
                if traceback:
                    self.on_fault(traceback)
                attempts.failed(visit.job, visit.left, cause, loads=visit.is_loaded)


class _Visit:
    """The jobs over one model, until none is ready or one fails: after an error, the model in
    memory may have changed weights."""

    def __init__(self, job: Job) -> None:
        self.job, self.left = job, list(job.units)
        self.is_loaded = not job.loads

    def compute(self, computation: Computation, attempts: Attempts) -> None:
        """Load the model and compute. `job` and `left`: the job in hand, and its open units."""
        with computation.visit(self.job.loads) as session:
            self.is_loaded = True
            while jobs := attempts.ready(self.job.loads):
                for job in jobs:
                    self.job, self.left = job, list(job.units)
                    for finished in computation.units(job, session):
                        attempts.save([finished])
                        self.left.remove(finished[0])


class Computation:
    """Computes jobs of an opened study in this process.

    Warnings that arise meanwhile become part of the finished units. A warning about a slice, a
    forward pass or the loading of a model becomes part of all its units.
    """

    def __init__(self, study: Study, subject: Subject, report: Report) -> None:
        self._study, self._subject, self._report = study, subject, report
        self._doubts = Doubts()
        self._of_model: list[Doubt] = []

    @cached_property
    def _device(self) -> Any:
        """The device of the linear algebra."""
        from core.models import cards

        return cards.wanted(self._study.run.device)

    def slice(self, units: Sequence[Unit], parts: SliceParts) -> list[Finished]:
        """Read one slice of the weights for these units. `parts`: known parts of the slice."""
        from core.weights.stream import read_slice

        report = self._report
        report.say(units[0].label)
        parts.begin(units)
        with parts.doubts.hearing("libraries", report.warn):
            readers = [
                registry.get(name).compute(group, self._study.parameters(name))
                for name, group in by_analysis(units)
            ]
            read_slice(
                self._subject.family, units[0].layer, readers,
                device=self._device, pause=report.pause, parts=parts,
            )  # fmt: skip
            seconds = parts.seconds / len(units)
            finished = [(u, found, seconds) for reader in readers for u, found in reader.results()]
            doubts = parts.warnings()
        return [(unit, doubted(result, doubts), took) for unit, result, took in finished]

    @contextmanager
    def visit(self, name: str) -> Iterator[Session]:
        """Load a model, and hold it inside the block."""
        from core.engine.session import Session
        from core.models import hooks, loading
        from core.models.opening import anatomy_of

        report, subject = self._report, self._subject
        report.pause()
        report.say(f"loading {name}")
        trusted = self._study.models.trust_remote_code
        started = time.monotonic()
        member = subject.models[name]
        base = name == "base"  # vectors are added to plain weights only
        with ExitStack() as held:
            with self._doubts.hearing(name, report.warn):
                loaded = loading.loaded(
                    member, self._study.run, trust_remote_code=trusted, merged=base
                )
                model = held.enter_context(loaded)
                self._of_model = self._doubts.take()
            report.loaded(name, time.monotonic() - started, model.placement.by_device())
            yield Session(
                subject, model, hooks.locate(model.module, anatomy_of(member.checkpoint).outlets),
                report.pause, report.say, partial(self._doubts.add, name), report.load,
            )  # fmt: skip

    def units(self, job: Job, session: Session) -> Iterator[Finished]:
        """The units of a job over a loaded model, one after another."""
        compute = self._read if job.is_whole else self._run
        with self._doubts.hearing(session.model.name, self._report.warn):
            for unit, result, seconds in compute(job.units, session):
                doubts = [*self._of_model, *self._doubts.take()]
                yield unit, doubted(result, doubts), seconds

    def _read(self, units: Sequence[Unit], session: Session) -> Iterator[Finished]:
        """Compute units of one probe set in one forward pass. Raises the first error of a reader
        once all readers have given their results."""
        from core.states import forward

        started, options = time.monotonic(), units[0].options
        readers = [
            registry.get(name).reader(group, self._study.parameters(name), session)  # type: ignore[misc]
            for name, group in by_analysis(units)
        ]
        probe = self._subject.probes[options["probe"]].first(options["documents"])
        label = f"states of {session.model.name} on {options['probe']}"
        forward.read(session, probe, readers, stored=options["stored"], label=label)
        shared = (time.monotonic() - started) / len(units)
        doubts, faults = self._doubts.take(), []
        for reader in readers:
            started = time.monotonic()
            try:
                for unit, result in reader.results():
                    took = shared + time.monotonic() - started
                    yield unit, doubted(result, doubts), took
                    started = time.monotonic()
            except Exception as error:
                if ends_run(error):
                    raise
                faults.append(error)  # the other readers have their results
        if faults:
            raise faults[0]

    def _run(self, units: Sequence[Unit], session: Session) -> Iterator[Finished]:
        started, analysis = time.monotonic(), units[0].analysis
        parameters = self._study.parameters(analysis)
        for unit, result in registry.get(analysis).compute(units, parameters, session):
            yield unit, result, time.monotonic() - started
            started = time.monotonic()


def doubted(result: UnitResult, doubts: Sequence[Doubt]) -> UnitResult:
    """The results with further warnings, each once."""
    return replace(result, warnings=list(dict.fromkeys([*doubts, *result.warnings])))


def jobs_of(units: Sequence[Unit]) -> list[Job]:
    """The jobs of ready units over one model: readers first, one job for each `stored`."""
    shared = [u for u in units if registry.get(u.analysis).reader]
    passes = [
        Job(tuple(u for u in shared if u.options["stored"] == stored))
        for stored in ordered(u.options["stored"] for u in shared)
    ]
    others = [u for u in units if not registry.get(u.analysis).reader]
    return passes + [Job(tuple(group)) for _, group in by_analysis(others)]


def by_analysis(units: Sequence[Unit]) -> Iterator[tuple[str, list[Unit]]]:
    """The units of each analysis, in the registry's order."""
    for name in registry.names():
        group = [u for u in units if u.analysis == name]
        if group:
            yield name, group
