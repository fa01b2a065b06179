"""The spectral regime against full decompositions in float64, and random updates at chance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.analyses import spectral_regime
from core.engine import runner
from core.study import intake
from core.weights import regime
from tests.conftest import MemorySink
from tests.core import oracle, zoo

RANK, THRESHOLD = 16, 1e-3
W = torch.randn(40, 60, generator=torch.manual_seed(0))


def _run(folder: Path, *names: str) -> MemorySink:
    sink = MemorySink()
    of = intake.of_models(str(folder / "base"), [str(folder / name) for name in names])
    runner.run(of, sink, ("spectral_regime",))
    return sink


def _angle(a: Any, b: Any) -> float:
    cosines = np.linalg.svd(a.T @ b, compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).mean())


def _truth(w: Any, after: Any) -> dict[str, float | None]:
    (u, s, v), (u2, s2, v2) = (np.linalg.svd(each, full_matrices=False) for each in (w, after))
    k = min(RANK, len(s))
    return {
        "write_rotation": None if k == w.shape[0] else _angle(u[:, :k], u2[:, :k]),
        "read_rotation": None if k == w.shape[1] else _angle(v[:k].T, v2[:k].T),
        "spectrum_change": np.linalg.norm(s2 - s) / np.linalg.norm(s),
        "visible_share": np.mean(
            np.abs(after - w) > THRESHOLD * np.maximum(np.abs(w), np.abs(after))
        ),
    }


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "gpt_neox", "mixtral"])
def test_every_measure_equals_brute_force(name: str, tmp_path: Path) -> None:
    base, tuned = zoo.build(name, tmp_path)
    sink = _run(tmp_path, "tuned0")
    changed = oracle.modules(tuned)
    places: dict[tuple[int, str], list[dict[str, float | None]]] = {}
    for (layer, module, expert), (weight, *_) in oracle.modules(base).items():
        if module in ("q", "k", "v", "o", "gate", "up", "down", "fc_in", "fc_out"):
            after = changed[layer, module, expert][0]
            places.setdefault((layer, module), []).append(_truth(weight, after))
    assert len(places) >= 12
    for (layer, module), truths in places.items():
        for metric in regime.MEASURES:
            expected = [truth[metric] for truth in truths]
            row = sink.value(metric, layer=layer, module=module)
            if expected[0] is None:
                assert row.value is None
                continue
            assert row.value == pytest.approx(np.mean(expected), rel=1e-4, abs=1e-6)  # type: ignore[arg-type]
            assert row.chance is not None
    q = [sink.value("spectrum_change", layer=i, module="q").value or 0 for i in (0, 1)]
    whole = sink.value("spectrum_change", layer=None, module="q")
    assert whole.value == pytest.approx(np.mean(q))
    mlp = [sink.value("spectrum_change", layer=i, module="mlp").value or 0 for i in (0, 1)]
    whole = sink.value("spectrum_change", layer=None, module="mlp")
    assert whole.value == pytest.approx(np.mean(mlp)), "experts weigh alike in a layer and a model"


def test_a_model_against_itself_is_at_0(tmp_path: Path) -> None:
    base, _ = zoo.build("llama", tmp_path)
    base.save_pretrained(tmp_path / "same")
    sink = _run(tmp_path, "same")
    assert {row.value for _, result in sink.units.values() for row in result.measurements} == {0.0}


def _measured(update: torch.Tensor, *, threshold: float = 1e-3, draws: int = 0) -> regime.Measured:
    return regime.measure(regime.Before.of(W, 8), update, threshold=threshold, draws=draws)()


def test_a_random_update_lies_at_chance() -> None:
    g = torch.Generator().manual_seed(7)
    scores: dict[str, list[float]] = {name: [] for name in regime.MEASURES}
    for _ in range(30):
        update = 0.05 * torch.randn(W.shape, generator=g)
        for name, (value, drawn) in _measured(update, threshold=0.05, draws=12).items():
            assert value is not None
            scores[name].append((value - np.mean(drawn)) / np.std(drawn, ddof=1))  # type: ignore
    for name, values in scores.items():
        assert np.mean(values) == pytest.approx(0, abs=1), name
        assert 0.4 < np.std(values) < 2.5, name


def test_few_random_updates_are_beyond_chance() -> None:
    """Two standard deviations of 8 draws left out 11 of 100."""
    g, beyond, trials = torch.Generator().manual_seed(8), 0, 200
    for _ in range(trials):
        before = regime.Before.of(torch.randn(30, 20, generator=g), 8)
        update = 0.1 * torch.randn(30, 20, generator=g)
        measured = regime.measure(before, update, threshold=0.05, draws=spectral_regime.SEVERAL)()
        for name, values in measured.items():
            row: Any = spectral_regime._row(name, *values)
            beyond += abs(row.value - row.chance) > 2 * row.chance_sd
    assert beyond / (trials * len(regime.MEASURES)) <= 0.07


def test_scaling_turns_nothing_and_turning_keeps_the_spectrum() -> None:
    scaled = _measured(0.01 * W)
    assert scaled["write_rotation"][0] == pytest.approx(0, abs=1e-5)
    assert scaled["spectrum_change"][0] == pytest.approx(0.01, rel=1e-5)
    assert scaled["visible_share"][0] == 1
    skew = torch.randn(40, 40, generator=torch.manual_seed(1)).double()
    turn = torch.linalg.matrix_exp(0.02 * (skew - skew.mT))
    turned = _measured((turn @ W.double() - W).float())
    assert turned["spectrum_change"][0] == pytest.approx(0, abs=1e-5)
    assert turned["read_rotation"][0] == pytest.approx(0, abs=1e-3)
    u = torch.linalg.svd(W.double()).U[:, :8].numpy()
    assert turned["write_rotation"][0] == pytest.approx(_angle(u, turn.numpy() @ u), rel=1e-4)


def test_small_changes_are_not_visible() -> None:
    update = W * torch.where(torch.arange(60) < 15, 2e-3, 5e-4)
    measured = _measured(update)
    assert measured["visible_share"][0] == 0.25
