"""The top eigenvectors by block iteration are those of a whole decomposition in float64."""

from __future__ import annotations

import math

import pytest
import torch

from core.weights import leading

N, COUNT = 300, 8
LIMIT = 1e-6
"""The greatest residual over the largest eigenvalue: eight roundings."""

_I = torch.arange(N).double()
SPECTRA = {
    "slow decay": (1 + _I) ** -0.5,
    "even": 1 - _I / N,
    "fast decay": 10.0 ** (-_I / 4),
    "ties": torch.where(_I < 6, 1.0, torch.where(_I < 20, 0.5, 0.1)),
    "ties beyond the wanted ones": torch.where(_I < 8, 2 - _I / 100, torch.where(_I < 90, 1.9, 1)),
    "all equal": torch.ones(N).double(),
    "rank 3": torch.where(_I < 3, 1 - _I / 5, 0.0),
    "rank 1": torch.where(_I < 1, 1.0, 0.0),
    "two over noise": torch.where(_I < 2, 3 - _I, 1 - _I / N),
    "three far over noise": torch.where(_I < 3, 1000 - 100 * _I, 1 - _I / N / 2),
}


def _symmetric(spectrum: torch.Tensor) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(N, N, generator=g).double()).Q
    made: torch.Tensor = (axes * spectrum) @ axes.mT
    return made


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("scale", [1.0, 1e-12])
def test_they_are_those_of_a_whole_decomposition(name: str, scale: float) -> None:
    product = (_symmetric(SPECTRA[name]) * scale).float()
    values, vectors = (each[0].double() for each in leading.top(product[None], COUNT))
    exact = product.double()
    truth, axes = (each.flip(-1) for each in torch.linalg.eigh(exact))
    largest = float(truth[0])
    residuals = (exact @ vectors - vectors * values).norm(dim=0)
    assert float(residuals.max()) < 1.1 * leading.FLOOR * LIMIT * largest
    assert values.numpy() == pytest.approx(truth[:COUNT].numpy(), abs=2 * LIMIT * largest)
    assert torch.allclose(vectors.mT @ vectors, torch.eye(COUNT).double(), atol=1e-5)
    gaps = (truth[:COUNT] - truth[1 : COUNT + 1]) / largest
    for k in range(1, COUNT + 1):  # Davis and Kahan's bound on the angle to the true subspace
        outside = vectors[:, :k] - axes[:, :k] @ (axes[:, :k].mT @ vectors[:, :k])
        if gaps[k - 1] > 1e-3:
            bound = 2 * leading.FLOOR * LIMIT * math.sqrt(k) / float(gaps[k - 1])
            assert float(torch.linalg.matrix_norm(outside, 2)) < bound, k


def test_zeros_have_no_directions() -> None:
    values, vectors = leading.top(torch.zeros(1, N, N), COUNT)
    assert not values.any()
    assert vectors.isfinite().all()


def test_a_matrix_that_does_not_converge_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "ROUNDS", 1)  # the last one checks
    with pytest.raises(torch.linalg.LinAlgError):  # type: ignore[attr-defined]
        leading.top(_symmetric(SPECTRA["even"]).float()[None], COUNT)


def test_residuals_that_stay_above_those_of_a_whole_decomposition_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rounds: list[float] = []
    ritz = leading._ritz

    def disturbed(matrix: torch.Tensor, block: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """A card whose products are wrong by more roundings."""
        values, made, image = ritz(matrix, block)
        rounds.append(0.0)
        g = torch.Generator().manual_seed(len(rounds))
        noise = torch.randn(image.shape, generator=g)
        return values, made, image + 2.5 * LIMIT * values[0] * noise / noise.norm(dim=0)

    monkeypatch.setattr(leading, "_ritz", disturbed)
    leading.top(_symmetric(SPECTRA["fast decay"]).float()[None], COUNT)
    assert len(rounds) <= 6
