"""Sets of layers that carry a gain: the greedy search for a small one, and random ones beside it.

Knows losses by document and asks for the losses of further sets. Knows no model and no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Losses = NDArray[np.float64]
"""[documents]: mean negative log-likelihoods in nats per token, as of a base with some layers of a
tuned model; NaN where there is none."""

Documents = NDArray[np.intp]
"""Places of documents."""

Layers = tuple[int, ...]
Ask = Callable[[Sequence[Layers]], Sequence[Losses]]
"""From sets of layers to the losses of the base with each."""

_LISTED = 64
"""Up to so many, all sets of a size are listed, and drawn from without repetition."""


@dataclass(frozen=True, slots=True)
class Step:
    """The layer that a step of the search adds, and the losses of the set with it."""

    layer: int
    losses: Losses


def halves(documents: Documents) -> tuple[Documents, Documents]:
    """The documents for the search, and for the results of the sets that it finds: every second one
    each, since a set looks best on the documents that chose it. Fewer than four serve for both."""
    return (documents, documents) if len(documents) < 4 else (documents[::2], documents[1::2])


def search(
    base: Losses,
    every: Losses,
    singles: Mapping[int, Losses],
    ask: Ask,
    *,
    documents: Documents,
    keep: float,
    tries: int,
) -> list[Step]:
    """Add the layer that lowers the mean loss of `documents` most, until the set keeps the share
    `keep` of the fall that all layers together (`every`) give.

    Each step tries the `tries` best layers by their latest losses (0: all). Empty if all layers
    together do not lower the loss.
    """

    def mean(losses: Losses) -> float:
        return _mean(losses[documents])

    whole = mean(base)
    target = keep * (whole - mean(every))
    if not target > 0:
        return []
    known = dict(singles)
    best = min(known, key=lambda layer: (mean(known[layer]), layer))
    steps = [Step(best, known.pop(best))]
    while known and whole - mean(steps[-1].losses) < target:
        if len(known) == 1:
            steps.append(Step(next(iter(known)), every))
            break
        order = sorted(known, key=lambda layer: (mean(known[layer]), layer))
        tried = order[: tries or None]
        chosen = tuple(step.layer for step in steps)
        known |= dict(zip(tried, ask([(*chosen, layer) for layer in tried]), strict=True))
        best = min(tried, key=lambda layer: (mean(known[layer]), layer))
        steps.append(Step(best, known.pop(best)))
    return steps


def drawn(layers: int, size: int, count: int, rng: np.random.Generator) -> list[Layers]:
    """Random sets of `size` of the layers: `count` of them, or all if there are no more."""
    if comb(layers, size) <= _LISTED:
        every = list(combinations(range(layers), size))
        chosen = rng.permutation(len(every))[:count]
        return [every[i] for i in sorted(chosen)]
    return [
        tuple(sorted(rng.choice(layers, size, replace=False).tolist())) for _ in range(count)
    ]  # fmt: skip


def _mean(losses: Losses) -> float:
    """The mean over the documents with a loss; infinite if any other is not finite."""
    mean = float(np.nanmean(losses))
    return mean if np.isfinite(mean) else np.inf
