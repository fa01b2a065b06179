"""Distances of patterns and their baselines against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rapidfuzz.distance import Levenshtein
from scipy import stats

from core.analyses import edit_distance
from core.neurons import distances
from core.statistics import intervals

Pair = tuple[np.ndarray, np.ndarray]
PATTERNS = st.tuples(st.integers(2, 7), st.integers(1, 12)).flatmap(
    lambda shape: st.tuples(arrays.arrays(bool, shape), arrays.arrays(bool, shape))
)


def _random(seed: int, documents: int, neurons: int, flips: float = 0.1) -> tuple[np.ndarray, ...]:
    """Patterns of neurons with rates of their own, and the same with some neurons flipped."""
    rng = np.random.default_rng(seed)
    base = rng.random((documents, neurons)) < rng.random(neurons)
    return base, base ^ (rng.random((documents, neurons)) < flips)


def _all_pairs(base: np.ndarray, tuned: np.ndarray) -> np.ndarray:
    return np.array([[(a != b).mean() for b in tuned] for a in base])


def _plain_levenshtein(a: np.ndarray, b: np.ndarray) -> int:
    """The textbook's dynamic programme."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(PATTERNS)
def test_hamming_and_its_baseline_equal_brute_force_and_the_formula(patterns: Pair) -> None:
    base, tuned = patterns
    count = len(base)
    pairs = _all_pairs(base, tuned)
    measured = distances.hamming(base, tuned)
    np.testing.assert_allclose(measured.observed, np.diag(pairs), atol=1e-12)
    unlike = pairs[~np.eye(count, dtype=bool)].mean()
    assert measured.baseline == pytest.approx(unlike, abs=1e-12)
    p, q = base.mean(0), tuned.mean(0)
    plain = (p * (1 - q) + q * (1 - p)).mean()
    assert measured.baseline == pytest.approx(
        (count * plain - measured.observed.mean()) / (count - 1), abs=1e-12
    )
    if unlike:
        assert measured.ratio == pytest.approx(np.diag(pairs).mean() / unlike)
    else:
        assert measured.ratio is None


@given(PATTERNS)
def test_each_document_left_out_in_turn_equals_brute_force(patterns: Pair) -> None:
    base, tuned = patterns
    without = distances.hamming(base, tuned).without
    if len(base) < 3:
        assert np.isnan(without).all()
        return
    for left_out, ratio in enumerate(without):
        others = np.arange(len(base)) != left_out
        wanted = distances.hamming(base[others], tuned[others]).ratio
        assert (np.isnan(ratio) and wanted is None) or ratio == pytest.approx(wanted, abs=1e-9)


@given(PATTERNS)
def test_laws_of_the_distances(patterns: Pair) -> None:
    base, tuned = patterns
    observed = distances.hamming(base, tuned).observed
    assert (distances.levenshtein(base, tuned) <= observed + 1e-12).all()
    assert distances.rate_change(base, tuned) <= observed.mean() + 1e-12
    np.testing.assert_array_equal(observed, distances.hamming(tuned, base).observed)
    order = np.random.default_rng(0).permutation(base.shape[1])
    np.testing.assert_allclose(
        distances.hamming(base[:, order], tuned[:, order]).observed, observed
    )


def test_a_model_with_itself_has_no_distance() -> None:
    base, _ = _random(0, 9, 40)
    measured = distances.hamming(base, base)
    assert not measured.observed.any()
    assert measured.ratio == 0
    assert measured.baseline is not None
    assert measured.baseline > 0.2
    assert not distances.levenshtein(base, base).any()
    assert distances.rate_change(base, base) == 0


def test_a_single_document_has_no_baseline() -> None:
    base, tuned = _random(0, 1, 40)
    measured = distances.hamming(base, tuned)
    assert (measured.baseline, measured.baseline_sd, measured.ratio) == (None, None, None)
    assert len(distances.levenshtein_by_chance(base, tuned)) == 0


def test_neurons_that_never_vary_have_no_ratio() -> None:
    same = np.ones((4, 6), dtype=bool)
    measured = distances.hamming(same, same)
    assert measured.baseline == 0
    assert measured.ratio is None


def test_unlike_patterns_have_a_ratio_of_one() -> None:
    """Independent patterns of the same rates: the mean ratio is 1, without bias even for few
    documents, and its interval holds 1 in about 95 of 100 cases."""
    held, ratios = 0, []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        rates = rng.beta(0.4, 0.6, 200)
        base, tuned = rng.random((2, 8, 200)) < rates
        measured = distances.hamming(base, tuned)
        assert measured.ratio is not None
        bounds = intervals.of_jackknife(measured.ratio, measured.without)
        held += (bounds.low or 0) <= 1 <= (bounds.high or 0)
        ratios.append(measured.ratio)
    assert np.mean(ratios) == pytest.approx(1, abs=3 * np.std(ratios) / 300**0.5)
    assert 0.91 <= held / 300 <= 0.99


def test_the_spread_of_the_baseline_is_that_of_shifted_documents() -> None:
    base, tuned = _random(3, 6, 50)
    pairs = _all_pairs(base, tuned)
    shifted = [np.mean([pairs[i, (i + s) % 6] for i in range(6)]) for s in range(1, 6)]
    measured = distances.hamming(base, tuned)
    widened = stats.t.ppf(0.975, 4) / stats.norm.ppf(0.975) * (1 + 1 / 5) ** 0.5
    assert measured.baseline_sd == pytest.approx(np.std(shifted, ddof=1) * widened)
    assert measured.baseline == pytest.approx(np.mean(shifted))


@pytest.mark.parametrize("documents", [4, 6, 10, 40])
def test_independent_patterns_are_seldom_beyond_chance(documents: int) -> None:
    """Two standard deviations of few shifts, or of the mean of few pairs, did not hold them: 34 %
    of Hamming distances of 3 documents (now 10 %) and 37 % of Levenshtein distances of 40."""
    rng, outside, trials = np.random.default_rng(documents), np.zeros(2), 300
    for _ in range(trials):
        rates = rng.beta(0.6, 0.6, 60)
        base, tuned = (rng.random((documents, 60)) < rates for _ in range(2))
        hamming = distances.hamming(base, tuned)
        row = edit_distance._levenshtein_row(base, tuned, {})
        for place, (value, level, spread) in enumerate((
            (hamming.observed.mean(), hamming.baseline, hamming.baseline_sd),
            (row.value, row.chance, row.chance_sd),
        )):  # fmt: skip
            outside[place] += abs(value - level) > 2 * spread  # type: ignore[operator]
    assert (outside / trials <= 0.08).all()


@settings(max_examples=40)
@given(PATTERNS)
def test_levenshtein_equals_the_textbook(patterns: Pair) -> None:
    base, tuned = patterns
    wanted = [_plain_levenshtein(a, b) / base.shape[1] for a, b in zip(base, tuned, strict=True)]
    np.testing.assert_allclose(distances.levenshtein(base, tuned), wanted)


@pytest.mark.parametrize("flips", [0.0, 0.03, 0.3])
def test_levenshtein_of_long_patterns_equals_rapidfuzz_without_a_bound(flips: float) -> None:
    base, tuned = _random(1, 3, 1500, flips)
    wanted = [
        Levenshtein.distance(a.tolist(), b.tolist()) / 1500
        for a, b in zip(base, tuned, strict=True)
    ]
    np.testing.assert_allclose(distances.levenshtein(base, tuned), wanted)


@pytest.mark.parametrize("documents", [2, 3, 8, 21])
def test_levenshtein_by_chance_is_of_unlike_documents(documents: int) -> None:
    """Patterns that are the same in both models, and of which no two documents are."""
    base = np.eye(documents, 40, dtype=bool)
    apart = distances.levenshtein_by_chance(base, base)
    assert 2 <= len(apart) <= distances.INDEPENDENT_PAIRS
    assert (apart > 0).all()
