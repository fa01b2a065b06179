"""Mean differences from sums over groups of documents, against documents one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.states import difference

GROUPS, EACH, WIDTH = 16, 3, 64


def _sums(values: Any) -> dict[str, Any]:
    """The sums of documents [groups, each, d] at one position."""
    return {
        "sums": values.sum(1)[None].astype(np.float32),
        "norms": np.linalg.norm(values, axis=2).sum(1)[None],
        "counts": np.full((1, GROUPS), EACH),
    }


def _documents(seed: int, size: float = 1.0) -> Any:
    return size * np.random.default_rng(seed).standard_normal((GROUPS, EACH, WIDTH))


def test_size_and_intervals_equal_documents_one_by_one() -> None:
    base, change = _documents(0), _documents(1, 0.1) + 0.2
    measured = difference.at_position(_sums(base), _sums(base + change), 0, 0)
    flat, changes = base.reshape(-1, WIDTH), change.reshape(-1, WIDTH)
    norm = np.linalg.norm(flat, axis=1).mean()
    np.testing.assert_allclose(measured.mean, changes.mean(0), atol=1e-5)
    assert measured.size == pytest.approx(np.linalg.norm(changes.mean(0)) / norm, rel=1e-5)
    assert measured.n == GROUPS * EACH
    for g, value in enumerate(measured.without):
        rest = np.delete(np.arange(GROUPS), g)
        expected = np.linalg.norm(change[rest].reshape(-1, WIDTH).mean(0))
        expected /= np.linalg.norm(base[rest].reshape(-1, WIDTH), axis=1).mean()
        assert value == pytest.approx(expected, rel=1e-5)


def test_differences_without_a_direction_are_as_large_as_chance_and_not_steady() -> None:
    sizes, levels, halves = [], [], []
    for seed in range(40):
        base, change = _documents(seed), _documents(1000 + seed, 0.1)
        measured: Any = difference.at_position(_sums(base), _sums(base + change), 0, seed)
        sizes.append(measured.size**2)
        levels.append(measured.noise**2)
        halves.append(measured.halves)
    assert np.mean(levels) == pytest.approx(np.mean(sizes), rel=0.05)
    assert abs(np.mean(halves)) < 0.05


@pytest.mark.parametrize("rank", [1, 2, 8, WIDTH])
def test_differences_without_a_direction_are_seldom_steady_beyond_chance(rank: int) -> None:
    """Of few dimensions too, as updates of low rank make them: against differences between the
    base's documents, 38 % of rank 1 and 24 % of rank 8 were."""
    rng, beyond, trials = np.random.default_rng(rank), 0, 300
    for seed in range(trials):
        base = rng.standard_normal((GROUPS, EACH, WIDTH))
        mixed = rng.standard_normal((GROUPS, EACH, rank)) @ rng.standard_normal((rank, WIDTH))
        measured: Any = difference.at_position(_sums(base), _sums(base + 0.1 * mixed), 0, seed)
        beyond += abs(measured.halves) > 2 * measured.spread
    assert beyond / trials <= 0.1


def test_steadiness_equals_halves_of_documents_one_by_one() -> None:
    base, change = _documents(0), _documents(1, 0.1) + 0.05
    measured = difference.at_position(_sums(base), _sums(base + change), 0, 3)
    rng, cosines = np.random.default_rng(3), []
    for _ in range(difference.SPLITS):
        order = rng.permutation(GROUPS)
        one, other = (change[order[part::2]].mean((0, 1)) for part in (0, 1))
        cosines.append(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
    assert measured.halves == pytest.approx(np.mean(cosines), rel=1e-4)


def test_one_direction_in_all_documents_is_steady() -> None:
    base, direction = _documents(0), np.random.default_rng(5).standard_normal(WIDTH)
    measured: Any = difference.at_position(_sums(base), _sums(base + direction), 0, 0)
    assert measured.halves == pytest.approx(1, abs=1e-6)
    assert measured.noise < 1e-6 < measured.size
    assert measured.halves > 2 * measured.spread


def test_a_model_without_a_difference_has_no_direction() -> None:
    base = _documents(0)
    measured = difference.at_position(_sums(base), _sums(base), 0, 0)
    assert measured.size == 0
    assert measured.halves is None
    assert difference.cosine(measured.mean, measured.mean) is None
    empty = {**_sums(base), "counts": np.zeros((1, GROUPS), int)}
    assert difference.at_position(empty, empty, 0, 0).size is None


def test_equal_documents_have_no_chance_level() -> None:
    """As at a first token that all documents share."""
    base = np.repeat(_documents(0)[:1, :1], GROUPS, 0).repeat(EACH, 1)
    noisy = base * (1 + 1e-7 * _documents(1))
    measured = difference.at_position(_sums(noisy), _sums(noisy + 0.1), 0, 0)
    assert measured.spread is None
    assert measured.halves == pytest.approx(1)
