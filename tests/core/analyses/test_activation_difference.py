"""Mean differences of states and their readouts, from a study to rows, against brute force."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.engine import runner
from core.figures import state_tables
from core.figures.views import Catalogue, Choice, Tabulation
from tests.conftest import MemorySink
from tests.core.state_family import probe_of, study_of, write_family

BOTH = ("representation", "activation_difference")


def _states(module: Any, probe: Any) -> list[list[Any]]:
    """Each layer's states [tokens, d] of each document, in float64."""
    copied = copy.deepcopy(module).double().eval()
    held: list[list[Any]] = [[], []]
    for number, block in enumerate(copied.model.layers):
        block.register_forward_hook(
            lambda m, g, r, states=held[number]: states.append(
                (r[0] if isinstance(r, tuple) else r)[0]
            )
        )
    with torch.no_grad():
        for ids in probe.ids:
            copied(input_ids=torch.from_numpy(ids)[None])
    return [[states.numpy() for states in each] for each in held]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: Any) -> tuple[Any, Any, Any, MemorySink]:
    folder: Path = tmp_path_factory.mktemp("family")
    base, tuned = write_family(folder, "llama")
    sink = MemorySink()
    runner.run(study_of(folder, "tuned0", "same"), sink, BOTH)
    return base, tuned, probe_of(folder), sink


def test_sizes_and_cosines_equal_brute_force(measured: Any) -> None:
    base, tuned, probe, sink = measured
    for layer, (b, t) in enumerate(zip(_states(base, probe), _states(tuned, probe), strict=True)):
        coordinates = {"model": "tuned0", "reference": "base", "layer": layer}
        pairs = list(zip(b, t, strict=True))
        whole = np.mean([y.mean(0) - x.mean(0) for x, y in pairs], axis=0)
        norm = np.mean([np.linalg.norm(x, axis=1).mean() for x, _ in pairs])
        row = sink.value("relative_size", setting="all tokens", **coordinates)
        assert row.value == pytest.approx(np.linalg.norm(whole) / norm, rel=1e-3)
        assert row.low < row.value < row.high
        assert row.n == len(b)
        for p in range(5):
            long = [(x, y) for x, y in pairs if len(x) > p]
            mean = np.mean([y[p] - x[p] for x, y in long], axis=0)
            norm = np.mean([np.linalg.norm(x[p]) for x, _ in long])
            at_position = {**coordinates, "setting": f"position {p + 1}"}
            row = sink.value("relative_size", **at_position)
            assert row.value == pytest.approx(np.linalg.norm(mean) / norm, rel=1e-3)
            assert row.n == len(long)
            cosine = mean @ whole / np.linalg.norm(mean) / np.linalg.norm(whole)
            assert sink.value("cosine", **at_position).value == pytest.approx(cosine, abs=1e-3)


def test_the_base_itself_differs_by_nothing(measured: Any) -> None:
    rows = measured[3].rows("relative_size", model="same")
    assert len(rows) == 12
    assert {row.value for row in rows} == {0.0}
    assert {row.value for row in measured[3].rows("half_cosine", model="same")} == {None}


def test_the_table_reads_the_difference_out_by_norm_and_head(measured: Any) -> None:
    base, tuned, probe, sink = measured
    (result,) = (r for u, r in sink.units.values() if u.analysis == BOTH[1] and u.model == "tuned0")
    b, t = _states(base, probe)[1], _states(tuned, probe)[1]
    mean = np.mean([y[2] - x[2] for x, y in zip(b, t, strict=True) if len(x) > 2], axis=0)
    with torch.no_grad():
        normed = tuned.double().model.norm(torch.from_numpy(mean / np.sqrt((mean**2).mean())))
        logits = tuned.lm_head(normed).numpy()
    arrays = result.arrays("readout", 1)
    np.testing.assert_allclose(arrays["products"][2, 0], np.sort(logits)[::-1][:10], rtol=2e-3)
    np.testing.assert_allclose(arrays["products"][2, 1], np.sort(logits)[:10], rtol=2e-3)
    choice = Choice(measure="relative_size", model="tuned0", setting="position 3")
    rows = tuple(r for r in result.measurements if r.setting == "position 3")

    def read(name: str, *, layer: int | None = None, **_: Any) -> Any:
        return result.arrays(name, layer)

    asked = Tabulation(choice=choice, catalogue=Catalogue(), rows=rows, arrays=read)
    table = state_tables.readout(asked)
    assert [row[0] for row in table.rows] == ["0", "1"]
    first = str(arrays["vocabulary"][arrays["tokens"][2, 0, 0]]).strip() or "␣"
    assert str(table.rows[1][4]).startswith(f"{first} · ")


def test_both_analyses_share_the_passes(tmp_path: Path, monkeypatch: Any) -> None:
    """Each token goes through each model once."""
    from core.neurons import activity
    from core.states import forward

    seen: list[str] = []
    through = activity.last_logits

    def counted(model: Any, batch: Any) -> Any:
        seen.extend([model.name] * sum(batch.lengths))
        return through(model, batch)

    monkeypatch.setattr(forward, "last_logits", counted)
    write_family(tmp_path, "llama")
    runner.run(study_of(tmp_path, "tuned0"), MemorySink(), BOTH)
    tokens = probe_of(tmp_path).tokens
    assert {name: seen.count(name) for name in seen} == {"base": tokens, "tuned0": tokens}
