"""Products in bfloat16 terms have the accuracy of float32 ones."""

from __future__ import annotations

import pytest
import torch

from core.weights import narrow

SHAPE = (70, 900)


def _matrix(kind: str, seed: int = 0) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    matrix = torch.randn(*SHAPE, generator=g)
    if kind == "ill-conditioned":
        matrix = torch.logspace(0, -6, SHAPE[0])[:, None] * matrix
        matrix[1] = matrix[0] + 1e-5 * matrix[1]
    if kind == "uneven columns":
        matrix *= torch.logspace(3, -3, SHAPE[1])
    return matrix


def _error(made: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """The greatest error of an element of a · b over |a| · |b| of its row and column."""
    exact = a.double() @ b.double()
    bound = a.double().norm(dim=1)[:, None] * b.double().norm(dim=0)
    return float(((made[0].double() - exact).abs() / bound).max())


@pytest.fixture
def exact_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without float32's own rounding of sums, only the terms' error is left."""
    monkeypatch.setattr(narrow, "_product", lambda a, b: a.double() @ b.double())


@pytest.mark.parametrize("scale", [1.0, 1e-12, 1e15])
@pytest.mark.parametrize("kind", ["noise", "ill-conditioned", "uneven columns"])
def test_three_terms_multiply_as_float32_does(kind: str, scale: float) -> None:
    a, b = _matrix(kind) * scale, _matrix(kind, seed=1).mT * scale
    made = narrow.times(narrow.split(a[None]), narrow.split(b[None]))
    rounded = SHAPE[1] ** 0.5 * 2.0**-24 * 2  # of sums
    assert _error(made, a, b) <= rounded
    square = narrow.gram(narrow.split(a[None]))
    assert _error(square, a, a.mT) <= rounded
    assert torch.equal(square, square.mT)


@pytest.mark.usefixtures("exact_sums")
@pytest.mark.parametrize("kind", ["noise", "ill-conditioned", "uneven columns"])
@pytest.mark.parametrize(("terms", "most"), [(1, 5e-3), (2, 5e-6), (3, 1e-8)])
def test_each_term_adds_eight_bits(terms: int, most: float, kind: str) -> None:
    a, b = _matrix(kind), _matrix(kind, seed=1).mT
    made = narrow.times(narrow.split(a[None], terms), narrow.split(b[None], terms))
    assert most / 20 < _error(made, a, b) < most
    assert _error(narrow.gram(narrow.split(a[None], terms)), a, a.mT) < most


@pytest.mark.parametrize("size", [1.0, 1e-30, 1e-38, 1e30])
def test_three_terms_sum_to_the_number(size: float) -> None:
    matrix = _matrix("noise") * size
    back = sum(term.double() for term in narrow.split(matrix))
    # Below 1e-33 the last term is subnormal, at the smallest step of bfloat16.
    assert float((back - matrix.double()).abs().max()) <= max(2.0**-25 * 5 * size, 2.0**-134)


@pytest.mark.usefixtures("exact_sums")
def test_stored_bfloat16_weights_and_their_changes_need_fewer_terms() -> None:
    W = _matrix("noise").bfloat16()
    T = (W.float() + 0.01 * _matrix("noise", seed=1)).bfloat16()
    T[:, ::9] *= 1e-2  # 8 bits of each weight lie far apart
    assert torch.equal(narrow.split(W.float(), 1)[0], W)
    delta, other = T.float() - W.float(), _matrix("noise", seed=2).mT
    first, second = narrow.split(delta, 2)
    assert torch.equal(first.double() + second.double(), T.double() - W.double())
    assert _error(narrow.gram((first[None], second[None])), delta, delta.mT) < 1e-12
    seen = narrow.times((first[None], second[None]), narrow.split(other[None]))
    assert _error(seen, delta, other) < 1e-8


def test_long_sums_are_added_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        lengths.append(a.shape[-1])
        return a.double() @ b.double()

    monkeypatch.setattr(narrow, "_product", product)
    monkeypatch.setattr(narrow, "DEPTH", 256)
    a = _matrix("noise")
    assert _error(narrow.gram(narrow.split(a[None])), a, a.mT) < 1e-7
    assert lengths == 4 * [256, 256, 256, 132]  # of four products of terms
