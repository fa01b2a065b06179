"""Interference of two tunings against brute force in float64, and its chance levels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from core.analyses.interference import of_sums
from core.engine import registry, runner
from core.engine.measurement import Measurement
from core.figures.figure import Grid, Table
from core.figures.layout import figure
from core.figures.significance import BEYOND_CONTROL, WITHIN_CONTROL, judge
from core.figures.views import Catalogue, Choice
from core.statistics import chance
from core.study import intake
from core.weights.pairs import Pairing, Pairs
from tests.conftest import MemorySink
from tests.core import oracle, zoo

TOP, RANK = 0.2, 8
WRITE, READ = "subspace_overlap_write", "subspace_overlap_read"


def _flat(parts: list[Any]) -> Any:
    return np.concatenate([p.reshape(-1) for p in parts])


def _conflict(a: Any, b: Any) -> tuple[float, float]:
    """The weighted share of opposite signs, and its spread under signs drawn by coins."""
    weight = np.abs(a * b)
    return weight[a * b < 0].sum() / weight.sum(), np.sqrt((weight**2).sum()) / weight.sum() / 2


def _large(update: Any) -> Any:
    """Which elements of a tensor are at least as large as the last of its largest."""
    magnitudes = np.abs(update).astype(np.float32)
    return magnitudes >= np.sort(magnitudes.reshape(-1))[::-1][max(1, round(TOP * update.size)) - 1]


def _subspaces(a: Any, b: Any) -> tuple[float, float]:
    (u, _, v), (w, _, x) = (np.linalg.svd(each, full_matrices=False) for each in (a, b))
    r = min(RANK, *a.shape)
    left = np.linalg.norm(u[:, :r].T @ w[:, :r]) ** 2 / r
    return left, np.linalg.norm(v[:r] @ x[:r].T) ** 2 / r


@pytest.mark.parametrize("name", ["llama", "gpt2", "phi3", "gpt_neox", "mixtral"])
def test_every_measure_equals_brute_force(name: str, tmp_path: Path) -> None:
    models = zoo.build(name, tmp_path, models=2)
    of = intake.of_models(str(tmp_path / "base"), [str(tmp_path / f"tuned{i}") for i in (0, 1)])
    sink = MemorySink()
    runner.run(of, sink, ("interference",))
    base, *tuned = (oracle.modules(m) for m in models)
    places: dict[tuple[int, str], list[tuple[Any, Any]]] = {}
    for key, parts in base.items():
        changes = [[m[key][i] - part for i, part in enumerate(parts)] for m in tuned]
        places.setdefault(key[:2], []).extend(zip(*changes, strict=True))
    checked = 0
    for (layer, module), pairs in places.items():
        a, b = (_flat([pair[i] for pair in pairs]) for i in (0, 1))
        for model, reference in (("tuned0", "tuned1"), ("tuned1", "tuned0")):
            coordinates = {"model": model, "reference": reference, "layer": layer, "module": module}
            value, spread = _conflict(a, b)
            row = sink.value("sign_conflict", **coordinates)
            assert row.value == pytest.approx(value, abs=1e-5)
            assert (row.chance, row.n) == (0.5, a.size)
            assert row.chance_sd == pytest.approx(spread, rel=1e-4)
        sets = [[_large(each) for each in pair] for pair in pairs]
        sizes = [sum(int(masks[i].sum()) for masks in sets) for i in (0, 1)]
        both = sum(int((p & q).sum()) for p, q in sets)
        row = sink.value("overlap", **coordinates)
        assert row.value == pytest.approx(both / np.sqrt(np.prod(sizes)), rel=1e-9)
        by_chance = sum(p.sum() * q.sum() / p.size for p, q in sets) / np.sqrt(np.prod(sizes))
        assert row.chance == pytest.approx(by_chance)
        matrices = [pair for pair in pairs if pair[0].ndim == 2 and min(pair[0].shape) > RANK]
        if module == "norm" or len(matrices) != len([p for p in pairs if p[0].ndim > 1]):
            continue
        if all(pair[0].ndim == 2 for pair in pairs) or module in "qkvo":
            expected = np.mean([_subspaces(*pair) for pair in matrices], axis=0)
            for metric, truth in zip((WRITE, READ), expected, strict=True):
                assert sink.value(metric, **coordinates).value == pytest.approx(truth, abs=1e-4), (
                    coordinates
                )
            checked += 1
    assert checked >= 8
    whole = [_flat([pair[i] for pairs in places.values() for pair in pairs]) for i in (0, 1)]
    coordinates = {"model": "tuned0", "reference": "tuned1", "layer": None, "module": "blocks"}
    assert sink.value("sign_conflict", **coordinates).value == pytest.approx(
        _conflict(*whole)[0], abs=1e-5
    )
    rows = [row for row in sink.rows(READ, **{**coordinates, "layer": 1}) if row.module == "blocks"]
    layers = [sink.value(READ, **{**coordinates, "layer": i}).value or 0.0 for i in (0, 1)]
    assert sink.value(READ, **coordinates).value == pytest.approx(np.mean(layers))
    assert len(rows) == 1


def test_copies_agree_and_opposites_do_not(tmp_path: Path) -> None:
    """A second copy of a tuning, its negation, and a tuning of one module alone."""
    base, tuned = zoo.build("llama", tmp_path, models=1)
    weights = base.state_dict()
    changes = {name: tuned.state_dict()[name] - tensor for name, tensor in weights.items()}
    of = {
        "copy": {name: weights[name] + change for name, change in changes.items()},
        "opposite": {name: weights[name] - change for name, change in changes.items()},
        "part": {n: weights[n] + c * ("q_proj" in n) for n, c in changes.items()},
    }
    for name, tensors in of.items():
        base.load_state_dict(tensors)
        base.save_pretrained(tmp_path / name)
    sink = MemorySink()
    names = [str(tmp_path / name) for name in ("tuned0", *of)]
    runner.run(intake.of_models(str(tmp_path / "base"), names), sink, ("interference",))
    coordinates: dict[str, Any] = {"model": "tuned0", "layer": 1, "module": "q"}
    for metric, same, turned in (("sign_conflict", 0, 1), ("overlap", 1, 1), (WRITE, 1, 1)):
        assert sink.value(metric, reference="copy", **coordinates).value == pytest.approx(
            same, abs=1e-3
        )
        value = sink.value(metric, reference="opposite", **coordinates).value
        assert value == pytest.approx(turned, abs=1e-3)
    assert sink.value("sign_conflict", reference="part", **coordinates).value == pytest.approx(
        0, abs=1e-3
    )
    for metric in ("sign_conflict", "overlap"):
        assert sink.value(metric, reference="part", **{**coordinates, "module": "k"}).value is None
    assert sink.rows(WRITE, reference="part", **{**coordinates, "module": "k"}) == []


def test_unrelated_tunings_lie_at_chance() -> None:
    """The chance levels and their spreads, over many draws."""
    g = torch.Generator().manual_seed(0)
    by_metric: dict[str, list[float]] = {"sign_conflict": [], "overlap": []}
    for _ in range(400):
        sums = Pairs.zero(Pairing(("a", "b"), TOP))
        a, b = torch.randn(2, 500, generator=g).pow(3)  # heavy tails
        sums.add(torch.stack([a, b]))
        pair = {"size": 500, "dot": float(a @ b), **sums.of("a", "b")}
        for row in of_sums("q", pair):
            assert None not in (row.value, row.chance, row.chance_sd)
            by_metric[row.metric].append((row.value - row.chance) / row.chance_sd)  # type: ignore
    for scores in by_metric.values():
        assert np.mean(scores) == pytest.approx(0, abs=3 / 20)
        assert np.std(scores) == pytest.approx(1, abs=0.12)


def test_the_spread_of_a_weighted_share_is_wider_than_of_a_count() -> None:
    a, b = torch.randn(2, 10_000, generator=torch.Generator().manual_seed(1)).pow(3)
    sums = Pairs.zero(Pairing(("a", "b"), TOP))
    sums.add(torch.stack([a, b]))
    row, _ = of_sums("q", {"size": 10_000, "dot": float(a @ b), **sums.of("a", "b")})
    assert (row.chance_sd or 0) > 3 * 0.5 / 100


@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1.0, 1e25])
def test_sums_of_pairs_neither_vanish_nor_overflow(scale: float) -> None:
    rows = torch.randn(2, 300, generator=torch.Generator().manual_seed(2)) * scale
    sums = Pairs.zero(Pairing(("a", "b"), TOP))
    sums.add(rows.clone())
    product = (rows[0].double() * rows[1].double()).abs()
    pair = sums.of("a", "b")
    assert pair["magnitude"] == pytest.approx(float(product.sum()), rel=1e-5)
    assert pair["square"] == pytest.approx(float(product.square().sum()), rel=1e-5)


def test_random_subspaces_lie_at_their_chance_level() -> None:
    rng = np.random.default_rng(0)
    d, p, q = 30, 3, 5
    values = []
    for _ in range(500):
        u, v = (np.linalg.qr(rng.standard_normal((d, r)))[0] for r in (p, q))
        values.append(np.linalg.norm(u.T @ v) ** 2 / p)
    level = chance.one_sided(d, q, 1 / p)
    assert np.mean(values) == pytest.approx(level.mean, abs=4 * level.sd / np.sqrt(500))
    assert np.std(values) == pytest.approx(level.sd, rel=0.12)


def test_a_conflict_is_held_against_the_distance_of_the_controls_from_one_half() -> None:
    analysis = registry.get("interference")
    pairs = {("a", "b"): 0.44, ("a", "null"): 0.55, ("b", "null"): 0.51, ("a", "c"): 0.40}
    rows = [
        Measurement(
            metric="sign_conflict", model=model, reference=reference, module="blocks",
            value=value, chance=0.5, chance_sd=1e-4,
        )
        for pair, value in pairs.items()
        for model, reference in (pair, pair[::-1])
    ]  # fmt: skip
    models = ("a", "b", "c", "null")
    catalogue = Catalogue(
        ranges={"model": models, "reference": models, "module": ("blocks",)},
        controls=frozenset({"null"}),
    )
    matrix, _, table = analysis.views[:3]
    spec = analysis.metric("sign_conflict")
    choice = Choice(measure="sign_conflict", module="blocks")
    grid = figure(matrix, choice, rows, catalogue, spec)
    assert isinstance(grid, Grid)
    verdicts = {
        (row, column): judge(cell).words  # type: ignore[union-attr]
        for row, line in zip(grid.rows, grid.cells, strict=True)
        for column, cell in zip(grid.columns, line, strict=True)
        if cell is not None and cell.control is not None
    }
    assert (verdicts["a", "b"], verdicts["a", "c"]) == (BEYOND_CONTROL, BEYOND_CONTROL)
    near = [replace(r, value=0.46) if {r.model, r.reference} == {"a", "b"} else r for r in rows]
    near_grid = figure(matrix, choice, near, catalogue, spec)
    assert isinstance(near_grid, Grid)
    assert judge(near_grid.cells[0][1]).words == WITHIN_CONTROL  # type: ignore
    assert matrix.finding(near_grid) == (
        "In blocks of all layers, sign conflict is largest between a and b (0.460), smallest "
        "between a and c (0.400); chance is 0.50, and 1 of 2 pairs lies further from it than any "
        "pair with a control."
    )
    listed = figure(table, replace(choice, order="least conflict"), rows, catalogue, spec)
    assert isinstance(listed, Table)
    assert [row[:3] for row in listed.rows[:2]] == [("a", "c", 0.40), ("a", "b", 0.44)]
    assert table.finding(listed) == (
        "Signs are opposed most between a and b (0.440), least between a and c (0.400), as a share "
        "by weight; unrelated signs give 0.5."
    )
