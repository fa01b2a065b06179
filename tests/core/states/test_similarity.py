"""Alignment of states against its definition, term by term."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from core.analyses import representation
from core.states import similarity

DOCUMENTS = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 3])


def _states(seed: int, width: int = 5) -> torch.Tensor:
    return torch.randn(len(DOCUMENTS), width, generator=torch.Generator().manual_seed(seed))


def _hsic(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al. 2012: the mean of a_ij (b_ij + b_qr − 2 b_iq) over all tuples of tokens."""
    a, b = x @ x.T, y @ y.T
    tuples = itertools.permutations(range(len(x)), 4)
    return float(np.mean([a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q]) for i, j, q, r in tuples]))


def _cka(x: torch.Tensor, y: torch.Tensor) -> float:
    a, b = x.double().numpy(), y.double().numpy()
    return _hsic(a, b) / float(np.sqrt(_hsic(a, a) * _hsic(b, b)))


def test_the_alignment_equals_its_definition_also_without_each_document() -> None:
    x = _states(0)
    y = x + 0.5 * _states(1)
    measured = similarity.alignment(x, y, DOCUMENTS)
    assert measured.value == pytest.approx(_cka(x, y), abs=1e-9)
    for document, value in enumerate(measured.without):
        others = document != DOCUMENTS
        assert value == pytest.approx(_cka(x[others], y[others]), abs=1e-9)
    # Shifts by 1, 3 and 8 tokens would pair tokens of the second document with one another.
    rolled = [_cka(x, y.roll(shift, 0)) for shift in (5, 6)]
    np.testing.assert_allclose(measured.unlike, rolled, atol=1e-9)


def test_the_alignment_sees_no_rotation_and_no_scale() -> None:
    x = _states(0)
    rotation, _ = torch.linalg.qr(torch.randn(5, 5, generator=torch.Generator().manual_seed(4)))
    assert similarity.alignment(x, x, DOCUMENTS).value == pytest.approx(1, abs=1e-12)
    turned = similarity.alignment(x, 3 * x @ rotation + 2, DOCUMENTS)
    assert turned.value == pytest.approx(1, abs=1e-5)


def test_unrelated_states_are_seldom_beyond_chance() -> None:
    """Two standard deviations of 5 shifts left out 13 of 100."""
    documents, generator = np.repeat(np.arange(12), 4), torch.Generator().manual_seed(5)
    reader: Any = SimpleNamespace(_coordinates=lambda metric: {})
    beyond, trials = 0, 400
    for _ in range(trials):
        first, second = (torch.randn(48, 6, generator=generator) for _ in range(2))
        alignment = similarity.alignment(first, second, documents)
        row: Any = representation._Reader._cka(reader, 0, alignment)
        beyond += abs(row.value - row.chance) > 2 * row.chance_sd
    assert beyond / trials <= 0.08


def test_unrelated_states_of_more_dimensions_than_tokens_align_by_nothing() -> None:
    """The biased estimate would be near 1."""
    documents = np.repeat(np.arange(10), 4)
    generator = torch.Generator().manual_seed(0)
    values: list[Any] = [
        similarity.alignment(
            torch.randn(40, 400, generator=generator), torch.randn(40, 400, generator=generator),
            documents,
        ).value
        for _ in range(20)
    ]  # fmt: skip
    assert abs(np.mean(values)) < 0.03


def test_too_few_tokens_or_constant_states_have_no_alignment() -> None:
    x = _states(0)
    assert similarity.alignment(x[:3], x[:3], DOCUMENTS[:3]).value is None
    flat = torch.ones_like(x)
    assert similarity.alignment(x, flat, DOCUMENTS).value is None


def test_drift_is_relative_to_the_bases_state_of_the_token() -> None:
    x, y = _states(0), _states(1)
    drifts, unlike = similarity.drift(x, y, DOCUMENTS)
    expected = [float((b - a).norm() / a.norm()) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(drifts, expected, rtol=1e-5)
    other = [float((y[(i - 5) % 10] - x[i]).norm() / x[i].norm()) for i in range(10)]
    np.testing.assert_allclose(unlike, other, rtol=1e-5)


def test_tokens_of_one_document_are_no_unlike_ones() -> None:
    x, y = _states(0), _states(1)
    one = np.zeros(10, np.int64)
    assert len(similarity.alignment(x, y, one).unlike) == 0
    assert np.isnan(similarity.drift(x, y, one)[1]).all()
    long = np.array([0] * 7 + [1] * 3)
    other = [i for i in range(10) if long[i] != long[(i - 5) % 10]]
    assert np.flatnonzero(np.isfinite(similarity.drift(x, y, long)[1])).tolist() == other
