"""A study opened beside its run computes the same, from the same files or not at all."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from core.engine import registry, runner
from core.engine.measurement import UnitResult
from core.engine.station import (
    Done,
    Failed,
    Handed,
    Laid,
    Loaded,
    Order,
    Recorded,
    Station,
)
from core.errors import CheckpointError
from core.models.identity import Stamp
from core.weights import parts
from tests.conftest import WEIGHTS, MemorySink
from tests.core.engine.beside import Beside, study_of

FILE = Stamp("/m/model.safetensors", 1, 2, 100, 5, 6)


def test_a_station_computes_what_its_run_would(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    alone, beside = MemorySink(), MemorySink()
    runner.run(study, alone, WEIGHTS)
    runner.run(study, beside, WEIGHTS, Beside())
    assert beside.units.keys() == alone.units.keys()
    for key, (_, result) in alone.units.items():
        assert beside.units[key][1].measurements == result.measurements
        assert beside.units[key][1].state == result.state


def test_a_job_that_fails_says_why_and_the_next_one_runs(tmp_path: Path) -> None:
    study = study_of(tmp_path, 1)
    station = Station(Order(study, ("tuning_vectors",), {}, threads=1))
    station.open()
    (failed,) = [m for m in station.compute(["none"], _nothing) if isinstance(m, Failed)]
    assert failed.cause == "KeyError: there is no 'none'"
    assert "Traceback" in failed.traceback
    sink = MemorySink()
    runner.run(study, sink, ["tuning_vectors"])
    key = next(key for key, (unit, _) in sink.units.items() if unit.layer == 0)
    assert any(isinstance(m, Done) for m in station.compute([key], _nothing))


def test_a_slice_goes_on_from_the_parts_of_another_station(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between two measurements of one matrix, which is then measured anew."""
    study, whole, measured = study_of(tmp_path), MemorySink(), list[tuple[str, str, str]]()
    analyses = ("tuning_vectors", "alignment", "spectral_regime")
    runner.run(study, whole, analyses)
    keys = [k for k, (unit, _) in whole.units.items() if unit.layer == 0 and not unit.requires]
    monkeypatch.setattr(parts, "SHARE", 0.0)  # parts are stored at once

    def watch(name: str) -> None:
        kind: Any = type(registry.get(name).compute([], study.parameters(name)))
        measure = kind.measure

        def watched(self: Any, matrix: Any, update: Any) -> Any:
            measured.append((name, update.model, str(matrix.piece)))
            if len(measured) == 15:  # each matrix has six
                raise ValueError("killed")
            return measure(self, matrix, update)

        monkeypatch.setattr(kind, "measure", watched)

    for name in analyses:
        watch(name)
    known: dict[str, Any] = {}
    for expected in (Failed, Done):
        station = Station(Order(study, analyses, {}, threads=1))
        station.open()
        messages = list(station.compute(keys, _nothing, (dict(known), 1.0)))
        assert any(isinstance(message, expected) for message in messages)
        for message in messages:
            if isinstance(message, Laid):
                known.update(message.by_step)
    again = Counter(measured)
    assert {step[2] for step, times in again.items() if times > 1} == {measured[14][2]}
    assert len(again) == 7 * 6
    for message in messages:
        if isinstance(message, Done):
            assert message.result.measurements == whole.units[message.key][1].measurements
            assert message.seconds > 1.0 / len(keys)
    assert sum(isinstance(message, Done) for message in messages) == len(keys)


def test_a_stopped_station_ends_its_jobs(tmp_path: Path) -> None:
    study = study_of(tmp_path, 1)
    sink = MemorySink()
    runner.run(study, sink, ["tuning_vectors"])
    key = next(key for key, (unit, _) in sink.units.items() if unit.layer == 0)
    station = Station(Order(study, ("tuning_vectors",), {}, threads=1))
    station.open()
    station.stop()
    messages = list(station.compute([key], _nothing))
    assert Failed("The run was cancelled.") in messages
    assert not any(isinstance(m, Done | Loaded) for m in messages)


def test_a_host_without_a_model_is_named(tmp_path: Path) -> None:
    study = study_of(tmp_path, 1)
    (tmp_path / "tuned0" / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=rf"On host {os.uname().nodename}: .*tuned0"):
        Station(Order(study, ("tuning_vectors",), {}, threads=1)).open()


def test_known_hashes_are_taken_over_and_a_file_of_another_size_is_refused() -> None:
    recorded = Recorded(MemorySink())
    assert recorded.recall(FILE) is None
    recorded.remember(FILE, "ab")
    assert recorded.recall(FILE) == "ab"
    handed = Handed(recorded.hashes)
    elsewhere = Stamp(FILE.path, 7, 8, FILE.size, FILE.modified, 9)  # another host's numbers
    assert handed.recall(elsewhere) == "ab"
    assert handed.recall(Stamp("/other", 1, 2, 100, 5, 6)) is None
    assert handed.recall(Stamp(FILE.path, 1, 2, 100, 77, 6)) is None  # a copy: hashed again
    with pytest.raises(CheckpointError, match="has 99 bytes, but 100 where the run was started"):
        handed.recall(Stamp(FILE.path, 1, 2, 99, 5, 6))


def _nothing(key: str) -> UnitResult:
    raise AssertionError(key)
