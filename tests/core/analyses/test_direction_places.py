"""The most extreme places of directions, from a study to its rows, in float64 from live models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine import runner
from core.figures import direction_passages
from core.figures.views import Catalogue, Choice, Tabulation
from core.states import sample
from core.states.extremes import Extremes
from core.texts.probe import ProbeSet
from tests.conftest import MemorySink
from tests.core import oracle
from tests.core.state_family import TEXTS, Oracle, probe_of, study_of, write_family


def _arrays(sink: MemorySink, model: str, reference: str, layer: int) -> Any:
    return next(
        artifact.arrays
        for _, result in sink.units.values()
        for artifact in result.artifacts
        if (artifact.name, artifact.model, artifact.reference, artifact.layer)
        == (direction_passages.ARTIFACT, model, reference, layer)
    )


def _places(probe: ProbeSet) -> Any:
    """All tokens but the first of each document."""
    return sample.chosen(probe, 10_000, 0)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_rows_and_passages_equal_brute_force(name: str, tmp_path: Path) -> None:
    base, tuned = write_family(tmp_path, name)
    study = study_of(tmp_path, "tuned0", "same")
    study = study.model_copy(update={"analyses": {"direction_places": {"random": 7}}})
    sink = MemorySink()
    runner.run(study, sink, ["direction_places"])
    probe = probe_of(tmp_path)
    places = _places(probe)
    before, after = oracle.modules(base), oracle.modules(tuned)
    tuned_states, its = (Oracle(module, name, probe, places).states for module in (tuned, base))
    for layer, module in ((0, "o"), (1, "down" if name == "llama" else "fc_out")):
        change = after[layer, module, None][0] - before[layer, module, None][0]
        u = np.linalg.svd(change, full_matrices=False)[0][:, 0]
        for states, model, reference, setting in (
            (tuned_states, "tuned0", "", "own"), (its, "base", "tuned0", "base"),
        ):  # fmt: skip
            unit = states[layer] / np.linalg.norm(states[layer], axis=1, keepdims=True)
            cosines = unit @ u
            coordinates = {"model": "tuned0", "layer": layer, "module": module, "setting": setting}
            row = sink.value("extreme_cosine", **coordinates)
            assert row.value == pytest.approx(np.abs(cosines).max(), rel=1e-4)
            assert row.n == len(places)
            drawn = np.random.default_rng(0).standard_normal((7, len(u)))
            largest = np.abs(unit @ (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).T).max(0)
            assert row.chance == pytest.approx(largest.mean(), rel=1e-4)
            assert row.chance_sd == pytest.approx(largest.std(ddof=1), rel=1e-3)
            arrays = _arrays(sink, model, reference, layer)
            high, low = np.flatnonzero(arrays["module"] == module)
            ends = sorted((arrays["peaks"][high, 0], -arrays["peaks"][low, 0]))
            assert ends == pytest.approx(sorted((cosines.max(), -cosines.min())), rel=1e-4)
            best = {d: np.abs(cosines[places[:, 0] == d]).max() for d in np.unique(places[:, 0])}
            shown = high if abs(arrays["peaks"][high, 0]) > abs(arrays["peaks"][low, 0]) else low
            assert arrays["documents"][shown, 0] == max(best, key=lambda d: best[d])
    assert not sink.rows("extreme_cosine", model="same"), "nothing was written there"
    _is_shown(sink)


def _is_shown(sink: MemorySink) -> None:
    """Both models' passages, both ends, with the chance level below them."""
    choice = Choice(measure="extreme_cosine", model="tuned0", layer=0, module="o")
    rows = [
        r for r in sink.rows("extreme_cosine", model="tuned0") if (r.layer, r.module) == (0, "o")
    ]

    def arrays(
        name: str, *, model: str = "", reference: str = "", layer: Any = None, **_: Any
    ) -> Any:
        return _arrays(sink, model, reference, layer)

    asked = Tabulation(choice=choice, catalogue=Catalogue(), rows=tuple(rows), arrays=arrays)
    made = direction_passages.of_direction(asked)
    assert [block.heading for block in made.blocks] == [
        f"Where the cosine is {end} in {whose}"
        for whose in ("base", "tuned0") for end in ("highest", "lowest")
    ]  # fmt: skip
    first = made.blocks[0].passages[0]
    value = float(first.beside.removeprefix("cosine "))
    assert any(t.value == pytest.approx(value, abs=1e-3) for t in first.tokens)
    assert first.tokens[-1].text.strip() in TEXTS[int(first.label.split()[1].strip(","))]
    assert "random directions" in made.note


def test_a_forgotten_batch_and_the_first_token_leave_no_trace() -> None:
    import torch

    probe = ProbeSet(("", ""), (np.array([1, 2, 3]), np.array([4])), (1, 1))
    (batch,) = probe.batches(2)
    follow = Extremes(np.array([[1, 0, 0, 0]], np.float32), random=3, seed=0)
    states = torch.zeros(2, 3, 4)
    states[0] = torch.tensor([[9.0, 0, 0, 0], [1, 1, 0, 0], [-1, 0, 0, 3]])
    follow.begin(batch)
    follow.see(100 * torch.ones(2, 3, 4))
    follow.begin(batch)
    follow.see(states)
    follow.commit()
    assert follow.places == 2
    assert follow.largest(0) == pytest.approx(0.5**0.5)
    passages, peaks = follow.passages([0])
    assert peaks[:, 0] == pytest.approx([0.5**0.5, -(0.1**0.5)])
    assert passages.documents[:, 0].tolist() == [0, 0]
    assert passages.values[0, 0, :3] == pytest.approx([1, 0.5**0.5, -(0.1**0.5)])
    alone = Extremes(np.array([[1.0, 0]], np.float32), random=3, seed=0)
    alone.begin(batch)
    alone.see(states)
    alone.commit()
    assert alone.largest(0) is None, "states of another width"
