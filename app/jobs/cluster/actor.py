"""A station in a process that Ray has started."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import psutil

import app
from app.jobs.environment import end_with_parent
from core.engine.measurement import UnitPart, UnitResult
from core.engine.station import Hello, Message, Order, Station, writable
from core.errors import RunError


class Actor:
    """A station in a process that Ray has started."""

    def __init__(self, order: Order, version: str) -> None:
        if version != app.__version__:
            raise RunError(
                f"Host {socket.gethostname()} has tauscope {app.__version__}, the run {version}.",
                hint="Install the same version on all hosts.",
            )
        end_with_parent()
        self._station = Station(order)
        self._process = psutil.Process()

    def open(self) -> tuple[Hello, list[str]]:
        """Open the study. Also return the numbers of the actor's cards."""
        import ray

        return self._station.open(), [str(each) for each in ray.get_gpu_ids()]

    def compute(
        self,
        keys: Sequence[str],
        required: Sequence[str],
        results: Sequence[Any],
        laid_by: tuple[Mapping[str, UnitPart], float],
    ) -> Iterator[tuple[Message, int]]:
        """The messages of a job, each with the resident bytes of the process."""
        import ray

        references = dict(zip(required, results, strict=True))

        def load(key: str) -> UnitResult:
            return writable(ray.get(references[key]))

        for message in self._station.compute(keys, load, laid_by):
            yield message, self._process.memory_info().rss

    def stop(self) -> None:
        """End the job in hand."""
        self._station.stop()
