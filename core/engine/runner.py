"""From a study to finished units: planning, reusing, computing and reducing them in order.

The only mechanism behind starting, resuming, and adding a model to a study: every unit has a
content key, and a finished unit is not computed again. Units over weights share one pass over the
files; units over a loaded model share the loading. Prints and stores nothing itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from core import libraries
from core.engine import forms, registry
from core.engine.measurement import Progress, ResultSink, Unit, UnitResult, ordered
from core.engine.pacing import Pacing, parameters, stored
from core.errors import Cancelled, StudyError
from core.models.identity import Identities
from core.study.study import Study
from core.weights.parts import SliceParts


def run(study: Study, sink: ResultSink, analyses: Sequence[str]) -> None:
    """Compute the unfinished units of these analyses of a study.

    Raises Cancelled if the sink is cancelled (finished units stay stored), InputError if a model or
    the probe set can't be used, StudyError for an unknown analysis or an absent device.
    """
    from core.models import cards

    with libraries.heard(partial(sink.warn, "libraries")), cards.exact():
        _run(study, sink, analyses)


def _run(study: Study, sink: ResultSink, analyses: Sequence[str]) -> None:
    from core.engine.subject import open_subject
    from core.models import cards

    device = device_of(study)
    if study.run.device == "auto" and (why := cards.unused()):
        sink.warn("device", f"The run computes on the CPU: {why}.")
    sink.progress(Progress(0, 0, label="opening the models"))
    identities = Identities(
        memory=sink,
        say=lambda words: sink.progress(Progress(0, 0, label=words)),
        pause=lambda: _pause(sink),
    )
    subject = open_subject(study, [registry.get(name).needs for name in analyses], identities)
    made_on = {"device": str(device), "card": cards.kind(device), "seed": study.run.seed}
    sink.describe({**_describe(subject), **made_on})
    for about, message in subject.notes:
        sink.warn(about, message)
    work = _Work(study, sink, subject, planned_units(subject, analyses), device)
    work.compute_weights()
    work.compute_models()
    work.finish()


def planned_units(subject: Any, analyses: Sequence[str]) -> list[Unit]:
    """The units of the analyses and all that they require, each content key once.

    Required analyses are planned too; only their required units remain.
    """
    found: dict[str, Unit] = {}
    for name in ordered(analyses):
        for unit in _plan(subject, name):
            found.setdefault(unit.key, unit)
    known = {u.key: u for units in subject.planned.values() for u in units}
    waiting = [key for unit in found.values() for key in unit.requires]
    while waiting:
        unit = known[waiting.pop()]
        if unit.key not in found:
            found[unit.key] = unit
            waiting += unit.requires
    return list(found.values())


def device_of(study: Study) -> Any:
    """The device of the linear algebra. Raises StudyError if the study's device is absent."""
    import torch

    from core.weights.stream import choose_device

    device = choose_device(study.run.device)
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise StudyError(
            f"run.device: '{device}' does not exist.", hint="Use 'auto' or 'cpu'."
        ) from None
    return device


class _Work:
    """The units of one run, their progress and their estimated end."""

    def __init__(
        self, study: Study, sink: ResultSink, subject: Any, units: Sequence[Unit], device: Any
    ) -> None:
        self.study = study
        self.sink = sink
        self.subject = subject
        self.units = units
        self.device = device
        self.done = sink.finished([u.key for u in units])
        sink.adopt(self.done)
        self.reused = len(self.done)
        self.placements: dict[str, Any] = {}
        self.pacing = Pacing(subject, units, self.done, device, sink.pace)
        counts = Counter(unit.analysis for unit in units)
        sink.describe({"planned": dict(counts)})
        self._foresee()
        self._say("starting")

    def compute_weights(self) -> None:
        """Compute all units over weights in one pass over the files, slice by slice."""
        from core.weights.stream import read_slice

        family, parts = self.subject.family, SliceParts(self.sink)
        for layer in family.layers:
            todo = [
                u for u in self._missing()
                if u.layer == layer and not u.requires and not u.loads
            ]  # fmt: skip
            if not todo:
                continue
            self._say(todo[0].label)
            parts.begin(todo)
            readers = [
                registry.get(name).compute(own, self.study.parameters(name))
                for name, own in _by_analysis(todo)
            ]
            read_slice(family, layer, readers, device=self.device, pause=self._pause, parts=parts)
            seconds = parts.seconds / len(todo)
            found = [(u, result, seconds) for reader in readers for u, result in reader.results()]
            self.sink.save_slice(found)
            for unit, _, _ in found:
                self._saved(unit, seconds)

    def compute_models(self) -> None:
        """Compute the units over models, one model at a time, and reductions as soon as
        possible."""
        self._reduce()
        while waiting := self._missing():
            model = next((u.loads for name in self.subject.models for u in self._ready(name)), None)
            if model is None:
                raise AssertionError(f"no order of computation reaches unit {waiting[0].label}")
            self._visit(model)
            self._reduce()

    def finish(self) -> None:
        """Report doubts that follow from the results, including reused ones."""
        for unit in self.units:
            if unit.requires:
                state = forms.state(self.sink.load(unit.key).state, dict)
                for message in forms.state(state.get("warnings", []), [str]):
                    self.sink.warn(unit.model or unit.analysis, message)
        self._say("")

    def _visit(self, name: str) -> None:
        """Load a model and compute all its ready units, and the units that these make ready."""
        from core.engine.session import Session
        from core.models import hooks, loading
        from core.models.opening import anatomy_of

        self._say(f"loading {name}")
        trusted, subject = self.study.models.trust_remote_code, self.subject
        started = time.monotonic()
        member = subject.models[name]
        base = name == "base"  # vectors are added to plain weights only
        with (
            libraries.heard(partial(self.sink.warn, name)),
            loading.loaded(member, self.study.run, trust_remote_code=trusted, merged=base) as model,
        ):
            self.pacing.loaded(name, time.monotonic() - started)
            self._foresee()
            self.placements[name] = model.placement.by_device()
            self.sink.describe({"placement": self.placements})
            session = Session(
                subject, model, hooks.locate(model.module, anatomy_of(member.checkpoint).outlets),
                self._pause, self._say, lambda words: self.sink.warn(name, words), self.sink.load,
            )  # fmt: skip
            while ready := self._ready(name):
                shared = [u for u in ready if registry.get(u.analysis).reader]
                for stored in ordered(u.options["stored"] for u in shared):
                    self._read([u for u in shared if u.options["stored"] == stored], session)
                for analysis, own in _by_analysis([u for u in ready if u not in shared]):
                    self._run(analysis, own, session)

    def _read(self, units: Sequence[Unit], session: Any) -> None:
        """Compute units of one probe set in one forward pass."""
        from core.states import forward

        started, at = time.monotonic(), units[0].options
        readers = [
            registry.get(name).reader(own, self.study.parameters(name), session)  # type: ignore[misc]
            for name, own in _by_analysis(units)
        ]
        probe = self.subject.probes[at["probe"]].first(at["documents"])
        label = f"states of {session.model.name} on {at['probe']}"
        forward.read(session, probe, readers, stored=at["stored"], label=label)
        shared = (time.monotonic() - started) / len(units)
        for reader in readers:
            started = time.monotonic()
            for unit, result in reader.results():
                self._save(unit, result, shared + time.monotonic() - started)
                started = time.monotonic()

    def _run(self, analysis: str, units: Sequence[Unit], session: Any) -> None:
        started = time.monotonic()
        parameters = self.study.parameters(analysis)
        for unit, result in registry.get(analysis).compute(units, parameters, session):
            self._save(unit, result, time.monotonic() - started)
            started = time.monotonic()

    def _reduce(self) -> None:
        while found := [u for u in self._missing() if not u.loads and self._open(u)]:
            for unit in found:
                self._say(unit.label)
                started = time.monotonic()
                required = [self.sink.load(key) for key in unit.requires]
                result = registry.get(unit.analysis).reduce(unit, required)
                self._save(unit, result, time.monotonic() - started)

    def _missing(self) -> list[Unit]:
        return [u for u in self.units if u.key not in self.done]

    def _ready(self, model: str) -> list[Unit]:
        return [u for u in self._missing() if u.loads == model and self._open(u)]

    def _open(self, unit: Unit) -> bool:
        return self.done.issuperset(unit.requires)

    def _save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        self._pause()
        self.sink.save(unit, result, seconds)
        self._saved(unit, seconds)

    def _saved(self, unit: Unit, seconds: float) -> None:
        self.done.add(unit.key)
        self.pacing.took(unit, seconds)
        self._foresee()
        self._say(unit.label)

    def _pause(self) -> None:
        _pause(self.sink)

    def _foresee(self) -> None:
        self.expected = time.time() + self.pacing.left

    def _say(self, label: str) -> None:
        progress = Progress(
            len(self.done), len(self.units), self.reused, label, self.expected, self.pacing.rough
        )
        self.sink.progress(progress)


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


def _by_analysis(units: Sequence[Unit]) -> Iterator[tuple[str, list[Unit]]]:
    """The units of each analysis, in the registry's order."""
    for name in registry.names():
        own = [u for u in units if u.analysis == name]
        if own:
            yield name, own


def _describe(subject: Any) -> dict[str, Any]:
    """The provenance of models and texts: their locations, fingerprints and kinds."""
    family = subject.family
    told: dict[str, Any] = {
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
    told["probes"] = {
        name: {
            "documents": len(probe.ids),
            "tokens": probe.tokens,
            "fingerprint": probe.fingerprint,
        }
        for name, probe in subject.probes.items()
    }
    if told["probes"]:
        told["probe"] = next(iter(told["probes"].values()))
    return told
