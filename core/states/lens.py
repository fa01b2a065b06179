"""Logit lenses: the head's predictions from the states after each layer, compared between models.

Owns the divergence between lenses at sampled tokens, block by block. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.states.head import Head

Read = Callable[[slice], Tensor]
"""The log-probabilities [n, vocabulary] at a block of tokens."""


def agrees(head: Head, last: Tensor, final: Tensor) -> bool:
    """Is the head's norm the only map between the last layer and the head? `last` and `final`
    [n, d]: states after the last layer, and the same after the final norm."""
    with torch.inference_mode():
        try:
            normed = head.norm(last)
        except RuntimeError:  # of another width: a further map lies between
            return False
    if normed.shape != final.shape:
        return False
    expected = final.float()
    apart = (normed.to(expected) - expected).norm()
    return bool(apart <= 0.02 * expected.norm())


def reading(head: Head, states: Tensor) -> Read:
    """The lens of states [n, d] after a layer: the model's final norm and head over them."""

    def read(rows: slice) -> Tensor:
        with torch.inference_mode():
            return torch.log_softmax(head.logits(head.norm(states[rows])), 1)

    return read


def predicted(head: Head, final: Tensor) -> Read:
    """The model's own predictions from final-normed states [n, d]."""

    def read(rows: slice) -> Tensor:
        with torch.inference_mode():
            return torch.log_softmax(head.logits(final[rows]), 1)

    return read


def divergences(
    first: Read, second: Read, count: int, block: int, documents: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """KL(first ‖ second) [n] in nats at each token, over the vocabulary that both have.

    Also the same with the second lens at a token of another document (NaN where a block has none).
    """
    like, unlike = np.full(count, np.nan), np.full(count, np.nan)
    for start in range(0, count, block):
        rows = slice(start, min(start + block, count))
        p, q = first(rows), second(rows)
        p, q = _common(p, q)
        like[rows] = _kl(p, q)
        within = documents[rows]
        other = next(
            (k for k in _shifts(len(within)) if (within != np.roll(within, k)).any()), None
        )
        if other is not None:
            divergence = _kl(p, q.roll(other, 0))
            unlike[rows] = np.where(within != np.roll(within, other), divergence, np.nan)
    return like, unlike


def _shifts(count: int) -> list[int]:
    return [count // 2, 1] if count > 1 else []


def _common(p: Tensor, q: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities over the common vocabulary, renormalised where they differ in it."""
    common = min(p.shape[1], q.shape[1])
    if p.shape[1] == q.shape[1]:
        return p, q
    return torch.log_softmax(p[:, :common], 1), torch.log_softmax(q[:, :common], 1)


def _kl(p: Tensor, q: Tensor) -> NDArray[np.float64]:
    terms = torch.where(p > -torch.inf, p.exp() * (p - q), 0)
    divergence: NDArray[np.float64] = terms.sum(1).double().cpu().numpy()
    return divergence
