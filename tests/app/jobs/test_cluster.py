"""Runs on Ray, over pretended nodes with pretended GPUs: equal results, and every kind of end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from sqlalchemy import select

import app
from app.jobs import worker
from app.jobs.cluster import actor, actors, connection, executor, nodes
from app.jobs.crew import Ended, Lost
from core.engine import runner
from core.engine.measurement import Unit, WorkerState
from core.engine.station import Hello, Order, plan_of
from core.errors import Cancelled, CheckpointError, RunError, StudyError
from core.study import intake
from core.study.study import Run, Study
from storage import runs
from storage.database import Database, open_database
from storage.schema import ArtifactRow, MeasurementRow, RunUnitRow, UnitRow, UnitWarningRow
from storage.sink import RunSink
from tests.app.jobs.trial_worker import Stations, TrialActor
from tests.conftest import MemorySink, tiny_config, tiny_tensors, tuned_from, write_model
from tests.killing import die, killed
from tests.patience import eventually

if find_spec("ray") is None:
    pytest.skip("Ray, the extra 'cluster', is not installed", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
_connected = connection.connected  # a fixture replaces it
ANALYSES = ["tuning_vectors", "vector_cosine", "directions"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes with two pretended GPUs each; this process is connected.

    All tests share it: starting Ray and connecting take most of their time.
    """
    with pytest.MonkeyPatch.context() as patched, connection.short_folder() as folder:
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("RAY_TMPDIR", str(folder))
        connection.guard()
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 2, "num_gpus": 2, "include_dashboard": False}
        simulated = Cluster(initialize_head=True, head_node_args=head)
        simulated.add_node(num_cpus=2, num_gpus=2)
        with connection.connected(simulated.address, None, Run()):
            patched.setattr(connection, "connected", lambda *_: contextlib.nullcontext())
            yield simulated
        simulated.shutdown()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("family")
    config, tensors = tiny_config(num_hidden_layers=4), tiny_tensors(layers=4)
    base = write_model(folder / "base", config, tensors)
    tuned = [
        str(write_model(folder / f"tuned{i}", config, tuned_from(tensors, i))) for i in range(2)
    ]
    return intake.of_models(str(base), tuned)


@pytest.fixture(scope="module")
def local(study: Study, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """All rows of the study, computed in this process."""
    with contextlib.closing(open_database(str(tmp_path_factory.mktemp("local") / "x.db"))) as db:
        run_id = runs.create_run(db, study, ANALYSES)
        worker.work(db, run_id)
        rows = _stored(db, run_id)
    assert len(rows) > 300
    return rows


Trial = Callable[..., Study]


@pytest.fixture
def trial(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trial:
    """A study whose units are made up, and computed by `TrialActor`s: of two models, the second
    half requires one unit each of the first."""

    def made(count: int = 8, **settings: Any) -> Study:
        units = [
            Unit(
                key=str(i), analysis="tuning_vectors", label=str(i), model="tuned0",
                loads="base" if i % 2 else "tuned0",
                requires=(str(i - count // 2),) if i >= count // 2 else (),
            )
            for i in range(count)
        ]  # fmt: skip
        monkeypatch.setattr(runner, "planned_units", lambda *_: units)
        monkeypatch.setattr(actor, "Actor", TrialActor)
        monkeypatch.setattr(nodes, "surveyed", lambda nodes: {})  # the cards are pretended
        plan = plan_of([unit.key for unit in units])
        (tmp_path / "trial.json").write_text(json.dumps({"plan": plan, **settings}))
        return study.model_copy(update={"name": str(tmp_path)})

    return made


def _values(count: int = 8) -> dict[str, float]:
    first = {i: float(i) for i in range(count // 2)}
    return {str(i): first.get(i, i + float(i - count // 2)) for i in range(count)}


def _run(study: Study, sink: MemorySink, **settings: Any) -> None:
    """A run with a worker on each node."""
    with executor.RayExecutor("this one", workers=1, **settings) as engine:
        runner.run(study, sink, ["tuning_vectors"], engine)


def _told(sink: MemorySink) -> dict[str, float | None]:
    return {key: result.measurements[0].value for key, (_, result) in sink.units.items()}


def _stored(db: Database, run_id: str) -> list[str]:
    """All rows of a run without ids, paths and times."""
    part = select(UnitRow).join(RunUnitRow).where(RunUnitRow.run_id == run_id).subquery()
    unit = [part.c.key, part.c.analysis, part.c.label, part.c.model, part.c.layer, part.c.state]
    measured = [c for c in MeasurementRow.__table__.columns if c.name not in ("id", "unit_id")]
    named = [c for c in ArtifactRow.__table__.columns if c.name not in ("id", "unit_id", "path")]
    with db.reading() as connection:
        return sorted(
            repr(tuple(row))
            for wanted in (
                select(*unit),
                select(part.c.key, *measured).join(
                    MeasurementRow, MeasurementRow.unit_id == part.c.id
                ),
                select(part.c.key, *named).join(ArtifactRow, ArtifactRow.unit_id == part.c.id),
                select(part.c.key, UnitWarningRow.subject, UnitWarningRow.message).join(
                    UnitWarningRow, UnitWarningRow.unit_id == part.c.id
                ),
            )
            for row in connection.execute(wanted)
        )


def test_a_killed_driver_is_resumed(
    local: list[str], trial: Trial, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    study = trial(12).model_copy(update={"run": Run(engine="ray", workers=1)})
    with contextlib.closing(open_database(str(tmp_path / "x.db"))) as db:
        run_id = runs.create_run(db, study, ANALYSES)

        def drive() -> None:
            """Drive a cluster of its own up to the fifth unit."""
            save, saved, me = RunSink.save, [], psutil.Process()

            def counted(sink: RunSink, *unit: Any) -> None:
                save(sink, *unit)
                saved.append(unit)
                if len(saved) == 5:
                    children = me.children(recursive=True)
                    pids = [p.pid for p in children if "TrialActor" in "".join(p.cmdline())]
                    (tmp_path / "pids").write_text(json.dumps(pids))
                    die()

            RunSink.save = counted  # type: ignore[method-assign, assignment]
            worker.work(open_database(db.url), run_id)

        assert killed(drive)
        pids = json.loads((tmp_path / "pids").read_text())
        assert len(pids) == 1
        assert eventually(lambda: not any(map(_lives, pids))), "its worker goes on"
        assert runs.find_run(db, run_id).status == "interrupted"
        runs.requeue(db, run_id)
        request.getfixturevalue("cluster")  # only now: a process with Ray's threads can't fork
        done = worker.work(db, run_id)
        assert (done.reused, done.done) == (5, 12)
        rows = runs.measurements(db, run_id, "tuning_vectors")
        assert {row.setting: row.value for row in rows} == _values(12)
        assert len(rows) == 12


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


class _Seat:
    """A worker's station among others in one process, in place of Ray's handle of an actor."""

    def __init__(self, process: Any, number: str, order: Order) -> None:
        def asked(method: Any, *given: Any) -> Any:
            return SimpleNamespace(remote=partial(method.remote, number, *given))

        self.__ray_ready__ = process.__ray_ready__
        self.open = asked(process.open, order, app.__version__)
        self.compute = asked(process.compute)
        self.stop = SimpleNamespace(options=lambda **_: asked(process.stop))


def test_one_two_and_four_workers_give_equal_databases(
    cluster: Any, study: Study, local: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All stations are in one process: starting one takes longer than all runs."""
    import ray

    process = ray.remote(max_concurrency=9)(Stations).options(num_cpus=0).remote()
    workers, end = actors.Actors.workers, ray.kill
    monkeypatch.setattr(ray, "kill", lambda process: None)
    for count in (4, 2, 1):
        seats: list[str] = []

        def start(
            pool: actors.Actors, place: actors.Place, seats: list[str] = seats, count: int = count
        ) -> None:
            if len(seats) < count:
                seats.append(f"{count} workers, number {len(seats)}")
                order = Order(pool._work.study, tuple(ANALYSES), pool._hashes, 1)
                seat = _Seat(process, seats[-1], order)
                place.worker = actors._Worker(seats[-1], place, seat, pool)

        def together(pool: actors.Actors, count: int = count) -> Any:
            ready = workers(pool)
            return ready if len(ready) == count else []

        monkeypatch.setattr(actors.Actors, "_start", start)
        monkeypatch.setattr(actors.Actors, "workers", together)
        with contextlib.closing(open_database(str(tmp_path / f"{count}.db"))) as db:
            placed = study.model_copy(update={"run": Run(engine="ray")})
            run_id = runs.create_run(db, placed, ANALYSES)
            worker.work(db, run_id)
            assert len(seats) == count
            assert _stored(db, run_id) == local
    end(process)


def test_units_that_raise_and_workers_that_die_or_hang_cost_attempts(
    cluster: Any, trial: Trial
) -> None:
    sink, faults = MemorySink(), list[str]()
    study = trial(12, raises={"0": 2, "1": 3}, dies={"2": 1}, hangs={"3": 1})
    words = "1 of 12 units failed, and 1 further was left out; all others are stored. The failure"
    with pytest.raises(RunError, match=f"{words}: ValueError: 1 has no result"):
        _run(study, sink, on_fault=faults.append, hangs=1.0)
    assert _told(sink) == {k: v for k, v in _values(12).items() if k not in ("1", "7")}
    assert [(f.key, f.attempts) for f in sink.failures.values()] == [("1", 3)]
    assert len(faults) == 5
    warned = " ".join(message for about, message in sink.warnings if about == "workers")
    assert "it showed no progress" in warned
    assert warned.count("ended:") == 2


def test_a_node_that_is_killed_amid_a_unit_loses_nothing(
    cluster: Any, trial: Trial, tmp_path: Path
) -> None:
    extra = cluster.add_node(num_cpus=2, num_gpus=2)
    seen: dict[str, WorkerState] = {}

    class Killing(MemorySink):
        def workers(self, states: Any) -> None:
            super().workers(states)
            busy = [state for state in states if state.label]
            seen.update({state.name: state for state in busy})
            if len(busy) == 3 and not (tmp_path / "go").exists():
                cluster.remove_node(extra, allow_graceful=False)
                (tmp_path / "go").touch()

    sink = Killing()
    _run(trial(12, holds=list(map(str, range(12)))), sink)
    assert _told(sink) == _values(12)
    ended = [message for about, message in sink.warnings if "ended:" in message]
    assert len(ended) == 1
    assert {(state.device, state.memory) for state in seen.values()} == {("GPU 0", 1000)}
    assert sink.states == []  # nobody is left


def test_a_worker_whose_cores_are_taken_is_named_and_cancelling_ends_units(
    cluster: Any, trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    class Taker:
        pass

    place = NodeAffinitySchedulingStrategy(cluster.head_node.node_id, soft=False)
    taker = ray.remote(Taker).options(num_cpus=1, scheduling_strategy=place).remote()
    ray.get(taker.__ray_ready__.remote())
    monkeypatch.setattr(actors, "WAITS", 0.5)
    monkeypatch.setattr(actors, "_LOOK", 0.1)

    class Stopped(MemorySink):
        def cancelled(self) -> bool:
            is_busy = any(state.label == "2" for state in self.states)
            return is_busy and any(words in message for _, message in self.warnings)

    sink, words = Stopped(), "for 1 GPU and 2 CPUs."
    with pytest.raises(Cancelled):
        _run(trial(holds=["2"]), sink)
    ray.kill(taker)
    assert (tmp_path / "stopped").exists()
    assert sink.saved
    assert "2" not in sink.saved


def test_a_host_that_cannot_open_the_study_ends_the_run_with_one_error(
    cluster: Any, trial: Trial
) -> None:
    study = trial(refuses="On host b: There is no directory /models/tuned1.")
    with pytest.raises(CheckpointError, match=r"^On host b: There is no directory \S+$"):
        _run(study, MemorySink())


class _Started:
    """A worker without a process. `messages`: the messages of its job; None while it waits."""

    host, device, memory = "host-a", "cpu", 0

    def __init__(self, place: actors.Place, pool: actors.Actors) -> None:
        self.name, self.place, self._pool = "worker 1", place, pool
        self.opening: Any = None
        self.placed: Any = None
        self.messages: Any = None

    def kill(self) -> None:
        self._pool.forget(self)  # type: ignore[arg-type]


@pytest.fixture
def pool(study: Study, monkeypatch: pytest.MonkeyPatch) -> actors.Actors:
    """The actors of a run whose workers have no processes."""

    def start(self: Any, place: actors.Place) -> None:
        place.worker = _Started(place, self)  # type: ignore[assignment]

    monkeypatch.setattr(actors.Actors, "_start", start)
    monkeypatch.setattr(actors, "_LOOK", 0.0)
    monkeypatch.setattr(nodes, "surveyed", lambda nodes: {})
    work: Any = SimpleNamespace(study=study, units=[], describe=lambda words: None)
    return actors.Actors(work, (), {}, {}, None, lambda text: None)


def _node(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "NodeManagerHostname": name, "Alive": True, "Resources": resources}


@pytest.mark.parametrize("busy", [False, True])
def test_workers_without_cards_end_once_a_node_with_cards_joins(
    pool: Any, monkeypatch: pytest.MonkeyPatch, busy: bool
) -> None:
    present = [_node("plain", CPU=4)]
    monkeypatch.setattr(nodes, "present", lambda: present)
    pool.workers()
    (first,) = (place.worker for place in pool._places["plain"])
    pool._ready.append(first)
    present.append(_node("cards", CPU=8, GPU=2))
    pool.workers()
    if busy:  # it finishes its job
        first.messages = iter(())
        ended = pool._next(first)
    else:
        ((worker, ended),) = pool.listen(0.0)
        assert worker is first
    assert ended == Lost("A node with cards has joined the cluster.")
    pool.workers()
    living = [p for places in pool._places.values() for p in places if p.worker]
    assert [(place.node, place.cards) for place in living] == [("cards", 1), ("cards", 1)]
    living[0].worker.messages = iter(())
    assert pool._next(living[0].worker) == Ended()


def test_workers_with_other_files_are_refused(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.get", lambda reference: reference)
    opened = _Started(actors.Place("n", "host-a", 0, 1), pool)
    hello: Any = Hello("trial", "cpu", "cpu", "another"), []
    opened.opening = hello
    with pytest.raises(CheckpointError, match="Host trial has other models, texts or tasks"):
        pool._opened(opened)
    # A host that joins later, and one whose files are gone later, end no run of hours.
    for late in ({"is_first": False}, {"starts": 2}):
        opened.place = actors.Place("n", "host-a", 0, 1, **late)
        opened.place.worker, opened.opening = opened, hello  # type: ignore[assignment]
        lost = pool._opened(opened)
        assert "Host trial has other models, texts or tasks" in lost.cause
        assert not opened.place.is_open
        assert opened.place.worker is None


def test_hosts_of_the_first_look_are_expected(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    present = [_node("early", CPU=4)]
    monkeypatch.setattr(nodes, "present", lambda: present)
    pool.workers()
    present.append(_node("late", CPU=4))
    pool.workers()
    places = {name: place for name, (place,) in pool._places.items()}
    assert (places["early"].is_first, places["late"].is_first) == (True, False)


def test_a_cluster_that_is_open_to_a_network_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    beyond = SimpleNamespace(getpeername=lambda: ("10.0.0.1", 6379))
    monkeypatch.setattr(
        socket, "create_connection", lambda *_, **__: contextlib.nullcontext(beyond)
    )
    with pytest.raises(StudyError, match="may be open to everyone on its network"):
        connection._check_address("node1:6379")


def test_an_address_that_nobody_answers_at_is_one_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RunError, match=f"Ray does not answer at {address}"):
            connection._check_address(address)


def test_a_ray_that_cannot_start_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(**settings: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", late)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(connection, "guard", lambda: None)
    with (
        pytest.raises(RunError, match=r"^Ray can't be started: The current node timed out"),
        _connected(None, 1, Run()),
    ):
        raise AssertionError("it has started")


def test_a_start_of_ray_that_takes_too_long_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    folders, left = list[str](), list[Any]()

    def late(**settings: Any) -> None:
        folders.append(settings["_temp_dir"])
        if len(folders) == 1:
            left.append(subprocess.Popen(["sleep", "600"]))
            raise Exception("The current node timed out during startup.")

    monkeypatch.setattr("ray.init", late)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    monkeypatch.setattr(connection, "guard", lambda: None)
    with _connected(None, 1, Run()):
        assert len(set(folders)) == 2
        assert not psutil.pid_exists(left[0].pid)
        left[0].wait()
    assert not any(Path(folder).exists() for folder in folders)


def test_one_card_of_several_cannot_be_asked_for(study: Study) -> None:
    asked = study.model_copy(update={"run": study.run.model_copy(update={"device": "cuda:1"})})
    with pytest.raises(StudyError, match="'cuda:1' is one card"):
        executor.RayExecutor().machine(asked)


def test_a_folder_of_a_run_in_another_container_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(connection, "_LONGEST", 1000)
    with connection.short_folder() as other:
        monkeypatch.setattr("psutil.pid_exists", lambda pid: False)
        with connection.short_folder():
            assert other.exists()
    assert not other.exists()


def test_an_executor_connects_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = []

    @contextlib.contextmanager
    def connected(*given: object) -> Iterator[None]:
        connections.append(given)
        yield

    monkeypatch.setattr(connection, "connected", connected)
    monkeypatch.setattr(nodes, "present", list)
    monkeypatch.setattr(nodes, "surveyed", lambda nodes: {})
    with executor.RayExecutor() as engine:
        for _ in range(2):  # a checkpoint was deleted meanwhile: the run begins anew
            assert engine.machine(study).device == "cpu"
    assert len(connections) == 1


def test_folders_of_dead_runs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(connection, "_LONGEST", 1000)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, living = (tmp_path / f"tau-ray-{pid}-x" for pid in (dead.pid, os.getpid()))
    old.mkdir()
    living.mkdir()
    with connection.short_folder() as folder:
        assert folder.parent == tmp_path
        assert not old.exists()
        assert living.exists()
    assert not folder.exists()
