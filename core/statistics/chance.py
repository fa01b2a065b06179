"""Chance levels: closed forms for an update with random directions.

The null model: the update keeps its own singular values, while its left and right singular frames
are drawn uniformly at random (Haar). For a Gaussian update this gives the Beta variances; for an
update of low rank the standard deviation is larger. Pure arithmetic on floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """The share of an update's energy inside a fixed subspace: expectation and standard
    deviation."""

    mean: float
    sd: float

    @property
    def saturated(self) -> bool:
        """Is the subspace the whole space? Then the share is 1 for every update."""
        return self.mean >= 1.0

    @property
    def measure(self) -> float:
        """The square root of the expected share: the chance level of a norm ratio."""
        return math.sqrt(self.mean)

    @property
    def measure_sd(self) -> float:
        """Standard deviation of the norm ratio, to first order."""
        return self.sd / (2 * math.sqrt(self.mean)) if self.mean else 0.0

    @property
    def excess_sd(self) -> float:
        """Standard deviation of the excess (share − mean)/(1 − mean)."""
        return self.sd / (1 - self.mean)

    def excess(self, share: float) -> float | None:
        """Energy beyond chance: 1 all inside, 0 chance, below 0 avoids. None when saturated."""
        return None if self.saturated else (share - self.mean) / (1 - self.mean)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Moments of α = AᵀPA for a Haar frame A in d dimensions and a projection P of rank k.

    E[α_ii] = c, E[α_ii²] = second, E[α_ii α_jj] = pair, E[α_ij²] = cross (i ≠ j).
    """

    c: float
    second: float
    pair: float
    cross: float


def _frame(d: int, k: int) -> _Frame:
    c = k / d
    variance = 2 * c * (1 - c) / (d + 2)
    others = max(d - 1, 1)
    return _Frame(
        c, c * c + variance, c * c - variance / others, max(c - c * c - variance, 0.0) / others
    )


def one_sided(d: int, k: int, concentration: float) -> Share:
    """Share inside a k-dimensional subspace of the d-dimensional side.

    `concentration` is Σp², p the update's energy by singular direction (1 for rank 1, 1/r for r
    equal ones). Var = v·(d·Σp² − 1)/(d − 1) with v = 2c(1−c)/(d+2); averaged over a Gaussian
    d × m update this is 2c(1−c)/(dm+2).
    """
    f = _frame(d, k)
    variance = concentration * f.second + (1 - concentration) * f.pair - f.c * f.c
    return Share(f.c, math.sqrt(max(variance, 0.0)))


def two_sided(d_out: int, d_in: int, k: int, concentration: float) -> Share:
    """Share inside a k-dimensional subspace on either side at once.

    From E[t²] = Σp²·E[α_ii²]E[β_ii²] + (1−Σp²)·(E[α_ii α_jj]E[β_ii β_jj] + 2E[α_ij²]E[β_ij²]).
    """
    a, b = _frame(d_out, k), _frame(d_in, k)
    mean = a.c * b.c
    second = concentration * a.second * b.second
    second += (1 - concentration) * (a.pair * b.pair + 2 * a.cross * b.cross)
    return Share(mean, math.sqrt(max(second - mean * mean, 0.0)))


def stable_rank(rows: int, columns: int) -> float:
    """Stable rank of a Gaussian matrix: d·m/(√d + √m)² (largest singular value, Bai and Yin)."""
    return rows * columns / (math.sqrt(rows) + math.sqrt(columns)) ** 2


def effective_rank(rows: int, columns: int) -> float:
    """Effective rank of a Gaussian matrix: n·exp(−n/2m), n ≤ m (entropy of a random state,
    Page)."""
    n, m = sorted((rows, columns))
    return n * math.exp(-n / (2 * m))
