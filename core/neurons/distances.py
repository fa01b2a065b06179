"""Distances between the activation patterns of two models: method, section 2.

Owns the distances between binary patterns, and their baseline from independent patterns of the same
rates. A pattern is a row of bits over the neurons of a layer; row i of both models is the same
document. Knows no model and no probe set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from core.statistics import intervals

Bits = NDArray[np.bool_]

INDEPENDENT_PAIRS = 8
"""Number of pairs of unlike documents for estimating the Levenshtein distance by chance."""


@dataclass(frozen=True, slots=True)
class Hamming:
    """Normalised Hamming distances between S documents' patterns under two models.

    `observed` [S]: each document under both models. `baseline`: the mean over pairs of unlike
    documents; None with a single one. `baseline_sd`: the spread of the mean distance over cyclic
    shifts of one model's documents, wider for few shifts. `without` [S]: the ratio of observed to
    baseline with each document left out in turn, NaN where it is undefined.
    """

    observed: NDArray[np.float64]
    baseline: float | None
    baseline_sd: float | None
    without: NDArray[np.float64]

    @property
    def ratio(self) -> float | None:
        """Observed over baseline; None at 0/0 or without a baseline."""
        return float(self.observed.mean()) / self.baseline if self.baseline else None


def hamming(base: Bits, tuned: Bits) -> Hamming:
    """Distances of patterns [S, neurons].

    The baseline is the expected distance of independent patterns with the same rates, mean_j p(1 −
    q) + q(1 − p), without its bias: the sum over all pairs includes the S observed pairs of a
    document with itself. Without them it is the mean distance between unlike documents.
    """
    count, width = base.shape
    a, b = base.astype(np.float32), tuned.astype(np.float32)
    # |a ⊕ b| = |a| + |b| − 2 a·b; whole numbers below 2²⁴ are exact in float32.
    apart = (a.sum(1)[:, None] + b.sum(1)[None, :] - 2 * (a @ b.T)).astype(np.int64)
    matched = np.diag(apart)
    observed: NDArray[np.float64] = matched / width
    if count < 2:
        return Hamming(observed, None, None, np.full(count, np.nan))
    baseline = float(apart.sum() - matched.sum()) / (count * (count - 1) * width)
    rows = np.arange(count)
    shifted = [apart[rows, (rows + s) % count].mean() / width for s in range(1, count)]
    return Hamming(observed, baseline, intervals.of_draws(shifted), _without(apart, matched))


def levenshtein(base: Bits, tuned: Bits) -> NDArray[np.float64]:
    """Normalised Levenshtein distances [S] of patterns [S, neurons], row by row.

    It is at most the Hamming distance, so the search can stop early. It depends on the order of the
    neurons, which is arbitrary.
    """
    width = base.shape[1]
    limits = (base != tuned).sum(1)
    edits = [
        Levenshtein.distance(_text(a), _text(b), score_cutoff=int(limit))
        for a, b, limit in zip(base, tuned, limits, strict=True)
    ]
    normalised: NDArray[np.float64] = np.array(edits, dtype=np.float64) / width
    return normalised


def levenshtein_by_chance(base: Bits, tuned: Bits) -> NDArray[np.float64]:
    """The distances of some pairs of unlike documents, evenly spread; empty with one document."""
    count = len(base)
    if count < 2:
        return np.zeros(0)
    first = np.unique(np.linspace(0, count - 1, min(count, INDEPENDENT_PAIRS)).astype(int))
    return levenshtein(base[first], tuned[(first + count // 2) % count])


def rate_change(base: Bits, tuned: Bits) -> float:
    """mean_j |p_j − q_j|, the smallest Hamming distance possible with these rates."""
    return float(np.abs(base.mean(0) - tuned.mean(0)).mean())


def _text(bits: Bits) -> bytes:
    return bits.astype(np.uint8).tobytes()


def _without(apart: NDArray[np.int64], matched: NDArray[np.int64]) -> NDArray[np.float64]:
    """The ratio with each document left out, from the differing neurons [S, S] of all pairs."""
    count = len(matched)
    if count < 3:
        return np.full(count, np.nan)
    # In integers, so that a baseline of 0 is exact.
    unlike = apart.sum() - matched.sum() - (apart.sum(0) + apart.sum(1) - 2 * matched)
    like = matched.sum() - matched
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: NDArray[np.float64] = np.where(unlike > 0, like * (count - 2) / unlike, np.nan)
    return ratios
