"""What is left is told in seconds: from rough rates at first, then from what units really took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.engine import runner
from core.engine.measurement import Unit
from core.engine.pacing import Pacing, visits
from core.engine.subject import open_subject
from core.study import intake, study
from tests.conftest import (
    WEIGHTS,
    MemorySink,
    tiny_config,
    tiny_tensors,
    tuned_from,
    write_model,
)

CPU = torch.device("cpu")
Planned = tuple[Any, list[Unit]]


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> study.Study:
    folder = tmp_path_factory.mktemp("family")
    base = write_model(folder / "base", tiny_config(), tiny_tensors())
    tuned = [
        str(write_model(folder / f"tuned{i}", tiny_config(), tuned_from(tiny_tensors(), i)))
        for i in range(2)
    ]
    return intake.of_models(str(base), tuned)


@pytest.fixture(scope="module")
def planned(wanted: study.Study) -> Planned:
    subject = open_subject(wanted, ["weights"])
    return subject, runner.planned_units(subject, WEIGHTS)


def _never(*_: Any) -> None:
    return None


def _unit(key: str, loads: str = "", requires: tuple[str, ...] = ()) -> Unit:
    return Unit(key=key, analysis="ablation", label=key, loads=loads, requires=requires)


def _weights(planned: Planned) -> dict[str, float]:
    """The rough seconds of each unit: those by which the time left falls when it is done."""
    subject, units = planned
    whole = Pacing(subject, units, (), CPU, _never).left
    return {
        unit.key: whole - Pacing(subject, units, {unit.key}, CPU, _never).left for unit in units
    }


def test_a_model_comes_again_when_what_it_waits_for_takes_another() -> None:
    units = [
        _unit("a", "base", ("c",)), _unit("b", "base"), _unit("c", "", ("d",)),
        _unit("d", "tuned", ("b",)), _unit("e", "tuned"),
    ]  # fmt: skip
    assert visits(units, set(), ("base", "tuned")) == ["base", "tuned", "base"]
    assert visits(units, {"c"}, ("base", "tuned")) == ["base", "tuned"]
    assert visits(units, set("abcde"), ("base", "tuned")) == []


def test_one_timed_unit_puts_its_whole_analysis_right(planned: Planned) -> None:
    """Whatever the rates are off by, where they are off by the same for all of its units."""
    subject, units = planned
    off = {name: 100.0 * (place + 1) for place, name in enumerate(WEIGHTS)}
    weights = _weights(planned)
    takes = {unit.key: off[unit.analysis] * weights[unit.key] for unit in units}
    pacing = Pacing(subject, units, (), CPU, _never)
    first = {unit.analysis: unit for unit in reversed(units)}
    assert pacing.rough
    for unit in first.values():
        pacing.took(unit, takes[unit.key])
    left = [unit for unit in units if unit not in first.values()]
    assert not pacing.rough
    assert pacing.left == pytest.approx(sum(takes[unit.key] for unit in left))


def test_a_dropped_unit_is_expected_no_more_nor_what_needs_it(planned: Planned) -> None:
    subject, units = planned
    pacing, weights = Pacing(subject, units, (), CPU, _never), _weights(planned)
    first = next(unit for unit in units if not unit.requires)
    gone = {first.key}
    for unit in units:  # required units come first
        if not gone.isdisjoint(unit.requires):
            gone.add(unit.key)
    assert len(gone) > 1
    pacing.dropped([first])
    left = sum(seconds for key, seconds in weights.items() if key not in gone)
    assert pacing.left == pytest.approx(left)
    pacing.dropped([first])
    assert pacing.left == pytest.approx(left), "it counts once"
    pacing.took(first, weights[first.key])  # a worker had it in hand
    assert pacing.left == pytest.approx(left), "it counts once"
    pacing.dropped(units)
    assert pacing.left == pacing.longest == 0
    assert not pacing.rough


@given(seconds=st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=100))
def test_nothing_is_left_when_all_is_done(planned: Planned, seconds: Sequence[float]) -> None:
    subject, units = planned
    pacing = Pacing(subject, units, (), CPU, _never)
    for place, unit in enumerate(units):
        assert pacing.left > 0
        pacing.took(unit, seconds[place % len(seconds)])
    assert pacing.left == pytest.approx(0, abs=1e-6 * max(seconds))
    assert not pacing.rough


def test_what_was_usual_counts_as_one_unit_of_today(planned: Planned) -> None:
    subject, units = planned
    asked = []

    def pace(analysis: str, parameters: int, device: str) -> float:
        asked.append((analysis, parameters, device))
        return 3.0

    pacing = Pacing(subject, units, (), CPU, pace)
    parameters = sum(tensor.numel() for tensor in tiny_tensors().values())
    assert sorted(asked) == sorted((name, parameters, "cpu") for name in WEIGHTS)
    assert not pacing.rough
    alignment_units = [unit for unit in units if unit.analysis == "alignment"]
    weights = _weights(planned)
    assert len({round(weights[unit.key], 9) for unit in alignment_units}) == 1, "they are alike"
    assert pacing.of("alignment") == pytest.approx(3.0 * len(alignment_units))
    pacing.took(alignment_units[0], 5.0)
    assert pacing.of("alignment") == pytest.approx(4.0 * (len(alignment_units) - 1))
    pacing.took(alignment_units[1], 10.0)
    assert pacing.of("alignment") == pytest.approx(6.0 * (len(alignment_units) - 2))


def test_a_finished_analysis_asks_for_no_pace(planned: Planned) -> None:
    subject, units = planned
    done = {unit.key for unit in units if unit.analysis == "alignment"}
    asked = []
    Pacing(subject, units, done, CPU, lambda *about: asked.append(about[0]))
    assert asked
    assert "alignment" not in asked


def test_loading_goes_by_what_loading_took() -> None:
    """A model counts by its bytes, each time that it is loaded."""

    def member(size: int) -> Any:
        info = SimpleNamespace(rows=size, columns=1, dtype=torch.float32, nbytes=4 * size)
        left_out = SimpleNamespace(dtype=None)
        return SimpleNamespace(checkpoint=SimpleNamespace(tensors={"w": info, "odd": left_out}))

    base, tuned = member(1000), member(3000)
    subject: Any = SimpleNamespace(
        models={"base": base, "tuned": tuned},
        family=SimpleNamespace(base=base),
        study=SimpleNamespace(parameters=_never),
    )
    units = [
        Unit(key=key, analysis="alignment", label=key, loads=loads, requires=requires)
        for key, loads, requires in (
            ("a", "base", ()), ("b", "tuned", ("a",)), ("c", "base", ("b",)),
        )
    ]  # fmt: skip
    pacing = Pacing(subject, units, (), CPU, _never)
    assert pacing.loads == ["base", "tuned", "base"]
    pacing.loaded("base", 2.0)
    assert pacing.loading == pytest.approx(6.0 + 2.0)
    pacing.loaded("tuned", 10.0)
    assert pacing.loading == pytest.approx(12 / 4 * 1.0)
    pacing.loaded("base", 1.0)
    assert pacing.loading == 0


def test_a_run_says_when_it_will_be_done(wanted: study.Study) -> None:
    sink = MemorySink()
    sink.paces = dict.fromkeys(WEIGHTS, 50.0)
    begun = time.time()
    runner.run(wanted, sink, WEIGHTS)
    opening, starting, *_ = sink.said
    assert opening.expected is None
    assert starting.expected is not None
    assert begun + 50 * starting.total <= starting.expected <= time.time() + 50 * starting.total
    assert not any(progress.rough for progress in sink.said)
    half = sink.said[len(sink.said) // 2]
    assert half.expected is not None
    assert half.expected < starting.expected, "units were quicker than usual"
    assert sink.last.expected is not None
    assert sink.last.expected <= time.time()


def test_a_run_without_a_past_is_rough_until_each_analysis_was_timed(wanted: study.Study) -> None:
    sink = MemorySink()
    runner.run(wanted, sink, WEIGHTS)
    assert sink.said[1].rough
    assert not sink.last.rough
