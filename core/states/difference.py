"""The mean difference between two models' states, by layer and position.

Owns the estimates from sums over groups of documents (`core.states.sample.Summed`): size and
direction, and both for documents that have nothing in common. Knows no model and no
analysis.
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
"""Random halves, and random quarters, of the groups of documents."""

ROUNDING = 1e-4
"""Differences of means below this share of them are rounding."""


@dataclass(frozen=True, slots=True)
class MeanDifference:
    """The mean over documents of h_t − h_b at a position.

    `mean` [d]; `size`: its norm over the mean norm of h_b, and `without` each group of documents;
    `noise`: that size if the documents' differences shared no direction. `halves`: the mean cosine
    of its values in two random halves of the documents. `unlike`, `unlike_sd`: mean and spread of
    the cosine between two differences of means over unlike documents of the base. None, or empty,
    where undefined. `n`: documents that have the position.
    """

    mean: Vector
    size: float | None
    without: Vector
    noise: float | None
    halves: float | None
    unlike: float | None
    unlike_sd: float | None
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
        return MeanDifference(nothing, None, nothing[:0], None, None, None, None, int(n))
    mean = changes.sum(0) / n
    norm = norms.sum() / n
    apart = np.square((changes - counts[:, None] * mean) / n).sum()
    noise = np.sqrt(apart * groups / (groups - 1)) / norm if groups > 1 else None
    rest = [(changes.sum(0) - change) for change in changes] if groups > 1 else []
    without = [
        np.linalg.norm(remaining) / (norms.sum() - norms[g]) for g, remaining in enumerate(rest)
    ]
    rng = np.random.default_rng(seed)
    halves = [cosine(*_parts(changes, counts, rng, 2)) for _ in range(SPLITS)] if groups > 1 else []
    unlike = [_unlike(first, counts, rng) for _ in range(SPLITS)] if groups > 3 else []
    known, others = _known(halves), _known(unlike)
    return MeanDifference(
        mean,
        float(np.linalg.norm(mean) / norm),
        np.array(without),
        None if noise is None else float(noise),
        float(np.mean(known)) if known else None,
        float(np.mean(others)) if others else None,
        float(np.std(others, ddof=1)) if len(others) > 1 else None,
        int(n),
    )


def cosine(first: Vector, second: Vector) -> float | None:
    """The cosine of two vectors; None if one is zero."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else None


def _parts(sums: Vector, counts: Vector, rng: np.random.Generator, parts: int) -> list[Vector]:
    """The means over random parts of the groups."""
    order = rng.permutation(len(sums))
    chosen = [order[part::parts] for part in range(parts)]
    return [sums[part].sum(0) / counts[part].sum() for part in chosen]


def _unlike(sums: Vector, counts: Vector, rng: np.random.Generator) -> float | None:
    """The cosine of two differences of means over random quarters of the groups; None where the
    documents are equal to rounding, as at a first token that all share."""
    a, b, c, d = _parts(sums, counts, rng, 4)
    least = min(np.linalg.norm(a - b), np.linalg.norm(c - d))
    return cosine(a - b, c - d) if least > ROUNDING * np.linalg.norm(a) else None


def _known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None]
