"""Runs on Ray, over pretended nodes with pretended GPUs: equal results, and every kind of end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.jobs import cluster
from core.engine import runner
from core.engine.measurement import Unit, WorkerState
from core.engine.station import in_memory, plan_of
from core.errors import Cancelled, CheckpointError, RunError, StudyError
from core.study import intake
from core.study.study import Run, Study
from tests.app.jobs.trial_worker import Homeless, TrialActor
from tests.conftest import MemorySink, tiny_config, tiny_tensors, tuned_from, write_model

if find_spec("ray") is None:
    pytest.skip("Ray, the extra 'cluster', is not installed", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
ANALYSES = ("tuning_vectors", "vector_cosine", "directions")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head without GPUs, and two nodes with two pretended GPUs each."""
    with pytest.MonkeyPatch.context() as patched, cluster._short_folder() as folder:
        patched.setenv("PYTHONPATH", str(ROOT))
        patched.setenv("OMP_NUM_THREADS", "1")
        patched.setenv("RAY_TMPDIR", str(folder))
        cluster._guard()
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False}
        simulated = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            simulated.add_node(num_cpus=2, num_gpus=2)
        yield simulated
        simulated.shutdown()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("family")
    base = write_model(folder / "base", tiny_config(), tiny_tensors())
    tuned = [
        str(write_model(folder / f"tuned{i}", tiny_config(), tuned_from(tiny_tensors(), i)))
        for i in range(2)
    ]
    return intake.of_models(str(base), tuned)


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
        monkeypatch.setattr(cluster, "_Actor", TrialActor)
        monkeypatch.setattr(cluster, "_surveyed", lambda nodes: {})  # the cards are pretended
        plan = plan_of([unit.key for unit in units])
        (tmp_path / "trial.json").write_text(json.dumps({"plan": plan, **settings}))
        return study.model_copy(update={"name": str(tmp_path)})

    return made


def _values(count: int = 8) -> dict[str, float]:
    first = {i: float(i) for i in range(count // 2)}
    return {str(i): first.get(i, i + float(i - count // 2)) for i in range(count)}


def _run(study: Study, sink: MemorySink, nodes: Any, **settings: Any) -> None:
    with cluster.RayExecutor(nodes.address, **settings) as executor:
        runner.run(study, sink, ["tuning_vectors"], executor)


def _told(sink: MemorySink) -> dict[str, float | None]:
    return {key: result.measurements[0].value for key, (_, result) in sink.units.items()}


def test_two_workers_give_the_results_of_one_process(study: Study) -> None:
    one, two = MemorySink(), MemorySink()
    runner.run(study, one, ANALYSES)
    with cluster.RayExecutor(workers=2) as executor:
        runner.run(study, two, ANALYSES, executor)
    assert two.units.keys() == one.units.keys()
    for key, (_, result) in one.units.items():
        of_two, known = in_memory(two.units[key][1]), in_memory(result)
        assert of_two.measurements == known.measurements
        assert of_two.state == known.state
        for mine, other in zip(of_two.artifacts, known.artifacts, strict=True):
            assert {n: a.tobytes() for n, a in mine.arrays.items()} == {
                n: a.tobytes() for n, a in other.arrays.items()
            }


def test_units_over_models_go_to_every_gpu(nodes: Any, trial: Trial) -> None:
    seen: dict[str, WorkerState] = {}

    class Watched(MemorySink):
        def workers(self, states: Any) -> None:
            super().workers(states)
            seen.update({state.device: state for state in states if state.label})

    sink = Watched()
    _run(trial(16, seconds=0.4), sink, nodes)
    assert _told(sink) == _values(16)
    assert {state.memory for state in seen.values()} == {1000}
    assert sorted(seen) == ["GPU 0", "GPU 1"]  # of each node
    assert sink.states == []  # nobody is left


def test_a_unit_that_raises_is_given_up_after_three_attempts(nodes: Any, trial: Trial) -> None:
    sink, faults = MemorySink(), list[str]()
    study = trial(raises={"0": 2, "1": 3})
    with pytest.raises(RunError, match="1 of 8 units failed, and 1 that needs them; all others"):
        _run(study, sink, nodes, on_fault=faults.append)
    assert _told(sink) == {k: v for k, v in _values().items() if k not in ("1", "5")}
    assert [(f.key, f.attempts) for f in sink.failures.values()] == [("1", 3)]
    assert "1 has no result" in sink.failures["1"].cause
    assert len(faults) == 5
    _run(study, sink, nodes)  # the next run tries again
    assert _told(sink) == _values()
    assert not sink.failures


def test_a_worker_that_dies_or_hangs_costs_an_attempt(nodes: Any, trial: Trial) -> None:
    sink = MemorySink()
    _run(trial(dies={"2": 1}, hangs={"3": 1}), sink, nodes, hangs=1.5)
    assert _told(sink) == _values()
    words = " ".join(message for about, message in sink.warnings if about == "workers")
    assert "it showed no progress" in words
    assert words.count("ended:") == 2


def test_a_node_that_is_killed_amid_a_unit_loses_nothing(
    nodes: Any, trial: Trial, tmp_path: Path
) -> None:
    extra = nodes.add_node(num_cpus=2, num_gpus=2)

    class Killing(MemorySink):
        def workers(self, states: Any) -> None:
            super().workers(states)
            busy = sum(bool(state.label) for state in states)
            if busy == 6 and not (tmp_path / "go").exists():
                nodes.remove_node(extra, allow_graceful=False)
                (tmp_path / "go").touch()

    sink = Killing()
    _run(trial(24, holds=list(map(str, range(24)))), sink, nodes)
    assert _told(sink) == _values(24)
    ended = [message for about, message in sink.warnings if about == "workers"]
    assert len(ended) == 2


def test_cancelling_ends_running_units(nodes: Any, trial: Trial, tmp_path: Path) -> None:
    sink = MemorySink(stop_after=2)
    with pytest.raises(Cancelled):
        _run(trial(12, seconds=1.0), sink, nodes)
    assert (tmp_path / "stopped").exists()
    assert 2 <= len(sink.units) < 12


def test_workers_with_other_files_are_refused(nodes: Any, trial: Trial, tmp_path: Path) -> None:
    study = trial()
    (tmp_path / "trial.json").write_text(json.dumps({"plan": "another"}))
    with pytest.raises(CheckpointError, match="Host trial has other models, texts or tasks"):
        _run(study, MemorySink(), nodes)


def test_a_host_without_a_model_ends_the_run_with_one_error(
    nodes: Any, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_Actor", Homeless)
    with pytest.raises(CheckpointError, match=r"On host \S+: There is no .*tuned1") as caught:
        _run(study, MemorySink(), nodes)
    assert "Traceback" not in str(caught.value)


def test_a_cluster_that_is_open_to_a_network_is_refused(
    nodes: Any, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    with pytest.raises(StudyError, match="may be open to everyone on its network"):
        _run(study, MemorySink(), nodes)


def test_an_address_that_nobody_answers_at_is_one_error(study: Study) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            pytest.raises(RunError, match=f"Ray does not answer at {address}"),
            cluster.RayExecutor(address) as executor,
        ):
            executor.machine(study)


@pytest.mark.parametrize(
    ("memory", "max_memory", "needed"),
    [(10, None, 2), (14, None, 2), (15, None, 1), (3, None, 5), (0, None, 1),
     (10, {"0": "9GB", "1": "9GB", "2": "9GB", "cpu": "9GB"}, 3)],
)  # fmt: skip
def test_a_worker_takes_the_cards_of_the_largest_model(
    memory: int, max_memory: Any, needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models of 5 and 10 bytes: 0.7 of a card's bytes are for weights."""
    monkeypatch.setattr("core.engine.pacing.stored", lambda size: size)
    work: Any = SimpleNamespace(
        study=SimpleNamespace(run=Run(max_memory=max_memory)), units=[],
        subject=SimpleNamespace(models={"base": 5, "tuned": 10}),
    )  # fmt: skip
    survey = cluster._Survey((("large", 100), ("small", memory)) if memory else ())
    assert cluster._cards_needed(work, survey) == needed
    mixed = Unit(key="1", analysis="arithmetic", label="", loads="base")
    work.units = [mixed]  # a copy of the base beside it: 10 bytes too
    assert cluster._cards_needed(work, survey) == needed


def test_one_card_of_several_cannot_be_asked_for(study: Study) -> None:
    asked = study.model_copy(update={"run": study.run.model_copy(update={"device": "cuda:1"})})
    with pytest.raises(StudyError, match="'cuda:1' is one card"):
        cluster.RayExecutor().machine(asked)


def test_a_folder_of_a_run_in_another_container_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cluster, "_LONGEST", 1000)
    with cluster._short_folder() as other:
        monkeypatch.setattr("psutil.pid_exists", lambda pid: False)
        with cluster._short_folder():
            assert other.exists()
    assert not other.exists()


def test_an_executor_connects_once(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = []

    @contextlib.contextmanager
    def connected(*given: object) -> Iterator[None]:
        connections.append(given)
        yield

    monkeypatch.setattr(cluster, "_connected", connected)
    monkeypatch.setattr(cluster, "_nodes", list)
    monkeypatch.setattr(cluster, "_surveyed", lambda nodes: {})
    with cluster.RayExecutor() as executor:
        for _ in range(2):  # a checkpoint was deleted meanwhile: the run begins anew
            assert executor.machine(study).device == "cpu"
    assert len(connections) == 1


def test_folders_of_dead_runs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cluster, "_LONGEST", 1000)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, living = (tmp_path / f"tau-ray-{pid}-x" for pid in (dead.pid, os.getpid()))
    old.mkdir()
    living.mkdir()
    with cluster._short_folder() as folder:
        assert folder.parent == tmp_path
        assert not old.exists()
        assert living.exists()
    assert not folder.exists()
