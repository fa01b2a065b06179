"""An executor that computes in a station, and a study of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.engine.executor import LocalExecutor, Work
from core.engine.measurement import UnitResult
from core.engine.station import Done, Failed, Order, Recorded, Station, in_memory, plan_of, writable
from core.models.identity import IdentityMemory
from core.study.intake import of_models
from core.study.study import Study
from tests.conftest import tiny_config, tiny_tensors, tuned_from, write_model


class Beside(LocalExecutor):
    """Computes every job in a station."""

    def __init__(self) -> None:
        super().__init__()
        self.plan = ""

    def remembering(self, memory: IdentityMemory) -> IdentityMemory:
        self.recorded = Recorded(memory)
        return self.recorded

    def compute(self, work: Work, analyses: Any) -> None:
        station = Station(Order(work.study, tuple(analyses), self.recorded.hashes, threads=1))
        hello = station.open()
        assert hello.plan == plan_of([unit.key for unit in work.units])
        units = {unit.key: unit for unit in work.units}

        def load(key: str) -> UnitResult:
            return writable(in_memory(work.load(key)))

        while jobs := work.ready():
            finished = []
            for message in station.compute([unit.key for unit in jobs[0].units], load):
                assert not isinstance(message, Failed), message
                if isinstance(message, Done):
                    finished.append((units[message.key], message.result, message.seconds))
            work.save(finished)


def study_of(folder: Path, count: int = 2) -> Study:
    """A base and tuned models of two layers."""
    base = write_model(folder / "base", tiny_config(), tiny_tensors())
    tuned = [
        str(write_model(folder / f"tuned{i}", tiny_config(), tuned_from(tiny_tensors(), i)))
        for i in range(count)
    ]
    return of_models(str(base), tuned)
