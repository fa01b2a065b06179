"""From a study to finished units: planning, reusing, ordering, reducing and saving them.

The only mechanism behind starting, resuming, and adding a model to a study: every unit has a
content key, and a finished unit is not computed again. An executor computes the units. Prints and
stores nothing itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from core import libraries
from core.engine import forms, registry
from core.engine.executor import Executor, Finished, Job, LocalExecutor, Machine, jobs_of
from core.engine.measurement import (
    Progress,
    ResultSink,
    Unit,
    UnitResult,
    WorkerState,
    ordered,
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

    Raises Cancelled if the sink is cancelled (finished units stay stored), InputError if a model or
    the probe set can't be used, StudyError for an unknown analysis or an absent device, and
    RunError at the end if the executor gave units up.
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
    work = _Work(study, sink, subject, planned_units(subject, analyses), machine)
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
        self, study: Study, sink: ResultSink, subject: Any, units: Sequence[Unit], machine: Machine
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
        self.given_up: set[str] = set()
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
        """The open jobs: slices of the weights; after the last of these, jobs over models, or over
        one model. Without a model reduces what can be reduced before."""
        if not model:
            if slices := self._slices():
                return slices
            self._reduce()
        names = (model,) if model else self.subject.models
        return [job for name in names for job in jobs_of(self._ready(name))]

    def save(self, finished: Sequence[Finished]) -> None:
        """Store finished units: of a slice all together."""
        if finished[0][0].loads:
            self.pause()
            for each in finished:
                self.sink.save(*each)
        else:
            self.sink.save_slice(finished)
        for unit, _, seconds in finished:
            self._saved(unit, seconds)

    def fail(self, unit: Unit, cause: str, attempts: int) -> None:
        """Give up a unit."""
        self.sink.failed(unit, cause, attempts)
        self.given_up.add(unit.key)

    def finish(self) -> None:
        """Report doubts that follow from the results, including reused ones. Raises RunError if a
        unit was given up."""
        for unit in self.units:
            if unit.requires and unit.key in self.done:
                state = forms.state(self.sink.load(unit.key).state, dict)
                for message in forms.state(state.get("warnings", []), [str]):
                    self.sink.warn(unit.model or unit.analysis, message)
        self.say("")
        missing = self._missing()
        if self.given_up:
            raise _of_failures(len(self.given_up), len(missing), len(self.units))
        if missing:
            raise AssertionError(f"no order of computation reaches unit {missing[0].label}")

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
        """Store a doubt."""
        self.sink.warn(subject, message)

    def describe(self, provenance: Mapping[str, Any]) -> None:
        """Add to the run's provenance."""
        self.sink.describe(provenance)

    def workers(self, states: Sequence[WorkerState]) -> None:
        """Store the states of the run's workers."""
        self.sink.workers(states)
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
        of_weights = [u for u in self._missing() if not u.requires and not u.loads]
        by_layer = {layer: [u for u in of_weights if u.layer == layer] for layer in self._layers}
        return [Job(tuple(units)) for units in by_layer.values() if units]

    @property
    def _layers(self) -> Sequence[int | None]:
        layers: Sequence[int | None] = self.subject.family.layers
        return layers

    def _reduce(self) -> None:
        while reducible := [u for u in self._missing() if not u.loads and self._open(u)]:
            for unit in reducible:
                self.say(unit.label)
                started = time.monotonic()
                required = [self.sink.load(key) for key in unit.requires]
                result = registry.get(unit.analysis).reduce(unit, required)
                seconds = time.monotonic() - started
                self.pause()
                self.sink.save(unit, result, seconds)
                self._saved(unit, seconds)

    def _missing(self) -> list[Unit]:
        return [u for u in self.units if u.key not in self.done and u.key not in self.given_up]

    def _ready(self, model: str) -> list[Unit]:
        return [u for u in self._missing() if u.loads == model and self._open(u)]

    def _open(self, unit: Unit) -> bool:
        return self.done.issuperset(unit.requires)

    def _saved(self, unit: Unit, seconds: float) -> None:
        self.done.add(unit.key)
        self.pacing.took(unit, seconds)
        self._foresee()
        self.say(unit.label)

    def _foresee(self) -> None:
        self.expected = time.time() + self.pacing.left / self.hands


def _of_failures(failed: int, blocked: int, total: int) -> RunError:
    """The end of a run with units that were given up, and further ones that need these."""
    needing = f", and {blocked} that {'needs' if blocked == 1 else 'need'} them" if blocked else ""
    return RunError(
        f"{failed} of {counted(total, 'unit')} failed{needing}; all others are stored.",
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
