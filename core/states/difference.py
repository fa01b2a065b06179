"""The mean difference between two models' states, by layer and position.

Owns the estimates from sums over groups of documents (`core.states.sample.Summed`): size and
direction, and both for differences that have nothing in common. Knows no model and no analysis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sums = Mapping[str, NDArray[Any]]
Vector = NDArray[np.float64]

SPLITS = 50
"""Random halvings of the groups of documents."""

TURNS = 200
"""Draws of random signs for the groups' differences."""

ROUNDING = 1e-4
"""Differences of means below this share of them are rounding."""


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """The mean over documents of h_t − h_b at a position.

    `mean` [d]; `size`: its norm over the mean norm of h_b, and `without` each group of documents;
    `noise`: that size if the documents' differences shared no direction. `halves`: the mean cosine
    of its values in two random halves of the documents. `spread`: the spread of the same around 0
    where each group's difference has a random sign, so that they have no common direction but their
    own dimensions: 95 % lie within twice of it. None, or empty, where undefined. `n`: documents
    that have the position.
    """

    mean: Vector
    size: float | None
    without: Vector
    noise: float | None
    halves: float | None
    spread: float | None
    n: int


def at_position(base: Sums, tuned: Sums, position: int, seed: int) -> MeanDifference:
    """The mean difference at a position of the sums."""
    counts = base["counts"][position].astype(np.float64)
    held = counts > 0
    counts, norms = counts[held], base["norms"][position][held]
    first = base["sums"][position][held].astype(np.float64)
    changes = tuned["sums"][position][held].astype(np.float64) - first
    n, groups = counts.sum(), len(counts)
    if not groups or not norms.sum():
        nothing = np.zeros(changes.shape[1])
        return MeanDifference(nothing, None, nothing[:0], None, None, None, int(n))
    mean = changes.sum(0) / n
    norm = norms.sum() / n
    apart = np.square((changes - counts[:, None] * mean) / n).sum()
    noise = np.sqrt(apart * groups / (groups - 1)) / norm if groups > 1 else None
    rest = [(changes.sum(0) - change) for change in changes] if groups > 1 else []
    without = [
        np.linalg.norm(remaining) / (norms.sum() - norms[g]) for g, remaining in enumerate(rest)
    ]
    rng = np.random.default_rng(seed)
    halvings = np.stack([_halving(groups, rng) for _ in range(SPLITS)])
    products = changes @ changes.T
    turned = [
        abs(steadiness)
        for signs in rng.choice((-1.0, 1.0), (TURNS, groups))
        if (steadiness := _steadiness(products * np.outer(signs, signs), halvings)) is not None
    ]
    has_spread = turned and not _are_equal(first / counts[:, None])
    return MeanDifference(
        mean,
        float(np.linalg.norm(mean) / norm),
        np.array(without),
        None if noise is None else float(noise),
        _steadiness(products, halvings),
        float(np.quantile(turned, 0.95)) / 2 if has_spread else None,
        int(n),
    )


def cosine(first: Vector, second: Vector) -> float | None:
    """The cosine of two vectors; None if one is zero."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else None


def _halving(groups: int, rng: np.random.Generator) -> Vector:
    """1 for the groups of a random half, 0 for the others."""
    half = np.zeros(groups)
    half[rng.permutation(groups)[::2]] = 1
    return half


def _steadiness(products: Vector, halvings: Vector) -> float | None:
    """The mean cosine of the sums over the two halves of each halving, from the inner products of
    the groups; None if all are undefined."""
    ones, others = halvings @ products, (1 - halvings) @ products
    sizes = (ones * halvings).sum(1) * (others * (1 - halvings)).sum(1)
    known = sizes > 0
    if not known.any():
        return None
    cosines = (ones * (1 - halvings)).sum(1)[known] / np.sqrt(sizes[known])
    return float(cosines.mean())


def _are_equal(means: Vector) -> bool:
    """Are the groups' means [groups, d] equal to rounding, as at a first token that all documents
    share?"""
    centre = means.mean(0)
    furthest = np.linalg.norm(means - centre, axis=1).max()
    return bool(furthest <= ROUNDING * np.linalg.norm(centre))
