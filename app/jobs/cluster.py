"""The Ray engine: a run's workers as actors over the GPUs of this host, or over a cluster's hosts.

Owns the connection to Ray, its security, and the places of actors. The driver is the run's worker
and the only process that writes to the database. Ray's objects pass between our own processes only:
a cluster of our own listens on the loopback device and asks for a token; a cluster at another
address must ask for a token too. Only this module imports Ray, and only when a run asks for it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import math
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import app
from app.jobs.crew import HANGS, Crew, Ended, Lost
from app.jobs.environment import child_environment, end_with_parent
from app.jobs.gauge import measure, open_nvml
from core.engine.executor import Job, Machine, Work
from core.engine.measurement import UnitResult
from core.engine.station import (
    Hello,
    Message,
    Order,
    Recorded,
    Station,
    in_memory,
    plan_of,
    writable,
)
from core.errors import CheckpointError, RunError, StudyError, TauscopeError, reason
from core.files import partial
from core.models.identity import IdentityMemory
from core.study.study import Run, Study

CORES = 4
"""Cores of a worker on a host without GPUs."""

ROOM = 0.7
"""Share of a card's memory that a model may take: the rest is for its activations."""

_SPARE = "tau-ray-"
_CONNECT = 5.0  # seconds that an address may take to answer
_SURVEY = 30.0  # seconds for the nodes to name their cards
_LONGEST = 18  # characters of the parent of a run's folder: paths of sockets have at most 107
_LOOK = 2.0  # seconds between two looks at the cluster's nodes
_STARTS = 5  # workers that a place may have, one after another
_HELD = 32  # required results in the object store at once
_AT_ONCE = 64  # messages heard before the next look


@dataclass(slots=True)
class _Place:
    """A place for a worker on a node. `cards`: the number of GPUs that it takes."""

    node: str
    host: str
    cards: int
    cores: int
    starts: int = 0
    worker: _Worker | None = None


@dataclass(frozen=True, slots=True)
class _Survey:
    """The cards of a node: the name and the bytes of each."""

    cards: tuple[tuple[str, int], ...]


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
        self._on_fault = on_fault
        self._recorded: Recorded | None = None
        self._surveys: dict[str, _Survey] = {}
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
            self._left.enter_context(_connected(self._address, self._workers, study.run))
            self._is_connected = True
        self._surveys = _surveyed(_nodes())
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
            _Actors(work, tuple(analyses), hashes, self._surveys, self._workers, self._on_fault)
        ) as pool:
            Crew(pool, work, hangs=self._hangs).compute()


class _Worker:
    """The run's handle of an actor."""

    def __init__(self, name: str, place: _Place, actor: Any, pool: _Actors) -> None:
        self.name, self.host, self.device = name, place.host, "cpu"
        self.memory = 0
        self.place, self.actor, self._pool = place, actor, pool
        self.opening: Any = actor.open.remote()
        self.messages: Any = None

    def give(self, job: Job) -> None:
        """Start a job; its messages come as a stream."""
        required = {key: self._pool.shared(key) for unit in job.units for key in unit.requires}
        keys = [unit.key for unit in job.units]
        self.messages = self.actor.compute.remote(keys, list(required), list(required.values()))

    def stop(self) -> None:
        """Ask it to end its job."""
        self.actor.stop.options(concurrency_group="asking").remote()

    def kill(self) -> None:
        """End its process at once."""
        import ray

        self._pool.forget(self)
        ray.kill(self.actor)


class _Actors:
    """The pool of a run's actors: one for each place of the cluster's nodes."""

    def __init__(
        self,
        work: Work,
        analyses: tuple[str, ...],
        hashes: Mapping[tuple[str, int, int], str],
        surveys: Mapping[str, _Survey],
        wanted: int | None,
        on_fault: Callable[[str], object],
    ) -> None:
        self._work, self._analyses, self._hashes = work, analyses, hashes
        self._surveys = dict(surveys)
        self._wanted, self._on_fault = wanted, on_fault
        self._plan = plan_of([unit.key for unit in work.units])
        self._places: dict[str, list[_Place]] = {}
        self._shared: OrderedDict[str, Any] = OrderedDict()
        self._looked = -math.inf
        self._on_cards = self._described = False
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
        return any(place.worker is not None or place.starts < _STARTS for place in places)

    def listen(self, seconds: float) -> Sequence[tuple[_Worker, Message | Ended | Lost]]:
        """The messages of all workers; admits workers that have opened the study."""
        import ray

        heard: list[tuple[_Worker, Message | Ended | Lost]] = []
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

        alive = {node["NodeID"]: node for node in _nodes() if node["Alive"]}
        cards = any(node["Resources"].get("GPU") for node in alive.values())
        self._on_cards |= cards and self._work.study.run.device in ("auto", "cuda")
        new = {name: node for name, node in alive.items() if name not in self._places}
        if self._on_cards:
            unknown = [node for name, node in new.items() if name not in self._surveys]
            self._surveys |= _surveyed(unknown)
        for name, node in new.items():
            self._places[name] = self._places_of(name, node)
        for name in self._places.keys() - alive.keys():
            del self._places[name]
        for place in (place for of_node in self._places.values() for place in of_node):
            if place.worker is None and place.starts < _STARTS:
                self._start(place)

    def _places_of(self, name: str, node: Mapping[str, Any]) -> list[_Place]:
        """A node's places: by its GPUs if there are any in the cluster, else by its cores."""
        host, resources = node["NodeManagerHostname"], node["Resources"]
        cores, cards = int(resources.get("CPU", 0)), int(resources.get("GPU", 0))
        if self._on_cards:
            each = min(cards, _cards_needed(self._work, self._surveys.get(name)))
            count = min(cards // each, self._wanted or cards) if each else 0
        else:
            each, count = 0, (self._wanted or max(1, cores // CORES)) if cores else 0
        share = max(1, cores // count) if cores and count else 0
        return [_Place(name, host, each, share) for _ in range(count)]

    def _start(self, place: _Place) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._count += 1
        place.starts += 1
        order = Order(self._work.study, self._analyses, self._hashes, _threads(place.cores))
        actor = ray.remote(concurrency_groups={"asking": 1})(_Actor).options(
            num_cpus=place.cores, num_gpus=place.cards, max_restarts=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
        ).remote(order, app.__version__)  # fmt: skip
        place.worker = _Worker(f"worker {self._count}", place, actor, self)
        self._work.say("starting workers")

    def _opened(self, worker: _Worker) -> Lost | None:
        """Admit a worker that has opened the study.

        Raises InputError if its host does not have the run's files.
        """
        import ray

        ref, worker.opening = worker.opening, None
        try:
            hello, cards = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, TauscopeError):
                raise cause from None
            raise RunError(
                f"A worker on {worker.host} can't start: {reason(error.cause)}"
            ) from None
        except ray.exceptions.RayError as error:
            self.forget(worker)
            return Lost(_why(error))
        if hello.plan != self._plan:
            raise CheckpointError(
                f"Host {hello.host} has other models, texts or tasks at the study's paths.",
                hint="All hosts must read the same files, with the same versions of the packages.",
            )
        if not self._described:
            self._described = True
            self._work.describe({"device": hello.device, "card": hello.card})
        worker.host, worker.device = hello.host, _device(hello, cards)
        self._ready.append(worker)
        return None

    def _next(self, worker: _Worker) -> Message | Ended | Lost:
        import ray

        try:
            message, worker.memory = ray.get(next(worker.messages))
        except StopIteration:
            worker.messages = None
            return Ended()
        except ray.exceptions.RayError as error:
            self.forget(worker)
            return Lost(_why(error))
        if traceback := getattr(message, "traceback", ""):
            self._on_fault(f"{worker.name} on {worker.host}: {traceback}")
        result: Message = message
        return result


class _Actor:
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
        self, keys: Sequence[str], required: Sequence[str], results: Sequence[Any]
    ) -> Iterator[tuple[Message, int]]:
        """The messages of a job, each with the resident bytes of the process."""
        import ray

        references = dict(zip(required, results, strict=True))

        def load(key: str) -> UnitResult:
            return writable(ray.get(references[key]))

        for message in self._station.compute(keys, load):
            yield message, self._process.memory_info().rss

    def stop(self) -> None:
        """End the job in hand."""
        self._station.stop()


@contextlib.contextmanager
def _connected(address: str | None, workers: int | None, run: Run) -> Iterator[None]:
    """Connect to a cluster. Without an address, start one on this host that ends with the block."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is None:
        _guard()
    else:
        _check_address(address)
    import ray  # reads the environment

    quiet: dict[str, Any] = {"configure_logging": False, "log_to_driver": False}
    with contextlib.ExitStack() as stack:
        if address is None:
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
            settings: dict[str, Any] = {
                "address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1",
                "_temp_dir": str(stack.enter_context(_short_folder())),
                "num_cpus": max(cores or os.cpu_count() or 1, workers or 1),
                "num_gpus": 0 if run.device == "cpu" else None,
            }  # fmt: skip
        else:
            settings = {"address": address}
        before = signal.getsignal(signal.SIGTERM)
        try:
            ray.init(**settings, **quiet)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise RunError(
                f"Ray can't be {'reached at ' + address if address else 'started'}: {reason(error)}"
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)  # Ray has replaced the handler
        stack.callback(ray.shutdown)
        with _silent(ray):
            yield


@contextlib.contextmanager
def _silent(ray: Any) -> Iterator[None]:
    """Keep Ray from printing inside the block: the run itself reports lost workers.

    Ray prints the ends of its processes to stderr whatever `log_to_driver` says.
    """
    printing, name = ray._private.worker, "print_worker_logs"
    before = getattr(printing, name, None)
    setattr(printing, name, lambda *_, **__: None)
    try:
        yield
    finally:
        setattr(printing, name, before)


def _guard() -> None:
    """Make our own cluster require a token that only this process and its children know."""
    os.environ["RAY_AUTH_MODE"] = "token"
    if not os.environ.keys() & {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if known := child_environment().get("PYTHONPATH"):
        os.environ["PYTHONPATH"] = known


def _check_address(address: str) -> None:
    """Raise RunError if nothing answers at an address, StudyError if it is open to a network."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT) as connection:
            is_loopback = ipaddress.ip_address(connection.getpeername()[0]).is_loopback
    except (OSError, OverflowError, ValueError) as error:
        raise RunError(
            f"Ray does not answer at {address}: {reason(error)}.",
            hint="Start it there with: ray start --head.",
        ) from None
    if not is_loopback and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        raise StudyError(
            f"The Ray cluster at {address} may be open to everyone on its network.",
            hint="Set RAY_AUTH_MODE=token here and where its nodes start: see docs/cluster.md.",
        )


@contextlib.contextmanager
def _short_folder() -> Iterator[Path]:
    """A folder for Ray's sockets, whose paths may have 107 bytes; removes folders of dead runs."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > _LONGEST:
        root = Path("/tmp")
    for old in root.glob(f"{_SPARE}*"):
        number = old.name.removeprefix(_SPARE).partition("-")[0]
        if number.isdigit() and not psutil.pid_exists(int(number)):
            with partial.holding(old) as is_free:  # a container sees no other one's processes
                if is_free:
                    shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{_SPARE}{os.getpid()}-", dir=root))
    try:
        with partial.holding(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _surveyed(nodes: Iterable[Mapping[str, Any]]) -> dict[str, _Survey]:
    """The cards of each node that has GPUs and answers, by the node's id."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    asked = {
        node["NodeID"]: ray.remote(_survey).options(
            num_cpus=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        ).remote()
        for node in nodes
        if node["Alive"] and node["Resources"].get("GPU")
    }  # fmt: skip
    if not asked:
        return {}
    ready, _ = ray.wait(list(asked.values()), num_returns=len(asked), timeout=_SURVEY)
    surveys = {}
    for node, reference in asked.items():
        if reference in ready:
            with contextlib.suppress(ray.exceptions.RayError):  # the node is lost
                surveys[node] = ray.get(reference)
    return surveys


def _nodes() -> list[dict[str, Any]]:
    import ray

    nodes: list[dict[str, Any]] = ray.nodes()
    return nodes


def _survey() -> _Survey:
    """The cards of this node: by NVML if its package is there, else by torch."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides the cards from a task without any
    known = tuple((card.name, card.total) for card in measure(open_nvml()).cards)
    if not known:
        from core.models import cards

        known = cards.listed()
    return _Survey(known)


def _cards_needed(work: Work, survey: _Survey | None) -> int:
    """The cards that the largest model takes; arithmetic holds a copy of the base beside it."""
    from core.engine.pacing import stored

    run: Run = work.study.run
    if run.max_memory is not None:
        return max(1, sum(name.isdigit() for name in run.max_memory))
    smallest = min((total for _, total in survey.cards), default=0) if survey else 0
    if not smallest:
        return 1
    sizes = {name: stored(member) for name, member in work.subject.models.items()}
    if any(unit.analysis == "arithmetic" for unit in work.units):
        sizes["base"] *= 2
    return max(1, math.ceil(max(sizes.values()) / (ROOM * smallest)))


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
