"""Planted structures are found, random ones sit at chance, and large matrices agree with SVDs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.analyses.alignment import AlignmentParameters
from core.engine.measurement import Measurement
from core.statistics import chance, overlap
from core.weights import linalg
from tests.core import oracle

SHAPES = [(40, 40), (96, 40), (40, 96)]


def _measured(W: torch.Tensor, D: torch.Tensor, **parameters: float) -> dict[str, Measurement]:
    p = AlignmentParameters(**parameters)
    basis = linalg.decompose(W[None], energy=p.energy, rank=p.rank)
    rows, _ = overlap.measure(
        basis, D[None], linalg.gram(D[None]), amplified=p.amplified, intruders_of=p.intruders_of,
        match=p.match,
    )()  # fmt: skip
    return {row.metric: row for row in rows[0]}


def _matrix(shape: tuple[int, int], seed: int) -> torch.Tensor:
    """A matrix with a falling spectrum, so that its top directions are a real choice."""
    g = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(*shape, generator=g).double(), full_matrices=False)
    s = torch.logspace(0, -1.5, min(shape)).double()
    made: torch.Tensor = (u * s) @ v
    return made


def _value(row: Measurement) -> float:
    assert row.value is not None
    return row.value


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_inside_the_top_subspace_is_found(shape: tuple[int, int]) -> None:
    W = _matrix(shape, 0)
    u, _, v = torch.linalg.svd(W, full_matrices=False)
    k = int(_value(_measured(W, W)["rank_k"]))
    inside = u[:, :k] @ torch.randn(k, k, dtype=torch.float64) @ v[:k]
    measured = _measured(W, inside)
    assert measured["two_sided"].value == pytest.approx(1, abs=1e-6)
    assert measured["two_sided_excess"].value == pytest.approx(1, abs=1e-6)
    assert measured["new_energy"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_an_update_outside_of_it_is_found(shape: tuple[int, int]) -> None:
    W = _matrix(shape, 0)
    u, _, v = torch.linalg.svd(W, full_matrices=True)
    k = int(_value(_measured(W, W)["rank_k"]))
    d, m = shape
    outside = u[:, k:] @ torch.randn(d - k, m - k, dtype=torch.float64) @ v[k:]
    measured = _measured(W, outside)
    assert measured["two_sided"].value == pytest.approx(0, abs=1e-6)
    assert _value(measured["two_sided_excess"]) < 0
    assert _value(measured["write_excess"]) < 0
    assert _value(measured["read_excess"]) < 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rank", [None, 1, 3])
def test_a_random_update_sits_at_chance(shape: tuple[int, int], rank: int | None) -> None:
    W = _matrix(shape, 0)
    g = torch.Generator().manual_seed(5)
    scores: dict[str, list[float]] = {}
    for _ in range(60):
        if rank is None:
            D = torch.randn(*shape, generator=g).double()
        else:
            left = torch.randn(shape[0], rank, generator=g).double()
            D = left @ torch.randn(rank, shape[1], generator=g).double()
        measured = _measured(W, D)
        for metric in ("write_excess", "read_excess", "two_sided_excess", "gain", "new_energy"):
            row = measured[metric]
            assert row.chance_sd
            z = (_value(row) - (row.chance or 0)) / row.chance_sd
            scores.setdefault(metric, []).append(z)
    for metric, drawn in scores.items():
        assert np.abs(drawn).max() < 5, metric
        assert np.mean(np.abs(drawn) < 4) == 1 or rank == 1, metric
        assert 0.7 < np.std(drawn) < 1.35, metric


@pytest.mark.parametrize("shape", SHAPES)
def test_scaling_the_weights_is_gain(shape: tuple[int, int]) -> None:
    W = _matrix(shape, 2)
    measured = _measured(W, 0.05 * W)
    assert measured["gain"].value == pytest.approx(0.05, abs=1e-6)
    assert measured["intruders"].value == 0
    assert _value(measured["two_sided"]) == pytest.approx(math.sqrt(0.9), abs=0.05)


def test_a_strong_new_direction_is_an_intruder() -> None:
    W = torch.diag(torch.linspace(2, 1, 60).double())
    e = torch.ones(60, dtype=torch.float64) / math.sqrt(60)
    measured = _measured(W, 50 * torch.outer(e, e))
    assert measured["intruders"].value == 1
    assert measured["intruders"].n == 10


def test_a_tie_at_rank_k_is_taken_whole() -> None:
    spectrum = torch.tensor([3.0, 1.0, 1.0, 1.0, 0.1, 0.1], dtype=torch.float64)
    basis = linalg.decompose(torch.diag(spectrum)[None], energy=0.8, rank=None)
    assert basis.ranks == [4]  # 0.8 is reached inside the run of ones
    assert linalg.decompose(torch.eye(6)[None].double(), energy=0.5, rank=2).ranks == [6]


def test_a_zero_matrix_and_a_zero_update_have_no_values() -> None:
    W, zero = _matrix((12, 12), 0), torch.zeros(12, 12, dtype=torch.float64)
    for measured in (_measured(zero, W), _measured(W, zero)):
        for metric in ("write", "two_sided_excess", "gain", "amplification", "intruders"):
            assert measured[metric].value is None
    assert _measured(zero, W)["rank_k"].value == 0


def test_saturation_leaves_the_excess_empty() -> None:
    W = _matrix((8, 30), 0)
    measured = _measured(W, torch.randn(8, 30, dtype=torch.float64), rank=8)
    assert measured["write"].value == pytest.approx(1)
    assert measured["write"].chance == 1
    assert measured["write_excess"].value is None
    assert measured["read_excess"].value is not None
    assert measured["two_sided_excess"].value is not None


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 10**6))
def test_measures_equal_full_svds(d: int, m: int, seed: int) -> None:
    g = torch.Generator().manual_seed(seed)
    W, D = (torch.randn(d, m, generator=g).double() for _ in range(2))
    truth = oracle.alignment(W.numpy(), D.numpy(), r=2, top=2)
    measured = _measured(W, D, amplified=2, intruders_of=2)
    for metric, value in truth.items():
        assert measured[metric].value == pytest.approx(value, abs=1e-6, rel=1e-6), metric


@pytest.mark.parametrize("shape", [(600, 700), (1400, 560)])
@pytest.mark.parametrize("rank", [None, 8])
def test_the_way_of_large_matrices_agrees_in_float32(
    shape: tuple[int, int], rank: int | None
) -> None:
    g = torch.Generator().manual_seed(3)
    W = torch.randn(*shape, generator=g) + 3 * torch.outer(
        torch.randn(shape[0], generator=g), torch.randn(shape[1], generator=g)
    )
    D = 0.1 * torch.randn(*shape, generator=g)
    if rank:
        D = D @ torch.randn(shape[1], rank, generator=g) @ torch.randn(rank, shape[1], generator=g)
    truth = oracle.alignment(W.double().numpy(), D.double().numpy())
    measured = _measured(W, D)
    for metric, value in truth.items():
        scale = max(1.0, abs(value))
        assert abs(_value(measured[metric]) - value) <= 1e-3 * scale, metric


@pytest.mark.parametrize(("shape", "noise"), [((1400, 560), 0.1), ((560, 1400), 0.0)])
def test_products_of_the_smaller_side_agree_in_float32(
    shape: tuple[int, int], noise: float
) -> None:
    """Many directions of a long matrix under an outlier, and an update with four new ones."""
    g = torch.Generator().manual_seed(4)
    W = torch.randn(*shape, generator=g)
    W += 0.3 * torch.outer(*(torch.randn(n, generator=g) for n in shape))
    D = torch.randn(shape[0], 4, generator=g) @ torch.randn(4, shape[1], generator=g)
    D += noise * torch.randn(*shape, generator=g)
    basis = linalg.decompose(W[None], energy=0.9)
    assert basis.condition > 50
    assert linalg.cross(basis, D[None]) is not None
    assert linalg.cross(linalg.decompose(W[None], energy=0.5), D[None]) is None  # few directions
    truth, measured = oracle.alignment(W.double().numpy(), D.double().numpy()), _measured(W, D)
    for metric, value in truth.items():
        assert abs(_value(measured[metric]) - value) <= 1e-4 * max(1.0, abs(value)), metric
    assert measured["intruders"].value == 4


def test_curves_hold_every_rank() -> None:
    W, D = _matrix((20, 30), 0), torch.randn(20, 30, dtype=torch.float64)
    basis = linalg.decompose(W[None], energy=0.95, rank=None)
    curve = linalg.align(basis, D[None], linalg.gram(D[None]))
    U, _, Vt = np.linalg.svd(W.numpy())
    total = float((D**2).sum())
    for k in range(1, basis.kmax + 1):
        both = np.square(U[:, :k].T @ D.numpy() @ Vt[:k].T).sum() / total
        assert float(curve.both_curve[0, k - 1]) == pytest.approx(both, abs=1e-9)


def test_the_shape_trap_is_shown_by_the_chance_level() -> None:
    """Raw alignment of noise differs by shape alone; its excess does not."""
    g = torch.Generator().manual_seed(0)
    raw, excess = [], []
    for shape in ((64, 64), (16, 64), (224, 64), (64, 224)):
        measured = _measured(*(torch.randn(*shape, generator=g).double() for _ in range(2)))
        raw.append(_value(measured["write"]))
        excess.append(_value(measured["write_excess"]) / (measured["write_excess"].chance_sd or 0))
    assert max(raw) - min(raw) > 0.3
    assert max(abs(z) for z in excess) < 4


def test_concentration_is_one_over_the_number_of_equal_directions() -> None:
    update = torch.eye(5, 9, dtype=torch.float64)[None]
    assert float(linalg.concentration(linalg.gram(update))) == pytest.approx(1 / 5)
    assert chance.one_sided(9, 3, 1.0).sd > chance.one_sided(9, 3, 0.2).sd


def test_the_chance_of_amplification_knows_the_rank() -> None:
    g = torch.Generator().manual_seed(1)
    W = _matrix((40, 50), 0)
    for rank in (1, 2, 40):
        ratios = []
        for _ in range(40):
            left = torch.randn(40, rank, generator=g).double()
            row = _measured(W, left @ torch.randn(rank, 50, generator=g).double())["amplification"]
            ratios.append(((row.chance or 0) / _value(row)) ** 2)
        assert np.mean(ratios) == pytest.approx(1, abs=4 * np.std(ratios) / math.sqrt(40)), rank


def test_large_matrices_that_did_not_change_have_no_values() -> None:
    W = torch.randn(600, 600, generator=torch.Generator().manual_seed(0))
    measured = _measured(W, torch.zeros(600, 600))
    assert measured["amplification"].value is None
    assert _value(measured["rank_k"]) > 100


def test_a_strong_first_direction_does_not_hide_the_rest() -> None:
    """The rank of a large float32 matrix under an outlier as large models have them."""
    g = torch.Generator().manual_seed(0)
    W = torch.randn(1024, 1024, generator=g)
    W += 200 * torch.outer(torch.randn(1024, generator=g), torch.randn(1024, generator=g)) / 32
    s = torch.linalg.svdvals(W.double())
    for energy in (0.99, 0.999):
        reached = s.square().cumsum(0) >= energy * s.square().sum()
        expected = int(reached.int().argmax()) + 1
        rank = linalg.decompose(W[None], energy=energy).ranks[0]
        assert abs(rank - expected) <= max(1, 0.01 * expected), energy


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_the_null_space_of_the_base_hides_no_intruder_and_makes_none(
    shape: tuple[int, int],
) -> None:
    g = torch.Generator().manual_seed(0)
    left, right = (torch.randn(n, 3, generator=g).double() for n in shape)
    W = left @ right.T
    assert _measured(W, 0.01 * W)["intruders"].value == 0
    new = torch.linalg.qr(torch.cat([left, torch.randn(shape[0], 1, generator=g).double()], 1)).Q
    strong = 100 * torch.outer(new[:, 3], torch.randn(shape[1], generator=g).double())
    assert _measured(W, strong)["intruders"].value == 1


def test_an_update_where_the_base_has_nothing_amplifies_without_measure() -> None:
    W = torch.diag(torch.tensor([1.0, 1, 0, 0]).double())
    D = torch.diag(torch.tensor([0.0, 0, 1, 1]).double())
    assert _measured(W, D)["amplification"].value is None


def test_a_spectrum_whose_solver_fails_is_computed_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As cuSOLVER does on some matrices of low rank."""
    g = torch.Generator().manual_seed(0)
    D = torch.randn(2, 30, 3, generator=g) @ torch.randn(2, 3, 20, generator=g)
    solve = torch.linalg.eigvalsh

    def fails(product: torch.Tensor) -> torch.Tensor:
        if product.dtype == torch.float32:
            raise torch.linalg.LinAlgError("failed to converge")  # type: ignore[attr-defined]
        values: torch.Tensor = solve(product)
        return values

    monkeypatch.setattr(torch.linalg, "eigvalsh", fails)
    energy = linalg.spectrum_of_gram(linalg.gram(D)).energy
    truth = torch.linalg.svdvals(D.double()).square()
    assert energy.dtype == torch.float32
    assert torch.allclose(energy.double(), truth, atol=1e-4 * float(truth.max()))


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (6, 40), (40, 6)])
@pytest.mark.parametrize("rank", [1, 4, 8])
def test_the_spectrum_of_a_product_is_that_of_its_small_core(
    shape: tuple[int, int], rank: int
) -> None:
    g = torch.Generator().manual_seed(rank)
    left, right = torch.randn(shape[0], rank, generator=g), torch.randn(rank, shape[1], generator=g)
    energy = linalg.spectrum_of_factors(left, right).energy
    product = left.double().numpy() @ right.double().numpy()
    expected = np.linalg.svd(product, compute_uv=False) ** 2
    assert energy.shape == (1, min(shape))
    assert energy[0].numpy() == pytest.approx(expected, rel=1e-10, abs=1e-10 * expected[0])
    assert not energy[0, min(rank, *shape) :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_large_matrix_of_zeros_has_no_directions(dtype: torch.dtype) -> None:
    """A block that was added with weights of zero, or a module that a tuning left as it was."""
    zeros = torch.zeros(1, 700, 600, dtype=dtype)
    top = linalg.directions(zeros, linalg.gram(zeros), rank=4)
    assert [bool(each.any()) for each in (top.real, top.left, top.right)] == [False] * 3
    left, right = linalg.factors(zeros, 4)
    assert (left.shape, right.shape) == ((1, 700, 4), (1, 4, 600))
    assert not (left @ right).any()
