"""Units are planned, reused, cancelled and resumed; every checkpoint is read once."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.engine import registry, runner
from core.engine.executor import LocalExecutor, Work
from core.engine.measurement import KEY_COLUMNS, Measurement, WorkerState
from core.errors import Cancelled, StudyError
from core.study import intake, study
from tests.conftest import WEIGHTS, MemorySink, tiny_config, tiny_tensors, tuned_from, write_model

ALL = WEIGHTS


@pytest.fixture
def family(tmp_path: Path) -> Callable[..., study.Study]:
    base = write_model(tmp_path / "base", tiny_config(), tiny_tensors())

    def of(count: int) -> study.Study:
        tuned = []
        for i in range(count):
            folder = tmp_path / f"tuned{i}"
            if not folder.exists():
                write_model(folder, tiny_config(), tuned_from(tiny_tensors(), i))
            tuned.append(str(folder))
        return intake.of_models(str(base), tuned)

    return of


def _results(sink: MemorySink) -> dict[str, list[Measurement]]:
    return {key: result.measurements for key, (_, result) in sink.units.items()}


def test_no_two_rows_share_all_coordinates(family: Any) -> None:
    sink = MemorySink()
    runner.run(family(3), sink, ALL)
    seen = [
        (unit.analysis, *(getattr(row, c) for c in KEY_COLUMNS[1:]))
        for unit, result in sink.units.values()
        for row in result.measurements
    ]
    assert len(seen) == len(set(seen)) > 1000


def test_several_workers_are_expected_to_end_sooner(
    family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(time=lambda: 0.0, monotonic=time.monotonic)
    monkeypatch.setattr(runner, "time", clock)

    class Together(LocalExecutor):
        def compute(self, work: Work, analyses: Sequence[str]) -> None:
            for count in (0, 4):
                work.workers([WorkerState(f"w{i}", "here", "cpu") for i in range(count)])
                work.say(f"{count} workers")
            super().compute(work, analyses)

    sink = MemorySink()
    runner.run(family(1), sink, ALL, Together())
    expected = {progress.label: progress.expected or 0.0 for progress in sink.said}
    assert expected["4 workers"] == pytest.approx(expected["0 workers"] / 4)
    assert expected["4 workers"] > 0


def test_every_metric_is_declared_and_every_declared_metric_is_measured(family: Any) -> None:
    sink = MemorySink()
    runner.run(family(2), sink, ALL)
    for name in ALL:
        measured = {
            row.metric
            for unit, result in sink.units.values()
            if unit.analysis == name
            for row in result.measurements
        }
        assert measured == {m.name for m in registry.get(name).metrics}


def test_a_finished_unit_is_not_computed_again(family: Any) -> None:
    sink = MemorySink()
    runner.run(family(2), sink, ALL)
    assert sink.last.done == sink.last.total == len(sink.saved)
    count = len(sink.saved)
    runner.run(family(2), sink, ALL)
    assert len(sink.saved) == count
    assert sink.last.reused == count


@pytest.mark.parametrize("stop_after", [1, 7, 15])
def test_cancelled_and_resumed_equals_unbroken(family: Any, stop_after: int) -> None:
    unbroken = MemorySink()
    runner.run(family(2), unbroken, ALL)
    sink = MemorySink(stop_after=stop_after)
    with pytest.raises(Cancelled):
        runner.run(family(2), sink, ALL)
    assert stop_after <= len(sink.saved) < len(unbroken.saved)
    sink.stop_after = None
    runner.run(family(2), sink, ALL)
    assert len(sink.saved) == len(set(sink.saved)) == len(unbroken.saved)
    assert _results(sink) == _results(unbroken)


def test_a_model_added_later_costs_its_own_units(family: Any) -> None:
    sink, fresh = MemorySink(), MemorySink()
    runner.run(family(2), sink, ALL)
    before = set(sink.saved)
    runner.run(family(3), sink, ALL)
    runner.run(family(3), fresh, ALL)
    added = [sink.units[key][0] for key in sink.saved if key not in before]
    assert added
    assert all("tuned2" in (unit.model, unit.reference) for unit in added)
    assert _results(sink) == _results(fresh)


def test_every_checkpoint_is_read_once(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """All analyses and all models share one pass: bytes read are the files' tensors, once, and the
    embedding, the final norm and the head once more for the tokens of directions."""
    from core.models import family as module

    opened = []
    original = module.open_family

    def keep(*given: Any) -> Any:
        opened.append(original(*given))
        return opened[-1]

    monkeypatch.setattr(module, "open_family", keep)
    runner.run(family(3), MemorySink(), ALL)
    for member in [opened[0].base, *opened[0].tuned.values()]:
        tensors = member.checkpoint.tensors
        once = sum(info.nbytes for info in tensors.values())
        ends = ["model.embed_tokens.weight", "lm_head.weight"]
        ends += ["model.norm.weight"] * (member is opened[0].base)
        assert member.checkpoint.bytes_read == once + sum(tensors[name].nbytes for name in ends)


def test_parameters_and_seeds_are_part_of_the_key(family: Any) -> None:
    sink = MemorySink()
    runner.run(family(1), sink, ["alignment"])
    count = len(sink.saved)
    changed = family(1).model_copy(update={"analyses": {"alignment": {"energy": 0.5}}})
    runner.run(changed, sink, ["alignment"])
    assert len(sink.saved) == 2 * count


def test_a_device_that_is_not_there(family: Any) -> None:
    of = family(1)
    wrong = of.model_copy(update={"run": study.Run(device="cuda:7")})
    with pytest.raises(StudyError, match="cuda:7"):
        runner.run(wrong, MemorySink(), ALL)


def test_cards_that_are_left_aside_are_told(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.cards.unused", lambda: "torch is built without CUDA")
    sink = MemorySink()
    runner.run(family(1), sink, ["vector_cosine"])
    warning = ("device", "The run computes on the CPU: torch is built without CUDA.")
    assert (warning in sink.warnings) is (family(1).run.device == "auto")
    asked = family(1).model_copy(update={"run": study.Run(device="cpu")})
    sink = MemorySink()
    runner.run(asked, sink, ["vector_cosine"])
    assert warning not in sink.warnings


def test_results_do_not_depend_on_what_else_is_asked(family: Any) -> None:
    together, alone = MemorySink(), MemorySink()
    runner.run(family(2), together, ALL)
    for name in ALL:
        runner.run(family(2), alone, [name])
    a, b = _results(together), _results(alone)
    assert a.keys() == b.keys()
    for key, rows in a.items():
        for one, other in zip(rows, b[key], strict=True):
            assert one.value == pytest.approx(other.value, rel=1e-12, abs=1e-15)


@given(st.sampled_from(ALL))
def test_declarations_are_complete(name: str) -> None:
    analysis = registry.get(name)
    metrics = {m.name for m in analysis.metrics}
    for view in analysis.views:
        assert set(view.measures) <= metrics
        assert set((view.excess or {}).values()) <= metrics
        assert set(view.excess or {}) <= set(view.measures)
    for metric in analysis.metrics:
        assert metric.title
        assert metric.description
