"""From a study to finished units: what is planned, reused, computed and reduced, in which order.

The only mechanism behind starting, resuming, and adding a model to a study: every unit has a
content key, and what is finished is not computed again. Prints and stores nothing itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core import registry
from core.errors import Cancelled, StudyError
from core.measurement import Progress, ResultSink, Unit, UnitResult, ordered
from core.study import Study


def run(study: Study, sink: ResultSink, analyses: Sequence[str]) -> None:
    """Compute what is not finished yet of these analyses of a study.

    Raises Cancelled when the sink says so (finished units are kept), InputError when a model
    can't be used, StudyError for an analysis that there is none of or a device that isn't there.
    """
    from core.family import open_family
    from core.weights import choose_device

    device = choose_device(study.run.device)
    _check_device(str(device))
    sink.progress(Progress(0, 0, label="opening the models"))
    family = open_family(study.models)
    sink.describe({**_describe(family), "device": str(device), "seed": study.run.seed})
    for model, message in family.warnings:
        sink.warn(model, message)
    plans = {name: _plan(study, name, family) for name in ordered(analyses)}
    units = [unit for plan in plans.values() for unit in plan]
    _Work(study, sink, units).compute(family, device)


class _Work:
    """The units of one run and how far they have come."""

    def __init__(self, study: Study, sink: ResultSink, units: Sequence[Unit]) -> None:
        self.study = study
        self.sink = sink
        self.units = units
        self.done = sink.finished([u.key for u in units])
        sink.adopt(self.done)
        self.reused = len(self.done)
        self._say("starting")

    def compute(self, family: Any, device: Any) -> None:
        from core.weights import read_slice

        for layer in family.layers:
            todo = [
                u for u in self.units
                if u.layer == layer and not u.requires and u.key not in self.done
            ]  # fmt: skip
            if not todo:
                continue
            self._say(todo[0].label)
            started = time.monotonic()
            readers = self._readers(todo)
            read_slice(family, layer, readers, device=device, pause=self._pause)
            seconds = (time.monotonic() - started) / len(todo)
            for reader in readers:
                for unit, result in reader.results():
                    self._save(unit, result, seconds)
        self._reduce()
        self._warn()
        self._say("")

    def _readers(self, todo: Sequence[Unit]) -> list[Any]:
        """A reader for each analysis that has units to do."""
        readers = []
        for name in ordered(u.analysis for u in todo):
            own = [u for u in todo if u.analysis == name]
            readers.append(registry.get(name).compute(own, self.study.parameters(name)))
        return readers

    def _reduce(self) -> None:
        for unit in self.units:
            if unit.requires and unit.key not in self.done:
                started = time.monotonic()
                required = [self.sink.load(key) for key in unit.requires]
                result = registry.get(unit.analysis).reduce(unit, required)
                self._save(unit, result, time.monotonic() - started)

    def _warn(self) -> None:
        """Pass on what the results themselves make doubtful, reused ones too."""
        for unit in self.units:
            if unit.requires:
                for message in self.sink.load(unit.key).state.get("warnings", ()):
                    self.sink.warn(unit.model, message)

    def _save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        self._pause()
        self.sink.save(unit, result, seconds)
        self.done.add(unit.key)
        self._say(unit.label)

    def _pause(self) -> None:
        if self.sink.cancelled():
            raise Cancelled("The run was cancelled; what is finished is kept.")

    def _say(self, label: str) -> None:
        self.sink.progress(Progress(len(self.done), len(self.units), self.reused, label))


def _plan(study: Study, name: str, family: Any) -> list[Unit]:
    """The units of an analysis; those with the same content once."""
    found = registry.get(name).plan(family, study.parameters(name))
    return list({unit.key: replace(unit) for unit in found}.values())


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise StudyError(
            f"run.device: '{device}' is not there.", hint="Use 'auto' or 'cpu'."
        ) from None


def _describe(family: Any) -> dict[str, Any]:
    """What is kept of the models: where they are, what identifies them, what they are."""
    members = {"base": family.base, **family.tuned}
    return {
        "architecture": family.anatomy.architecture,
        "layers": family.anatomy.layers,
        "models": {
            name: {
                "path": member.where,
                "folder": str(member.folder),
                "fingerprint": member.fingerprint,
                "parent": member.parent,
                "role": "control" if member.control else "base" if name == "base" else "tuned",
                "parameters": sum(
                    info.rows * info.columns
                    for info in member.checkpoint.tensors.values()
                    if info.dtype is not None
                ),
                "bytes": sum(info.nbytes for info in member.checkpoint.tensors.values()),
            }
            for name, member in members.items()
        },
    }
