"""An actor in place of the engine's, for units that are made up: it computes nothing, and fails as
a test asks. Imports no torch, since each worker is a process of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.jobs.environment import end_with_parent
from core.engine.measurement import Measurement, UnitResult
from core.engine.station import Done, Failed, Hello, Message, Order, Said, Station


class TrialActor:
    """Reads `trial.json` in the folder that is the study's name: `plan`; `seconds` of a unit;
    `raises`, `dies` and `hangs` map a unit's label to the number of times; `holds` are the units
    that wait for the file `go`."""

    def __init__(self, order: Order, version: str) -> None:
        end_with_parent()
        self._folder = Path(order.study.name)
        self._trial = json.loads((self._folder / "trial.json").read_text())
        self._stopped = False

    def open(self) -> tuple[Hello, list[str]]:
        import ray

        return Hello("trial", "cpu", "cpu", self._trial["plan"]), [
            str(each) for each in ray.get_gpu_ids()
        ]

    def compute(
        self, keys: Sequence[str], required: Sequence[str], results: Sequence[Any]
    ) -> Iterator[tuple[Message, int]]:
        import ray

        total = sum(ray.get(each).measurements[0].value for each in results)
        for key in keys:
            yield Said(key), 1000
            if self._is_due("dies", key):
                os._exit(1)
            while self._is_due("hangs", key):
                time.sleep(60)
            while key in self._trial.get("holds", ()) and not (self._folder / "go").exists():
                time.sleep(0.05)
            deadline = time.monotonic() + self._trial.get("seconds", 0.0)
            while not self._stopped and time.monotonic() < deadline:
                time.sleep(0.01)
            if self._stopped:
                (self._folder / "stopped").touch()
                yield Failed("The run was cancelled."), 1000
                return
            if self._is_due("raises", key):
                yield Failed(f"ValueError: {key} has no result", "Traceback of it"), 1000
                return
            value = int(key) + total
            row = Measurement(metric="norm", model="m", setting=key, value=value)
            yield Done(key, UnitResult([row]), 0.5), 1000

    def stop(self) -> None:
        self._stopped = True

    def _is_due(self, fault: str, key: str) -> bool:
        """Count an attempt at a unit, and say if the fault is to happen."""
        times = self._trial.get(fault, {}).get(key, 0)
        for attempt in range(times):
            try:
                (self._folder / f"{fault}-{key}-{attempt}").touch(exist_ok=False)
            except FileExistsError:
                continue
            return True
        return False


class Homeless(TrialActor):
    """A worker on a host that lacks the study's last model."""

    def __init__(self, order: Order, version: str) -> None:
        models = order.study.models
        name, model = list(models.tuned.items())[-1]
        gone = model.model_copy(update={"path": f"{model.path}/gone"})
        tuned = {**models.tuned, name: gone}
        study = order.study.model_copy(
            update={"models": models.model_copy(update={"tuned": tuned})}
        )
        self._station = Station(replace(order, study=study))

    def open(self) -> tuple[Hello, list[str]]:
        return self._station.open(), []
