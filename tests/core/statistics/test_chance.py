"""Closed forms against the published special case, simulation, and hypothesis."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.statistics import chance


def _haar(rng: np.random.Generator, d: int, r: int) -> np.ndarray:
    q, upper = np.linalg.qr(rng.standard_normal((d, r)))
    return q * np.sign(np.diag(upper))


@pytest.mark.parametrize(("d", "m"), [(12, 12), (24, 10), (10, 24)])
@pytest.mark.parametrize("energy", [[1.0], [0.7, 0.2, 0.1], [0.25] * 4])
def test_shares_of_random_frames_match_the_closed_forms(
    d: int, m: int, energy: list[float]
) -> None:
    rng = np.random.default_rng(0)
    k, trials, p = 4, 4000, np.array(energy)
    left, both = np.empty(trials), np.empty(trials)
    for i in range(trials):
        a, b = _haar(rng, d, len(p)), _haar(rng, m, len(p))
        update = (a * np.sqrt(p)) @ b.T
        left[i] = np.square(update[:k]).sum()
        both[i] = np.square(update[:k, :k]).sum()
    spread = float((p**2).sum())
    for shares, level in (
        (left, chance.one_sided(d, k, spread)),
        (both, chance.two_sided(d, m, k, spread)),
    ):
        error = shares.std() / math.sqrt(trials)
        assert abs(shares.mean() - level.mean) < 5 * error
        assert shares.std() == pytest.approx(level.sd, rel=0.08)


@given(st.integers(2, 60), st.integers(2, 60), st.data())
def test_a_gaussian_update_has_the_beta_variance(d: int, m: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, d))
    # E[Σp²] of a Gaussian d × m matrix, as E[tr G²]/E[(tr G)²].
    concentration = (d + m + 1) / (d * m + 2)
    c = k / d
    expected = math.sqrt(2 * c * (1 - c) / (d * m + 2))
    assert chance.one_sided(d, k, concentration).sd == pytest.approx(expected, abs=1e-12)


@given(st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 1), st.data())
def test_saturation_is_decided_on_integers(
    d: int, m: int, concentration: float, data: st.DataObject
) -> None:
    k = data.draw(st.integers(1, min(d, m)))
    one = chance.one_sided(d, k, concentration)
    assert one.saturated == (k == d)
    assert chance.two_sided(d, m, k, concentration).saturated == (k == d == m)
    assert (one.excess(1.0) is None) == one.saturated


@settings(max_examples=30)
@given(st.integers(3, 40), st.floats(0, 1), st.data())
def test_excess_runs_from_chance_to_one(d: int, share: float, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, d - 1))
    level = chance.one_sided(d, k, 1.0)
    assert level.excess(1.0) == pytest.approx(1)
    assert level.excess(level.mean) == pytest.approx(0)
    excess = level.excess(share)
    assert excess is not None
    assert (excess < 0) == (share < level.mean)


@pytest.mark.parametrize(("d", "m"), [(200, 200), (100, 300), (300, 100)])
def test_ranks_of_gaussian_matrices(d: int, m: int) -> None:
    rng = np.random.default_rng(1)
    energy = np.linalg.svd(rng.standard_normal((d, m)), compute_uv=False) ** 2
    p = energy / energy.sum()
    assert chance.stable_rank(d, m) == pytest.approx(1 / p.max(), rel=0.05)
    assert chance.effective_rank(d, m) == pytest.approx(math.exp(-(p * np.log(p)).sum()), rel=0.01)
