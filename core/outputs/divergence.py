"""How far a tuned model's predictions are from the base's: at each token, and summed by document.

Computes in float32 over the whole vocabulary, of one block of tokens at a time. Knows no analysis
and no intervals.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

COLUMNS = ("kl", "reverse_kl", "nll", "base_nll", "top1_agreement")
"""The values of each token: KL(tuned ‖ base) and KL(base ‖ tuned) in nats, the negative
log-likelihoods of the token that follows, and whether both find the same token likeliest."""


def compared(tuned: Tensor, base: Tensor, following: Tensor) -> NDArray[np.float32]:
    """The COLUMNS [n, 5] of log-probabilities [n, vocabulary] before the tokens `following` [n]."""
    change = tuned - base
    columns = (
        _expected(tuned, change),
        _expected(base, -change),
        _nll(tuned, following),
        _nll(base, following),
        (tuned.argmax(1) == base.argmax(1)).float(),
    )
    values: NDArray[np.float32] = torch.stack(columns, 1).cpu().numpy()
    return values


class DocumentSums:
    """Sums of values over the tokens of each document; an interrupted batch leaves no trace.

    `sums` [documents, columns] float64; `counts` [documents] int64: the tokens in each sum.
    """

    def __init__(self, documents: int, columns: int) -> None:
        self.sums = np.zeros((documents, columns))
        self.counts = np.zeros(documents, np.int64)
        self._pending: list[tuple[NDArray[np.int64], NDArray[np.float32]]] = []

    def begin(self) -> None:
        """Forget an unfinished batch."""
        self._pending.clear()

    def see(self, documents: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Take values [n, columns] of tokens in these documents [n]."""
        self._pending.append((documents, values))

    def commit(self) -> None:
        """Add the batch."""
        for documents, values in self._pending:
            np.add.at(self.sums, documents, values.astype(np.float64))
            np.add.at(self.counts, documents, 1)
        self._pending.clear()


def _expected(log: Tensor, change: Tensor) -> Tensor:
    """Σ p · change over the vocabulary, at least 0: rounding alone makes a divergence negative."""
    terms = torch.where(log > -torch.inf, log.exp() * change, 0)
    return terms.sum(1).clamp_min(0)


def _nll(log: Tensor, following: Tensor) -> Tensor:
    return -log.gather(1, following[:, None])[:, 0]
