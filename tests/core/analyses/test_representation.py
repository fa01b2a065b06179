"""States and lenses of tuned models, from a study to its rows, against brute force in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch

from core.engine import runner
from core.errors import Cancelled
from core.states import sample
from tests.conftest import MemorySink
from tests.core.state_family import Oracle, probe_of, study_of, write_family

NAMES = ("llama", "gemma2", "gpt2", "gpt_neox", "opt", "phi3", "qwen3_moe")
"""Tied and untied, capped, ungated, fused, with experts, with a decoder in a decoder."""


def _kl(p: Any, q: Any) -> Any:
    """KL(p ‖ q) of log-probabilities, by torch's own."""
    return torch.nn.functional.kl_div(q, p, log_target=True, reduction="none").sum(1).numpy()


def _holds(row: Any, values: Any, documents: Any, rel: float = 2e-3) -> None:
    """Is a row the mean over tokens, with Student's interval over documents?"""
    assert row.value == pytest.approx(values.mean(), rel=rel, abs=1e-6)
    distinct = np.unique(documents)
    share = np.array([(documents == d).mean() for d in distinct])
    means = np.array([values[documents == d].mean() for d in distinct])
    n = len(distinct)
    error = np.sqrt((share**2 * (means - values.mean()) ** 2).sum() * n / (n - 1))
    half = scipy.stats.t.ppf(0.975, n - 1) * error
    assert row.high - row.value == pytest.approx(half, rel=10 * rel, abs=1e-6)
    assert row.n == n


@pytest.mark.parametrize("name", NAMES)
def test_every_row_equals_brute_force(name: str, tmp_path: Path) -> None:
    base, tuned = write_family(tmp_path, name)
    sink = MemorySink()
    runner.run(
        study_of(tmp_path, "tuned0", "same", positions=30, lens=30), sink, ["representation"]
    )
    probe = probe_of(tmp_path)
    places = sample.chosen(probe, 30, 0)
    documents = places[:, 0]
    b, t = (Oracle(module, name, probe, places) for module in (base, tuned))
    for layer in range(2):
        coordinates = {"model": "tuned0", "reference": "base", "layer": layer}
        _holds(sink.value("lens_kl", **coordinates), _kl(t.lens[layer], b.lens[layer]), documents)
        size = np.linalg.norm(b.states[layer], axis=1)
        drift = np.linalg.norm(t.states[layer] - b.states[layer], axis=1) / size
        _holds(sink.value("drift", **coordinates), drift, documents)
        for model, oracle in (("base", b), ("tuned0", t)):
            row: Any = sink.value("lens_to_last", model=model, layer=layer)
            _holds(row, _kl(oracle.lens[-1], oracle.lens[layer]), documents)
            assert row.chance > 0
        same = {**coordinates, "model": "same"}
        assert sink.value("lens_kl", **same).value == 0
        assert sink.value("drift", **same).value == 0
        assert sink.value("cka", **same).value == pytest.approx(1, abs=1e-9)
        for metric in ("drift", "lens_kl"):
            row = sink.value(metric, **coordinates)
            assert row.chance > 3 * row.value
        row = sink.value("cka", **coordinates)
        assert 0.9 < row.low < row.value < row.high
        assert abs(row.chance) < 0.5


def test_a_model_is_added_without_the_base_and_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    write_family(tmp_path, "llama")
    sink = MemorySink(stop_after=1)
    with pytest.raises(Cancelled):
        runner.run(study_of(tmp_path, "tuned0"), sink, ["representation"])
    assert len(sink.saved) == 1
    sink.stop_after = None
    runner.run(study_of(tmp_path, "tuned0"), sink, ["representation"])
    runner.run(study_of(tmp_path, "tuned0", "same"), sink, ["representation"])
    assert [sink.units[key][0].model for key in sink.saved] == ["base", "tuned0", "same"]
    whole = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", "same"), whole, ["representation"])
    for key in sink.saved:
        assert sink.load(key).measurements == whole.load(key).measurements


def test_whole_documents_are_stored_up_to_a_number_of_tokens(tmp_path: Path) -> None:
    write_family(tmp_path, "llama")
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0", tokens=20), sink, ["representation"])
    probe = probe_of(tmp_path)
    expected = probe.first(2)
    assert expected.tokens <= 20 < probe.first(3).tokens
    (stored,) = (r for u, r in sink.units.values() if u.model == "base")
    assert [c for chunk in stored.state["chunks"] for c in chunk] == [[0, 14], [1, 2]]
    assert sink.value("drift", model="tuned0", layer=0).n == 2


def test_a_lens_behind_further_maps_is_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    """As where the class of the model scales states between its norm and its head."""
    from core.states import head

    write_family(tmp_path, "llama")
    monkeypatch.setattr(head, "final_norm", lambda module, pieces: torch.nn.Identity())
    sink = MemorySink()
    runner.run(study_of(tmp_path, "tuned0"), sink, ["representation"])
    assert not sink.rows("lens_kl")
    assert not sink.rows("lens_to_last")
    assert sink.rows("drift")
    assert any("no lens" in words for _, words in sink.warnings)


def test_what_is_foreseen_to_be_stored_is_stored(tmp_path: Path) -> None:
    from core.engine.preflight import look_ahead

    write_family(tmp_path, "llama")
    study, sink = study_of(tmp_path, "tuned0", positions=30), MemorySink()
    nothing: Any = {"finished": lambda keys: set(), "pace": lambda *_: None}
    (share,) = look_ahead(study, ["representation"], **nothing).shares
    runner.run(study, sink, ["representation"])
    arrays = [
        each
        for _, result in sink.units.values()
        for artifact in result.artifacts
        for name, each in artifact.arrays.items()
        if name not in ("norms", "counts")
    ]
    assert share.stored == sum(each.nbytes for each in arrays)
    assert share.forward == 2 * probe_of(tmp_path).tokens
