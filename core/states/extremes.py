"""The most extreme cosines of states with some directions, and the passages around them.

Owns the choice of the places: the highest and the lowest of each direction, one in each document;
and the same of random directions for chance. Knows no model and no analysis.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import arrived, down, up
from core.neurons.contexts import Best, LayerContexts
from core.texts.probe import Batch

FIRST = 1
"""The number of first tokens of a document that are left out: many models give the first token,
which has no context, an unusual state."""


class Extremes:
    """Follows directions [n, d] of length 1 through the states after one layer, beside `random`
    directions of uniform distribution. An interrupted batch leaves no trace.

    `places`: the tokens so far.
    """

    def __init__(self, directions: NDArray[np.float32], random: int, seed: int) -> None:
        n, width = directions.shape
        drawn = np.random.default_rng(seed).standard_normal((random, width))
        drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
        self._all = torch.from_numpy(np.concatenate([directions, drawn]).astype(np.float32))
        rows = np.arange(n, dtype=np.int32)
        self._ends = [Best(rows, signed=True, skip=FIRST) for _ in range(2)]
        self._random = np.zeros(random)
        self._count = n
        self._pending: tuple[NDArray[np.float32], NDArray[np.float64]] | None = None
        self._batch: Batch | None = None
        self.places = 0

    def begin(self, batch: Batch) -> None:
        """Forget an unfinished batch, and start this one."""
        self._batch, self._pending = batch, None

    def see(self, states: Tensor) -> None:
        """Take the states [B, T, d] of the batch; states of another width are left out."""
        assert self._batch is not None
        if states.shape[2] != self._all.shape[1]:
            return
        self._all = up(self._all, states.device)
        unit = torch.nn.functional.normalize(states.float(), dim=2, eps=1e-30)
        cosines = unit @ self._all.T
        counted = up(self._batch.mask.bool(), states.device)
        counted[:, :FIRST] = False
        sizes = cosines[..., self._count :].abs()[counted]
        largest = sizes.amax(0) if len(sizes) else self._all.new_zeros(len(self._random))
        measured, largest = down(cosines[..., : self._count]), down(largest)
        arrived(states.device)
        self._pending = measured.numpy(), largest.double().numpy()

    def commit(self) -> None:
        """Add the batch."""
        assert self._batch is not None
        if self._pending is None:
            return
        cosines, largest = self._pending
        self._random = np.maximum(self._random, largest)
        for row, (document, length) in enumerate(
            zip(self._batch.documents, self._batch.lengths, strict=True)
        ):
            self.places += max(0, length - FIRST)
            for end, sign in zip(self._ends, (1, -1), strict=True):
                end.add(sign * cosines[row, :length], document)
        self._pending = None

    def largest(self, index: int) -> float | None:
        """The largest |cosine| of a direction at any place; None if there was none."""
        peak = max(float(end.peaks[index, 0]) for end in self._ends)
        return peak if np.isfinite(peak) else None

    @property
    def chance(self) -> float | None:
        """The mean over random directions of their largest |cosine| at any of these places."""
        return float(self._random.mean()) if self.places else None

    @property
    def chance_sd(self) -> float | None:
        """The standard deviation of that over random directions."""
        return float(self._random.std(ddof=1)) if self.places else None

    def passages(self, rows: Sequence[int]) -> tuple[LayerContexts, NDArray[np.float32]]:
        """The passages of each direction's highest places, then of its lowest.

        Also the cosines there [2 · directions, SNIPPETS], NaN where there is no passage.
        """
        high, low = (end.result() for end in self._ends)
        order = [(end, row) for row in rows for end in (0, 1)]
        signs = np.array([1, -1], np.float32)[[end for end, _ in order]]
        documents, starts, values, peaks = (
            np.stack([(first, second)[end][row] for end, row in order])
            for first, second in (
                (high.documents, low.documents), (high.starts, low.starts),
                (high.values, low.values), (self._ends[0].peaks, self._ends[1].peaks),
            )
        )  # fmt: skip
        contexts = LayerContexts(
            np.arange(len(order), dtype=np.int32), documents, starts, signs[:, None, None] * values
        )
        known = np.where(documents >= 0, peaks, np.nan)
        return contexts, (signs[:, None] * known).astype(np.float32)
