"""The workers of a run as Ray's actors: one for each place on the cluster's nodes."""

from __future__ import annotations

import math
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import app
from app.jobs.cluster import actor, nodes
from app.jobs.cluster.nodes import Survey
from app.jobs.crew import Ended, Lost
from core.engine import preflight
from core.engine.executor import Job, Work
from core.engine.measurement import Unit, UnitPart
from core.engine.station import Hello, Message, Order, in_memory, plan_of
from core.errors import CheckpointError, RunError, TauscopeError, reason
from core.sizes import counted

CORES = 4
"""Cores of a worker on a host without GPUs."""

WAITS = 60.0
"""Seconds after which a worker that has no place yet is worth a warning."""

_LOOK = 2.0  # seconds between two looks at the cluster's nodes
_STARTS = 5  # workers that a place may have, one after another
_HELD = 32  # required results in the object store at once
_AT_ONCE = 64  # messages heard before the next look


@dataclass(slots=True)
class Place:
    """A place for a worker on a node. `cards`: the number of GPUs that it takes; `is_first`: was
    its node there when the run began? `is_open`: may it have a worker?"""

    node: str
    host: str
    cards: int
    cores: int
    is_first: bool = True
    starts: int = 0
    worker: _Worker | None = None
    is_open: bool = True


class _Worker:
    """The run's handle of an actor."""

    def __init__(self, name: str, place: Place, actor: Any, pool: Actors) -> None:
        self.name, self.host, self.device = name, place.host, "cpu"
        self.memory = 0
        self.place, self.actor, self._pool = place, actor, pool
        self.began = time.monotonic()
        self.placed: Any = actor.__ray_ready__.remote()
        self.opening: Any = actor.open.remote()
        self.messages: Any = None

    def give(self, job: Job) -> None:
        """Start a job; its messages come as a stream."""
        required = {key: self._pool.shared(key) for unit in job.units for key in unit.requires}
        self.messages = self.actor.compute.remote(
            [unit.key for unit in job.units], list(required), list(required.values()),
            ({}, 0.0) if job.loads else self._pool.laid_by(job.units),
        )  # fmt: skip

    def stop(self) -> None:
        """Ask it to end its job."""
        self.actor.stop.options(concurrency_group="asking").remote()

    def kill(self) -> None:
        """End its process at once."""
        import ray

        self._pool.forget(self)
        ray.kill(self.actor)


class Actors:
    """The pool of a run's actors: one for each place of the cluster's nodes."""

    def __init__(
        self,
        work: Work,
        analyses: tuple[str, ...],
        hashes: Mapping[tuple[str, int, int], str],
        surveys: Mapping[str, Survey],
        wanted: int | None,
        on_fault: Callable[[str], object],
    ) -> None:
        self._work, self._analyses, self._hashes = work, analyses, hashes
        self._surveys = dict(surveys)
        self._wanted, self._on_fault = wanted, on_fault
        self._plan = plan_of([unit.key for unit in work.units])
        self._places: dict[str, list[Place]] = {}
        self._shared: OrderedDict[str, Any] = OrderedDict()
        self._looked = -math.inf
        self._is_first_look = True
        self._on_cards = False
        self._described = ""
        self._largest: int | None = None
        self._count = 0
        self._ready: list[_Worker] = []

    def workers(self) -> Sequence[_Worker]:
        """The workers that have opened the study; starts one in each free place."""
        if time.monotonic() - self._looked > _LOOK:
            self._looked = time.monotonic()
            self._look()
        return self._ready

    def expects_more(self) -> bool:
        """Is a worker starting, or a place free?"""
        places = [place for of_node in self._places.values() for place in of_node]
        return any(place.worker is not None or _is_free(place) for place in places)

    def listen(self, seconds: float) -> Sequence[tuple[_Worker, Message | Ended | Lost]]:
        """The messages of all workers; admits workers that have opened the study."""
        import ray

        retired = [w for w in self._ready if w.messages is None and not w.place.is_open]
        heard: list[tuple[_Worker, Message | Ended | Lost]] = [
            (worker, self._finished(worker)) for worker in retired
        ]
        deadline = time.monotonic() + seconds
        while len(heard) < _AT_ONCE:
            waiting = {w.opening: w for w in self._opening()}
            waiting |= {w.messages: w for w in self._ready if w.messages is not None}
            left = max(0.0, deadline - time.monotonic()) if not heard else 0.0
            if not waiting:
                time.sleep(left)
                break
            ready, _ = ray.wait(list(waiting), num_returns=1, timeout=left, fetch_local=False)
            if not ready:
                break
            for each in ready:
                worker = waiting[each]
                if each is worker.opening:
                    if words := self._opened(worker):
                        heard.append((worker, words))
                    elif not heard:
                        return []  # the crew must first see the new worker
                else:
                    heard.append((worker, self._next(worker)))
        return heard

    def shared(self, key: str) -> Any:
        """The reference to a finished unit's results in the object store."""
        import ray

        if key not in self._shared:
            self._shared[key] = ray.put(in_memory(self._work.load(key)))
            while len(self._shared) > _HELD:
                self._shared.popitem(last=False)
        self._shared.move_to_end(key)
        return self._shared[key]

    def laid_by(self, units: Sequence[Unit]) -> tuple[Mapping[str, UnitPart], float]:
        """The stored parts of a slice, and their seconds."""
        return self._work.laid_by(units)

    def forget(self, worker: _Worker) -> None:
        """Free the place of a worker that has ended."""
        worker.messages = None
        if worker.place.worker is worker:
            worker.place.worker = None
        self._ready = [each for each in self._ready if each is not worker]

    def close(self) -> None:
        """End all actors."""
        for place in (place for of_node in self._places.values() for place in of_node):
            if place.worker is not None:
                place.worker.kill()

    def _opening(self) -> list[_Worker]:
        places = [place for of_node in self._places.values() for place in of_node]
        return [p.worker for p in places if p.worker is not None and p.worker.opening is not None]

    def _look(self) -> None:
        """Find new nodes and lost ones, and start a worker in each free place."""
        alive = {node["NodeID"]: node for node in nodes.present() if node["Alive"]}
        cards = any(node["Resources"].get("GPU") for node in alive.values())
        if cards and not self._on_cards and self._work.study.run.device in ("auto", "cuda"):
            self._on_cards = True
            self._retire()
        new = {name: node for name, node in alive.items() if name not in self._places}
        if self._on_cards:
            unknown = [node for name, node in new.items() if name not in self._surveys]
            self._surveys |= nodes.surveyed(unknown)
        for name, node in new.items():
            self._places[name] = self._places_of(name, node)
        self._is_first_look = False
        for name in self._places.keys() - alive.keys():
            del self._places[name]
        for place in (place for of_node in self._places.values() for place in of_node):
            if place.worker is None and _is_free(place):
                self._start(place)
            elif place.worker is not None:
                self._warn_of_waiting(place.worker)

    def _retire(self) -> None:
        """Close all places, which have no cards: a node with cards has joined. Workers finish their
        jobs."""
        for place in (place for of_node in self._places.values() for place in of_node):
            place.is_open = False
            if place.worker is not None and place.worker.opening is not None:
                place.worker.kill()

    def _finished(self, worker: _Worker) -> Ended | Lost:
        """The end of a worker's job; without an open place, also the worker's."""
        if worker.place.is_open:
            return Ended()
        worker.kill()
        return Lost("A node with cards has joined the cluster.")

    def _warn_of_waiting(self, worker: _Worker) -> None:
        """Warn once of a worker that has no place yet."""
        import ray

        if worker.placed is None or time.monotonic() - worker.began < WAITS:
            return
        placed, worker.placed = worker.placed, None
        if ray.wait([placed], timeout=0)[0]:
            return
        place = worker.place
        needs = {"GPU": place.cards, "CPU": place.cores}
        words = " and ".join(counted(count, name) for name, count in needs.items() if count)
        self._work.warn("workers", f"{worker.name} waits on {place.host} for {words}.")

    def _places_of(self, name: str, node: Mapping[str, Any]) -> list[Place]:
        """A node's places: by its GPUs if there are any in the cluster, else by its cores."""
        host, resources = node["NodeManagerHostname"], node["Resources"]
        cores, cards = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if self._on_cards:
            each = min(cards, self._cards_needed(name))
            count = min(cards // each, self._wanted or cards) if each else 0
        else:
            each, count = 0, (self._wanted or max(1, cores // CORES)) if cores else 0
        share = max(1, cores // count) if cores and count else 0
        return [Place(name, host, each, share, self._is_first_look) for _ in range(count)]

    def _cards_needed(self, node: str) -> int:
        """The cards of a worker on a node, for its smallest card."""
        card = self._surveys[node].smallest if node in self._surveys else 0
        if self._largest is None and card:
            self._largest = preflight.largest_bytes(self._work.subject, self._work.units)
        return preflight.cards_needed(self._work.study.run, self._largest or 0, card)

    def _start(self, place: Place) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._count += 1
        place.starts += 1
        order = Order(self._work.study, self._analyses, self._hashes, _threads(place.cores))
        started = ray.remote(concurrency_groups={"asking": 1})(actor.Actor).options(
            num_cpus=place.cores, num_gpus=place.cards, max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        ).remote(order, app.__version__)  # fmt: skip
        place.worker = _Worker(f"worker {self._count}", place, started, self)

    def _opened(self, worker: _Worker) -> Lost | None:
        """Admit a worker that has opened the study.

        Raises InputError if its host does not have the run's files, see `_refused`.
        """
        import ray

        ref, worker.opening = worker.opening, None
        try:
            hello, cards = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if not isinstance(cause, TauscopeError):
                cause = RunError(f"A worker on {worker.host} can't start: {reason(error.cause)}")
            return self._refused(worker, cause)
        except ray.exceptions.RayError as error:
            self.forget(worker)
            return Lost(_why(error))
        if hello.plan != self._plan:
            refused = CheckpointError(
                f"Host {hello.host} has other models, texts or tasks at the study's paths.",
                hint="All hosts must read the same files, with the same versions of the packages.",
            )
            return self._refused(worker, refused)
        if self._described != hello.device and not self._described.startswith("cuda"):
            self._described = hello.device
            self._work.describe({"device": hello.device, "card": hello.card})
        worker.host, worker.device = hello.host, _device(hello, cards)
        self._ready.append(worker)
        return None

    def _refused(self, worker: _Worker, error: TauscopeError) -> Lost:
        """Close the place of a worker that can't open the study. Raises the error for the first
        worker of a place that was there when the run began: nothing is lost by then."""
        place = worker.place
        if place.is_first and place.starts <= 1:
            raise error from None
        place.is_open = False
        worker.kill()
        return Lost(f"{error.title} {error.hint}".strip())

    def _next(self, worker: _Worker) -> Message | Ended | Lost:
        import ray

        try:
            message, worker.memory = ray.get(next(worker.messages))
        except StopIteration:
            worker.messages = None
            return self._finished(worker)
        except ray.exceptions.RayError as error:
            self.forget(worker)
            return Lost(_why(error))
        if traceback := getattr(message, "traceback", ""):
            self._on_fault(f"{worker.name} on {worker.host}: {traceback}")
        result: Message = message
        return result


def _is_free(place: Place) -> bool:
    """May a worker start in a place?"""
    return place.is_open and place.starts < _STARTS


def _threads(cores: int) -> int:
    """A worker's threads: its share of the cores, or the user's own number."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else max(1, cores)


def _device(hello: Hello, cards: Sequence[str]) -> str:
    if not cards:
        return "CPU"
    named = f" ({hello.card})" if hello.device.startswith("cuda") else ""
    return f"GPU {', '.join(cards)}{named}"


def _why(error: BaseException) -> str:
    """Ray's reason for the end of an actor, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
