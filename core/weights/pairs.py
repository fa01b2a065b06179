"""Sums over pairs of updates: the products of their magnitudes, and the overlap of their largest
elements.

Owns the arithmetic on one block of elements. Knows neither tensors nor the meaning of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SUMS = ("magnitude", "square", "both", "expected", "variance")
"""Σ|ab|; Σ(ab)²; the elements that are among the largest of a and of b; and the mean and the
variance of that number for random sets of the same sizes. On the diagonal, `both` is the size
of the model's own set."""


CHUNK = 1 << 13
"""Elements summed in float32: longer sums lose the seventh digit, shorter ones cost calls."""


@dataclass(frozen=True, slots=True)
class Pairing:
    """The models with wanted pairs, and the share of elements that count as their largest."""

    models: tuple[str, ...]
    top: float


@dataclass(slots=True)
class Pairs:
    """The sums of every pair of models, float64 [SUMS, N, N], symmetric."""

    pairing: Pairing
    sums: NDArray[np.float64]

    @classmethod
    def zero(cls, pairing: Pairing) -> Pairs:
        """The sums of no elements."""
        n = len(pairing.models)
        return cls(pairing, np.zeros((len(SUMS), n, n)))

    def __iadd__(self, other: Pairs) -> Pairs:
        self.sums += other.sums
        return self

    def of(self, model: str, reference: str) -> Mapping[str, float]:
        """The sums of one pair by name, and the sizes `a` and `b` of its sets of largest."""
        a, b = map(self.pairing.models.index, (model, reference))
        counts = self.sums[SUMS.index("both")]
        by_name = {name: float(values[a, b]) for name, values in zip(SUMS, self.sums, strict=True)}
        sets = {"both": counts[a, b], "a": counts[a, a], "b": counts[b, b]}
        return {**by_name, **{name: int(size) for name, size in sets.items()}}

    def add(self, updates: Tensor, compiled: Any = None) -> None:
        """Add a block of elements: updates [N, size], float32, in the order of the models, which
        are overwritten. `compiled`: the module of compiled loops, where they run.

        Magnitudes are divided by the largest of their row, so that no square leaves float32.
        """
        size, top = updates.shape[1], self.pairing.top
        overlaps = _overlaps(updates, top) if compiled is None else compiled.overlaps(updates, top)
        both = overlaps[2]
        for i, j in np.ndindex(both.shape):
            by_chance = _by_chance(size, int(both[i, i]), int(both[j, j]))
            self.sums[:, i, j] += (*(float(sums[i, j]) for sums in overlaps), *by_chance)


def last_of_the_largest(size: int, top: float) -> int:
    """The place, in ascending order, of the last element that counts as large."""
    return size - max(1, round(top * size))


def _overlaps(updates: Tensor, top: float) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Σ|ab|, Σ(ab)² and the number of common large elements, [N, N] each; the updates are
    overwritten."""
    rows = updates.abs_()
    chosen = [_largest(row.numpy(), top) for row in rows]
    peaks = rows.amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
    rows /= peaks
    scales = (peaks.double() @ peaks.double().mT).numpy()
    both = np.array([[np.count_nonzero(a & b) for b in chosen] for a in chosen])
    magnitudes = products(rows) * scales
    return magnitudes, products(rows.square_()) * scales**2, both


def products(rows: Tensor) -> NDArray[np.float64]:
    """Inner products of rows, float64 [N, N]. One by one: this is faster than a matrix product of
    so few rows, and keeps a pair's product independent of the other models in the pass."""
    gram = np.zeros((len(rows), len(rows)))
    for i, a in enumerate(rows):
        for j in range(i, len(rows)):
            gram[i, j] = gram[j, i] = dot(a, rows[j])
    return gram


def dot(a: Tensor, b: Tensor) -> float:
    """The inner product of two rows, float32: in chunks whose sums are added in float64."""
    chunks = [slice(start, start + CHUNK) for start in range(0, len(a), CHUNK)]
    return sum(float(torch.dot(a[chunk], b[chunk])) for chunk in chunks)


def _largest(magnitudes: NDArray[Any], top: float) -> NDArray[np.bool_]:
    """The elements at least as large as the last of the largest `top`, without zeros."""
    place = last_of_the_largest(magnitudes.size, top)
    threshold = np.partition(magnitudes, place)[place]
    return np.asarray(magnitudes >= threshold if threshold > 0 else magnitudes > 0)


def _by_chance(size: int, a: int, b: int) -> tuple[float, float]:
    """Mean and variance of the common elements of random sets of `a` and `b` out of `size`."""
    mean = a * b / size
    return mean, mean * (size - a) * (size - b) / (size * max(size - 1, 1))
