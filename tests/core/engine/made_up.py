"""Work of made-up units, which records what an executor does with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.engine.executor import Job
from core.engine.measurement import Unit, UnitPart, WorkerState
from core.errors import Cancelled

SECONDS = {"long": 100.0}


def made_up(key: str, model: str = "base", analysis: str = "evaluation", **more: Any) -> Unit:
    """A unit."""
    return Unit(key=key, analysis=analysis, label=key, loads=model, **more)


class MadeUpWork:
    """A run without a sink. `asked` counts the calls of `pause`; the `limit`-th raises. Units over
    the weights are of one slice, if they are `together`."""

    study = subject = parts = None

    def __init__(self, *units: Unit, limit: int = 1000, together: bool = False) -> None:
        self.units, self.limit, self.asked, self.together = units, limit, 0, together
        self.saved: list[list[str]] = []
        self.failures: dict[str, tuple[str, int]] = {}
        self.left_out: list[str] = []
        self.warnings: list[str] = []
        self.loads: list[str] = []
        self.steps: list[str] = []
        self.known: dict[str, UnitPart] = {}
        self.states: Sequence[WorkerState] = ()

    def ready(self, model: str = "") -> list[Job]:
        known = {key for keys in self.saved for key in keys}
        gone = known | self.failures.keys() | set(self.left_out)
        groups: dict[tuple[str, str], list[Unit]] = {}
        for unit in self.units:
            if unit.key not in gone and known.issuperset(unit.requires):
                analysis = "" if self.together else unit.analysis
                if model in ("", unit.loads):
                    groups.setdefault((unit.loads, analysis), []).append(unit)
        return [Job(tuple(units)) for units in groups.values()]

    def save(self, finished: Any) -> None:
        self.saved.append([unit.key for unit, _, _ in finished])

    def laid_by(self, units: Any) -> Any:
        return self.known, 0.0

    def lay_by(self, units: Any, by_step: Any, seconds: float) -> None:
        self.known.update(by_step)

    def fail(self, units: Sequence[Unit], cause: str, attempts: int) -> None:
        self.failures.update({unit.key: (cause, attempts) for unit in units})

    def leave_out(self, analysis: str, model: str) -> None:
        self.left_out += [
            unit.key for job in self.ready() for unit in job.units
            if unit.loads == model and analysis in ("", unit.analysis)
        ]  # fmt: skip

    def seconds(self, unit: Unit) -> float:
        return SECONDS.get(unit.key, 1.0)

    def workers(self, states: Any) -> None:
        self.states = states

    def pause(self) -> None:
        self.asked += 1
        if self.asked >= self.limit:
            raise Cancelled("The run was cancelled.")

    def say(self, label: str) -> None:
        self.steps.append(label)

    def warn(self, subject: str, message: str) -> None:
        self.warnings.append(message)

    def loaded(self, model: str, seconds: float, placement: Any) -> None:
        self.loads.append(model)
