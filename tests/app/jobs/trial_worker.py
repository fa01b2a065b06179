"""An actor in place of the engine's, for units that are made up: it computes nothing, and fails as
a test asks. Imports no torch, since each worker is a process of its own."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.jobs.cluster.actor import Actor
from app.jobs.environment import end_with_parent
from core.engine.measurement import Measurement, UnitResult
from core.engine.station import Done, Failed, Hello, Message, Order, Said
from core.errors import CheckpointError


class TrialActor:
    """Reads `trial.json` in the folder that is the study's name: `plan`; `seconds` of a unit;
    `raises`, `dies` and `hangs` map a unit's label to the number of times; `holds` are the units
    that wait for the file `go`; `refuses`: it can't open the study."""

    def __init__(self, order: Order, version: str) -> None:
        end_with_parent()
        self._folder = Path(order.study.name)
        self._trial = json.loads((self._folder / "trial.json").read_text())
        self._stopped = False

    def open(self) -> tuple[Hello, list[str]]:
        import ray

        if words := self._trial.get("refuses"):
            raise CheckpointError(words)
        return Hello("trial", "cpu", "cpu", self._trial["plan"]), [
            str(each) for each in ray.get_gpu_ids()
        ]

    def compute(
        self, keys: Sequence[str], required: Sequence[str], results: Sequence[Any], laid_by: Any
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
                if self._stopped:
                    break
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


class Stations:
    """Several of the engine's own actors in one process, by name."""

    def __init__(self) -> None:
        self._actors: dict[str, Actor] = {}
        self._lock = threading.Lock()

    def open(self, name: str, order: Order, version: str) -> tuple[Hello, list[str]]:
        with self._lock:  # transformers can't be imported by two threads at once
            self._actors[name] = Actor(order, version)
            return self._actors[name].open()

    def compute(self, name: str, *job: Any) -> Iterator[tuple[Message, int]]:
        yield from self._actors[name].compute(*job)

    def stop(self, name: str) -> None:
        self._actors[name].stop()
