"""A kept basis measures as a full decomposition does, and belongs to its own matrix alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from core.models.pieces import Piece
from core.statistics import overlap
from core.weights import bases, linalg
from tests.conftest import MemorySink
from tests.core import oracle


def _piece(shape: tuple[int, int], tensor: str = "w") -> Piece:
    return Piece(tensor=tensor, module="q", layer=0, shape=shape, rows=((0, shape[0]),))


def _solved(matrix: torch.Tensor, sink: MemorySink, base: str = "a", tensor: str = "w") -> Any:
    shape = int(matrix.shape[0]), int(matrix.shape[1])
    return bases.solve(
        linalg.working(matrix[None]), memory=sink, base=base, piece=_piece(shape, tensor)
    )


def _matrix(shape: tuple[int, int], kind: str) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    matrix = torch.randn(*shape, generator=g)
    if kind == "outlier":  # half of the energy in one direction, as in large models
        u, v = (torch.randn(n, generator=g) for n in shape)
        matrix += torch.outer(u, v)
    if kind == "steep":
        matrix *= torch.logspace(0, -3, shape[1])
    return matrix


@pytest.mark.parametrize("kind", ["flat", "outlier", "steep"])
@pytest.mark.parametrize("shape", [(90, 90), (260, 80), (80, 260)])
def test_a_kept_basis_measures_as_full_svds_do(
    monkeypatch: pytest.MonkeyPatch, kind: str, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(bases, "LEAST", 8)
    sink = MemorySink()
    W = _matrix(shape, kind)
    first = _solved(W, sink)
    monkeypatch.setattr(linalg, "singular", None)  # it is not solved again
    known = _solved(W, sink)
    assert not torch.equal(known.vectors, first.vectors)  # 16 bits of each element
    basis = linalg.basis_of(W.double()[None], known, energy=0.9, rank=None)
    U, _, Vt = np.linalg.svd(W.double().numpy())
    k = basis.kmax
    g = torch.Generator().manual_seed(2)
    random = 0.1 * torch.randn(*shape, generator=g)
    low = random[:, :3] @ torch.randn(3, shape[1], generator=g)
    outside = torch.from_numpy(U[:, k:] @ U[:, k:].T @ random.double().numpy()).float()
    for update in (random, low, outside @ torch.from_numpy(Vt[k:].T @ Vt[k:]).float()):
        update = linalg.working(update[None])
        (rows,), _ = overlap.measure(
            basis, update, linalg.gram(update), amplified=4, intruders_of=10, match=0.5
        )()
        measured = {row.metric: row.value or 0.0 for row in rows}
        truth = oracle.alignment(W.double().numpy(), update[0].numpy())
        for metric in ("write", "read", "two_sided", "new_energy", "diagonal_energy", "intruders"):
            assert measured[metric] == pytest.approx(truth[metric], abs=1e-4), metric


def test_a_basis_in_double_precision_is_not_kept() -> None:
    sink = MemorySink()
    assert _solved(torch.eye(1024), sink).vectors.dtype == torch.float64
    assert not sink.bases


def test_a_basis_belongs_to_its_base_and_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "LEAST", 8)
    sink = MemorySink()
    W = _matrix((20, 30), "flat")
    for base, tensor in (("a", "w"), ("a", "v"), ("b", "w"), ("a", "w")):
        _solved(W, sink, base, tensor)
    assert len(sink.bases) == 3


def test_a_damaged_basis_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "LEAST", 8)
    sink = MemorySink()
    W = _matrix((20, 30), "flat")
    first = _solved(W, sink)
    (key,) = sink.bases
    for damaged in ({}, {**sink.bases[key], "vectors": np.zeros((3, 3), np.int16)}):
        sink.bases[key] = damaged
        assert torch.equal(_solved(W, sink).vectors, first.vectors)


def test_small_matrices_are_not_kept() -> None:
    sink = MemorySink()
    _solved(_matrix((20, 30), "flat"), sink)
    assert not sink.bases
