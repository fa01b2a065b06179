"""The Ray engine: a run's workers as actors over the GPUs of this host, or over a cluster's hosts.

The driver is the run's worker and the only process that writes to the database. Ray's objects pass
between our own processes only.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from app.jobs.cluster import connection, nodes
from app.jobs.cluster.actors import Actors
from app.jobs.cluster.nodes import Survey
from app.jobs.crew import HANGS, Crew
from core.engine.executor import Machine, Work
from core.engine.station import Recorded
from core.errors import StudyError
from core.models.identity import IdentityMemory
from core.study.study import Study


class RayExecutor:
    """Computes the jobs of a run on Ray. A context manager: it disconnects from Ray at its end.

    `address`: HOST:PORT of a running cluster; None starts one on this host, with `workers`
    processes. `hangs`: see `Crew`. `on_fault` receives tracebacks.
    """

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        *,
        hangs: float = HANGS,
        on_fault: Callable[[str], object] = lambda text: None,
    ) -> None:
        self._address, self._workers, self._hangs = address, workers, hangs
        self.on_fault = on_fault
        self._recorded: Recorded | None = None
        self._surveys: dict[str, Survey] = {}
        self._is_connected = False
        self._left = contextlib.ExitStack()

    def __enter__(self) -> RayExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self._left.close()

    def machine(self, study: Study) -> Machine:
        """Connect to Ray if it is not yet, and return the device of its workers. Raises StudyError,
        RunError."""
        if study.run.device.startswith("cuda:"):
            raise StudyError(
                f"run.device: '{study.run.device}' is one card, but the engine 'ray' chooses the "
                "cards itself.",
                hint="Set run.device = 'auto', and CUDA_VISIBLE_DEVICES to narrow the choice.",
            )
        if not self._is_connected:
            self._left.enter_context(connection.connected(self._address, self._workers, study.run))
            self._is_connected = True
        self._surveys = nodes.surveyed(nodes.present())
        card = next((name for each in self._surveys.values() for name, _ in each.cards), "")
        if card and study.run.device in ("auto", "cuda"):
            return Machine("cuda", card)
        return Machine("cpu", "cpu")

    def remembering(self, memory: IdentityMemory) -> IdentityMemory:
        """The run's cache, recorded for the workers."""
        self._recorded = Recorded(memory)
        return self._recorded

    def compute(self, work: Work, analyses: Sequence[str]) -> None:
        """Compute all jobs with the cluster's workers."""
        assert self._recorded is not None
        if not work.ready():
            return
        hashes = self._recorded.hashes
        with contextlib.closing(
            Actors(work, tuple(analyses), hashes, self._surveys, self._workers, self.on_fault)
        ) as pool:
            Crew(pool, work, hangs=self._hangs).compute()
