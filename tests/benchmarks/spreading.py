"""Runs on Ray: what a unit costs beyond its own work, and what a second worker gains.

The units are made up and wait, so the figures are of the engine and not of the processor.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest import mock

from core.engine import runner
from core.engine.measurement import Unit, UnitResult
from core.engine.station import plan_of
from core.study.intake import of_models
from tests.app.jobs.trial_worker import TrialActor
from tests.benchmarks.report import Row
from tests.conftest import MemorySink, tiny_config, tiny_tensors, tuned_from, write_model

SHORT, WAITING = 300, 20
"""Units that take no time, and units that wait for a second."""


def rows(folder: Path) -> Iterator[Row]:
    """Without Ray there are none."""
    if find_spec("ray") is None:
        return
    alone = _seconds(folder, SHORT, workers=1) / SHORT
    yield Row(
        "a unit on Ray, ms beyond its work", 1000 * alone, "≤", 20,
        f"mean of {SHORT} units that take no time",
    )  # fmt: skip
    one, two = (_seconds(folder, WAITING, workers=n, waits=1.0) for n in (1, 2))
    yield Row(
        "speed of 2 workers on Ray over 1", one / two, "≥", 1.9,
        f"{WAITING} units that wait for 1 s; {one:.1f} s and {two:.1f} s",
    )  # fmt: skip


class _Sink(MemorySink):
    """Lets the workers go once all are there, and takes the times."""

    def __init__(self, go: Path, workers: int) -> None:
        super().__init__()
        self._go, self._workers = go, workers
        self.begun = self.ended = 0.0

    def workers(self, states: Sequence[Any]) -> None:
        super().workers(states)
        if not self.begun and sum(bool(state.label) for state in states) == self._workers:
            self.begun = time.monotonic()
            self._go.touch()

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        super().save(unit, result, seconds)
        self.ended = time.monotonic()


def _seconds(folder: Path, count: int, *, workers: int, waits: float = 0.0) -> float:
    """The seconds of so many units, from the moment at which all workers have one."""
    from app.jobs.cluster import actor, executor

    place = folder / f"spread-{count}-{workers}"
    place.mkdir()
    models = [write_model(place / "base", tiny_config(), tiny_tensors())]
    models.append(write_model(place / "tuned", tiny_config(), tuned_from(tiny_tensors(), 1)))
    study = of_models(str(models[0]), [str(models[1])]).model_copy(update={"name": str(place)})
    units = [
        Unit(key=str(i), analysis="tuning_vectors", label=str(i), loads="base")
        for i in range(count)
    ]
    keys = [unit.key for unit in units]
    trial = {"plan": plan_of(keys), "seconds": waits, "holds": keys[:workers]}
    (place / "trial.json").write_text(json.dumps(trial))
    sink = _Sink(place / "go", workers)
    with (
        mock.patch.object(runner, "planned_units", return_value=units),
        mock.patch.object(actor, "Actor", TrialActor),
        executor.RayExecutor(workers=workers) as engine,
    ):
        runner.run(study, sink, ["tuning_vectors"], engine)
    return sink.ended - sink.begun
