"""Every declared architecture against brute force on the live models of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.engine import runner
from core.study import intake
from tests.conftest import MemorySink
from tests.core import oracle, zoo

ANALYSES = ("tuning_vectors", "vector_cosine", "alignment")
ATTENTION = {"q", "k", "v", "o"}


@pytest.fixture(scope="module", params=sorted(zoo.CONFIGS))
def measured(request: Any, tmp_path_factory: Any) -> tuple[Any, MemorySink]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    models = zoo.build(request.param, folder, models=2)
    of = intake.of_models(str(folder / "base"), [str(folder / "tuned0"), str(folder / "tuned1")])
    sink = MemorySink()
    runner.run(of, sink, ANALYSES)
    return [oracle.modules(m) for m in models], sink


def _flat(parts: list[Any]) -> Any:
    return np.concatenate([p.reshape(-1) for p in parts])


def _by_module(by_place: Any) -> dict[tuple[int, str], list[Any]]:
    merged: dict[tuple[int, str], list[Any]] = {}
    for (layer, module, _), parts in by_place.items():
        merged.setdefault((layer, module), []).extend(parts)
    return merged


def test_norms_and_cosines_equal_brute_force(measured: Any) -> None:
    (base, first, second), sink = measured
    merged = [_by_module(m) for m in (base, first, second)]
    groups: dict[tuple[int | None, str], list[Any]] = {}
    for (layer, module), parts in merged[0].items():
        W = _flat(parts)
        d1, d2 = (_flat(m[layer, module]) - W for m in merged[1:])
        names = [(layer, module), (layer, "blocks"), (None, "blocks"), (None, module)]
        if module != "norm":
            group = "attention" if module in ATTENTION else "mlp"
            names += [(layer, group), (None, group)]
        for name in names:
            groups.setdefault(name, []).append((W, d1, d2))
    for place, triples in groups.items():
        if place == (None, "norm"):
            continue  # the final norm stands outside of the blocks
        W, d1, d2 = (np.concatenate([t[i] for t in triples]) for i in range(3))
        coordinates = {"model": "tuned0", "layer": place[0], "module": place[1]}
        assert sink.value("norm", **coordinates).value == pytest.approx(
            np.linalg.norm(d1), rel=1e-5
        )
        relative = np.linalg.norm(d1) / np.linalg.norm(W)
        assert sink.value("relative_norm", **coordinates).value == pytest.approx(relative, rel=1e-5)
        assert sink.value("norm", **coordinates).n == W.size
        cosine = W @ d1 / np.linalg.norm(W) / np.linalg.norm(d1)
        assert sink.value("base_cosine", **coordinates).value == pytest.approx(cosine, abs=1e-5)
        assert sink.value("largest_change", **coordinates).value == pytest.approx(
            abs(d1).max(), rel=1e-5
        )
        assert sink.value("changed_share", **coordinates).value == pytest.approx((d1 != 0).mean())
        mutual = d1 @ d2 / np.linalg.norm(d1) / np.linalg.norm(d2)
        for a, b in (("tuned0", "tuned1"), ("tuned1", "tuned0")):
            row = sink.value("cosine", model=a, reference=b, layer=place[0], module=place[1])
            assert row.value == pytest.approx(mutual, abs=1e-5)
            assert row.chance == 0
            assert row.chance_sd == pytest.approx(1 / np.sqrt(W.size))


def test_ranks_equal_brute_force(measured: Any) -> None:
    (base, first, _), sink = measured
    for (layer, module, expert), parts in base.items():
        if parts[0].ndim != 2 or module == "norm":
            continue
        several = sum(k[:2] == (layer, module) for k in base) > 1 or (
            len(parts) > 1 and (parts[1].ndim == 2)
        )
        coordinates = {"model": "tuned0", "layer": layer, "module": module}
        if several:
            assert sink.rows("stable_rank", **coordinates) == []
            continue
        energy = np.linalg.svd(first[layer, module, expert][0] - parts[0], compute_uv=False) ** 2
        p = energy / energy.sum()
        effective = np.exp(-(p * np.log(p)).sum())
        assert sink.value("stable_rank", **coordinates).value == pytest.approx(
            1 / p.max(), rel=1e-5
        )
        assert sink.value("effective_rank", **coordinates).value == pytest.approx(
            effective, rel=1e-5
        )


def test_alignment_equals_brute_force(measured: Any) -> None:
    (base, first, _), sink = measured
    checked = 0
    for (layer, module, expert), parts in base.items():
        if module == "norm" or parts[0].ndim != 2 or (len(parts) > 1 and parts[1].ndim == 2):
            continue
        truth = oracle.alignment(parts[0], first[layer, module, expert][0] - parts[0])
        coordinates = {"model": "tuned0", "layer": layer, "module": module, "expert": expert}
        for metric, value in truth.items():
            actual = sink.value(metric, **coordinates).value
            assert actual == pytest.approx(value, abs=1e-3), (metric, coordinates)
            checked += 1
    assert checked >= 2 * 6 * 9 - 18


def test_heads_equal_brute_force(measured: Any) -> None:
    (base, first, _), sink = measured
    for module in ATTENTION:
        W = base[0, module, None][0]
        D = first[0, module, None][0] - W
        heads = len({row.head for row in sink.rows("write", layer=0, module=module)}) - 1
        assert heads in (2, 4)
        axis = 1 if module == "o" else 0
        for head in range(heads):
            w, d = (np.split(m, heads, axis=axis)[head] for m in (W, D))
            truth = oracle.alignment(w, d)
            for metric in ("rank_k", "write", "read", "two_sided", "gain", "intruders"):
                coordinates = {"model": "tuned0", "layer": 0, "module": module, "head": head}
                assert sink.value(metric, **coordinates).value == pytest.approx(
                    truth[metric], abs=1e-3
                )
