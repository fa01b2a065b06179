"""Predictions of a loaded model and of the base at the same tokens, block by block.

Owns the choice of positions: all that have a next token. Memory holds the log-probabilities of one
block of tokens. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import up

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.states.forward import Seen
    from core.states.head import Head
    from core.texts.probe import Batch

AT_ONCE = 4
"""The tensors of a block's size that a comparison holds: blocks are smaller by this factor."""

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Pair:
    """The predictions at a block of positions.

    `documents` and `positions` [n] int64: where each is; `places` [n] int64: the number of its
    document's positions before it that count, so 0 at the first token of an answer; `contexts` [n]
    uint64: a hash of the tokens up to it; `following` [n] int64: the token that follows it; `own`
    and `base` [n, vocabulary] float32: log-probabilities over the vocabulary that both models have,
    on one device. Of the base itself `base` is None.
    """

    documents: NDArray[np.int64]
    positions: NDArray[np.int64]
    places: NDArray[np.int64]
    contexts: NDArray[np.uint64]
    following: Tensor
    own: Tensor
    base: Tensor | None


def of_batch(session: Session, seen: Seen) -> Iterator[Pair]:
    """The predictions in a batch after its forward pass."""
    rows, columns = seen.batch.scored.nonzero(as_tuple=True)
    documents, positions = np.asarray(seen.batch.documents)[rows.numpy()], columns.numpy()
    places = (seen.batch.scored.cumsum(1)[rows, columns] - 1).numpy()
    contexts = _contexts(seen.batch)[rows.numpy(), positions]
    following = seen.batch.following[rows, columns]
    block = session.head.block
    if seen.base is not None:
        block = min(block, session.base_head.block)
    step = max(1, block // AT_ONCE)
    for start in range(0, len(rows), step):
        chunk = slice(start, start + step)
        where = tuple(up(each[chunk], seen.final.device) for each in (rows, columns))
        log_probs, base = predicted(session.head, seen.final[where]), None
        if seen.base is not None:
            base = predicted(session.base_head, seen.base[where])
            log_probs, base = common(log_probs, base)
        next_ones = up(following[chunk], log_probs.device)
        yield Pair(
            documents[chunk], positions[chunk], places[chunk], contexts[chunk], next_ones,
            log_probs, base,
        )  # fmt: skip


def _contexts(batch: Batch) -> NDArray[np.uint64]:
    """A hash of the tokens of each document up to each position, [B, T]."""
    ids = batch.ids.numpy().astype(np.uint64)
    hashed, so_far = np.zeros_like(ids), np.zeros(len(ids), np.uint64)
    for place in range(ids.shape[1]):
        so_far = so_far * _FACTOR + ids[:, place] + np.uint64(1)  # modulo 2⁶⁴
        hashed[:, place] = so_far
    return hashed


def predicted(head: Head, states: Tensor) -> Tensor:
    """The log-probabilities [n, vocabulary] float32 that a head makes of final-normed states."""
    return torch.log_softmax(head.logits(states), 1)


def common(log_probs: Tensor, base: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities over the common vocabulary, renormalised where only one has more."""
    count = min(log_probs.shape[1], base.shape[1])
    if log_probs.shape[1] != base.shape[1]:
        log_probs, base = (torch.log_softmax(each[:, :count], 1) for each in (log_probs, base))
    return log_probs, base.to(log_probs.device)
