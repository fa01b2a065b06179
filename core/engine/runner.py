"""From a study to finished units: planning, reusing, ordering, reducing and saving them.

The only mechanism behind starting, resuming, and adding a model to a study: every unit has a
content key, and a finished unit is not computed again. An executor computes the units. Prints and
stores nothing itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from core import libraries
from core.engine import registry
from core.engine.attempts import described, ends_run
from core.engine.doubts import Doubts
from core.engine.executor import (
    Executor,
    Finished,
    Job,
    LocalExecutor,
    Machine,
    doubted,
    jobs_of,
)
from core.engine.measurement import (
    Progress,
    ResultSink,
    Unit,
    UnitPart,
    UnitResult,
    WorkerState,
    ordered,
    slice_key,
)
from core.engine.pacing import Pacing, parameters, stored
from core.errors import Cancelled, RunError
from core.models.identity import Identities
from core.sizes import counted
from core.study.study import Study


def run(
    study: Study, sink: ResultSink, analyses: Sequence[str], executor: Executor | None = None
) -> None:
    """Compute the unfinished units of these analyses of a study, in this process or where the
    executor computes.

    A unit that fails is given up, and the run goes on with all units that do not need it. Raises
    Cancelled if the sink is cancelled (finished units stay stored), InputError if a model, a probe
    set or a task can't be opened, StudyError for an unknown analysis or an absent device, and
    RunError at the end if units were given up.
    """
    from core.models import cards

    with libraries.heard(partial(sink.warn, "libraries")), cards.exact():
        _run(study, sink, analyses, executor or LocalExecutor())


def _run(study: Study, sink: ResultSink, analyses: Sequence[str], executor: Executor) -> None:
    from core.engine.subject import open_subject
    from core.models import cards

    machine = executor.machine(study)
    if study.run.device == "auto" and machine.device == "cpu" and (why := cards.unused()):
        sink.warn("device", f"The run computes on the CPU: {why}.")
    sink.progress(Progress(0, 0, label="opening the models"))
    identities = Identities(
        memory=executor.remembering(sink),
        say=lambda words: sink.progress(Progress(0, 0, label=words)),
        pause=lambda: _pause(sink),
    )
    subject = open_subject(study, [registry.get(name).needs for name in analyses], identities)
    made_on = {"device": machine.device, "card": machine.card, "seed": study.run.seed}
    sink.describe({**_describe(subject), **made_on})
    for about, message in subject.notes:
        sink.warn(about, message)
    units = planned_units(subject, analyses)
    work = _Work(study, sink, subject, units, machine, executor.on_fault)
    executor.compute(work, analyses)
    work.finish()


def planned_units(subject: Any, analyses: Sequence[str]) -> list[Unit]:
    """The units of the analyses and all that they require, each content key once.

    Required analyses are planned too; only their required units remain.
    """
    planned: dict[str, Unit] = {}
    for name in ordered(analyses):
        for unit in _plan(subject, name):
            planned.setdefault(unit.key, unit)
    known = {u.key: u for units in subject.planned.values() for u in units}
    waiting = [key for unit in planned.values() for key in unit.requires]
    while waiting:
        unit = known[waiting.pop()]
        if unit.key not in planned:
            planned[unit.key] = unit
            waiting += unit.requires
    return list(planned.values())


class _Work:
    """The units of one run, their progress and their estimated end. An executor's `Work`."""

    def __init__(
        self,
        study: Study,
        sink: ResultSink,
        subject: Any,
        units: Sequence[Unit],
        machine: Machine,
        on_fault: Callable[[str], object],
    ) -> None:
        import torch

        from core.weights.parts import SliceParts

        self.study = study
        self.sink = sink
        self.subject = subject
        self.units = units
        self.parts = SliceParts(sink)
        self.done = sink.finished([u.key for u in units])
        sink.adopt(self.done)
        self.reused = len(self.done)
        self.failures: dict[str, str] = {}
        """The units that were given up, with the cause of each."""
        self.left_out: set[str] = set()
        """The units that were left out, since they would fail like these."""
        self._left = {unit.key: unit for unit in units if unit.key not in self.done}
        self._on_fault = on_fault
        self.hands = 1
        """The processes that compute at the same time."""
        self.placements: dict[str, Any] = {}
        self.pacing = Pacing(
            subject, units, self.done, torch.device(machine.device), sink.pace, machine.card
        )
        counts = Counter(unit.analysis for unit in units)
        sink.describe({"planned": dict(counts)})
        self._foresee()
        self.say("starting")

    def ready(self, model: str = "") -> list[Job]:
        """The open jobs: slices of the weights, then jobs over models; or those over one model.
        Without a model reduces what can be reduced before."""
        if not model:
            self._reduce()
        slices = self._slices()
        by_model: dict[str, list[Unit]] = {name: [] for name in self.subject.models}
        waiting = set()
        for unit in self._left.values():
            if unit.loads and self._open(unit):
                by_model[unit.loads].append(unit)
            elif unit.loads and slices:
                waiting.add(_pass(unit))
        names = (model,) if model else by_model
        of_models = [job for name in names for job in jobs_of(by_model[name])]
        of_models = [job for job in of_models if _pass(job.units[0]) not in waiting - {None}]
        return of_models if model else slices + of_models

    def save(self, finished: Sequence[Finished]) -> None:
        """Store finished units: of a slice all together."""
        if finished[0][0].loads:
            for each in finished:
                self.sink.save(*each)
        else:
            self.sink.save_slice(finished)
        for unit, _, seconds in finished:
            self._saved(unit, seconds)

    def laid_by(self, units: Sequence[Unit]) -> tuple[Mapping[str, UnitPart], float]:
        """The stored parts of the slice of these units, and their seconds."""
        return self.sink.parts(slice_key(units))

    def lay_by(
        self, units: Sequence[Unit], by_step: Mapping[str, UnitPart], seconds: float
    ) -> None:
        """Store parts of the slice of these units."""
        self.sink.save_parts(slice_key(units), by_step, seconds)

    def fail(self, units: Sequence[Unit], cause: str, attempts: int) -> None:
        """Give up units."""
        for unit in units:
            self.sink.failed(unit, cause, attempts)
            self.failures[unit.key] = cause
            self._left.pop(unit.key, None)
            self.left_out.discard(unit.key)  # a worker had it in hand
        self.pacing.dropped(units)
        self._foresee()

    def leave_out(self, analysis: str, model: str) -> None:
        """Leave out the open units of an analysis over a model, or all units over the model."""
        alike = [
            unit
            for unit in self._left.values()
            if unit.loads == model
            and analysis in ("", unit.analysis)
            and (model or not unit.requires)
        ]
        for unit in alike:
            del self._left[unit.key]
            self.left_out.add(unit.key)
        self.pacing.dropped(alike)
        self._foresee()

    def finish(self) -> None:
        """Report the end. Raises RunError if a unit was given up."""
        self.say("")
        if self.failures:
            left_out = len(self._left) + len(self.left_out)
            cause = next(iter(self.failures.values()))
            raise _of_failures(len(self.failures), left_out, len(self.units), cause)
        if self._left:
            first = next(iter(self._left.values()))
            raise AssertionError(f"no order of computation reaches unit {first.label}")

    def loaded(self, model: str, seconds: float, placement: Mapping[str, Any]) -> None:
        """Record a model in memory."""
        self.pacing.loaded(model, seconds)
        self._foresee()
        self.placements[model] = placement
        self.sink.describe({"placement": self.placements})

    def load(self, key: str) -> UnitResult:
        """The results of a finished unit."""
        return self.sink.load(key)

    def warn(self, subject: str, message: str) -> None:
        """Store a doubt that belongs to no finished unit."""
        self.sink.warn(subject, message)

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the run's provenance."""
        self.sink.describe(provenance)

    def workers(self, states: Sequence[WorkerState]) -> None:
        """Store the states of the run's workers."""
        self.sink.workers(states)
        if not states or self.hands != len(states):
            self.hands = max(1, len(states))
            self._foresee()

    def seconds(self, unit: Unit) -> float:
        """The expected seconds of a unit."""
        return self.pacing.expected(unit)

    def pause(self) -> None:
        """Raise Cancelled if the run is cancelled."""
        _pause(self.sink)

    def say(self, label: str) -> None:
        """Report the progress, and a step."""
        progress = Progress(
            len(self.done), len(self.units), self.reused, label, self.expected, self.pacing.rough
        )
        self.sink.progress(progress)

    def _slices(self) -> list[Job]:
        """A job for each slice of the weights with open units."""
        by_layer: dict[int | None, list[Unit]] = {layer: [] for layer in self._layers}
        for unit in self._left.values():
            if not unit.requires and not unit.loads:
                by_layer[unit.layer].append(unit)
        return [Job(tuple(units)) for units in by_layer.values() if units]

    @property
    def _layers(self) -> Sequence[int | None]:
        layers: Sequence[int | None] = self.subject.family.layers
        return layers

    def _reduce(self) -> None:
        while reducible := [
            u for u in self._left.values() if u.requires and not u.loads and self._open(u)
        ]:
            for unit in reducible:
                self.pause()
                self.say(unit.label)
                started, doubts = time.monotonic(), Doubts()
                try:
                    with doubts.hearing("libraries", self.warn):
                        required = [self.sink.load(key) for key in unit.requires]
                        result = registry.get(unit.analysis).reduce(unit, required)
                        result = doubted(result, doubts.take())
                except Exception as error:
                    if ends_run(error):
                        raise
                    cause, traceback = described(error)
                    if traceback:
                        self._on_fault(traceback)
                    self.fail([unit], cause, 1)
                    continue
                seconds = time.monotonic() - started
                self.sink.save(unit, result, seconds)
                self._saved(unit, seconds)

    def _open(self, unit: Unit) -> bool:
        return self.done.issuperset(unit.requires)

    def _saved(self, unit: Unit, seconds: float) -> None:
        self.done.add(unit.key)
        self._left.pop(unit.key, None)
        self.left_out.discard(unit.key)
        self.pacing.took(unit, seconds)
        self._foresee()
        self.say(unit.label)

    def _foresee(self) -> None:
        """Estimate the end: with several workers, no sooner than the longest unit allows."""
        left = self.pacing.left / self.hands
        if self.hands > 1:
            left = max(left, self.pacing.longest)
        self.expected = time.time() + left


def _pass(unit: Unit) -> tuple[str, object] | None:
    """The forward pass that a unit shares: its model and probe set; None without one."""
    return (unit.loads, unit.options["stored"]) if registry.get(unit.analysis).reader else None


def _of_failures(failed: int, left_out: int, total: int, cause: str) -> RunError:
    """The end of a run with units that were given up, and further ones that need these or would
    fail alike."""
    others = f", and {left_out} further {'was' if left_out == 1 else 'were'} left out"
    stored = "; all others are stored" if total > failed + left_out else ""
    return RunError(
        f"{failed} of {counted(total, 'unit')} failed{others if left_out else ''}{stored}. "
        f"{'The first' if failed > 1 else 'The'} failure: {cause}",
        hint="Start the run again to try them again.",
    )


def _pause(sink: ResultSink) -> None:
    if sink.cancelled():
        raise Cancelled("The run was cancelled; its finished results are stored.")


def _plan(subject: Any, name: str) -> list[Unit]:
    if name not in subject.planned:
        analysis = registry.get(name)
        for other in analysis.after:
            if subject.meets(registry.get(other).needs):
                _plan(subject, other)
        planned = analysis.plan(subject, subject.study.parameters(name))
        subject.planned[name] = [replace(unit) for unit in planned]
    planned_units: list[Unit] = subject.planned[name]
    return planned_units


def _describe(subject: Any) -> dict[str, Any]:
    """The provenance of models and texts: their locations, fingerprints and kinds."""
    family = subject.family
    provenance: dict[str, Any] = {
        "architecture": family.anatomy.architecture,
        "layers": family.anatomy.layers,
        "models": {
            name: {
                "path": member.where,
                "folder": str(member.folder),
                "fingerprint": member.fingerprint,
                "parent": member.parent,
                "role": "control" if member.control else "base" if name == "base" else "tuned",
                "parameters": parameters(member),
                "bytes": stored(member),
            }
            for name, member in subject.models.items()
        },
    }
    provenance["probes"] = {
        name: {
            "documents": len(probe.ids),
            "tokens": probe.tokens,
            "fingerprint": probe.fingerprint,
        }
        for name, probe in subject.probes.items()
    }
    if provenance["probes"]:
        provenance["probe"] = next(iter(provenance["probes"].values()))
    return provenance
