"""The tokens whose embeddings a tuning moved most, and their neighbours before and after.

Streams the rows of both models in blocks. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.models.family import Member
from core.models.pieces import Piece
from core.weights.vocabulary import Vocabulary

NEAR = 5
"""Neighbours of a token."""


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the rows of an embedding moved.

    `mean`: of ‖Δe‖/‖e‖ over the `count` tokens whose row is not zero in the base. `tokens` [k]
    moved most, by `moves` [k] float32. `before` and `after` [k, near]: the tokens with
    the largest cosines in the base and in the tuned model, the nearest first.
    """

    mean: float | None
    count: int
    tokens: NDArray[np.int64]
    moves: NDArray[np.float32]
    before: NDArray[np.int64]
    after: NDArray[np.int64]


def moved(vocabulary: Vocabulary, member: Member, piece: Piece, most: int) -> Moved:
    """The tokens that all models of the family have, and that moved most from the base."""
    family = vocabulary.family
    count = vocabulary.common(piece)
    moves = torch.cat([*_moves(vocabulary, member, piece, count)])
    known = moves.isfinite()
    real = int(known.sum())
    changed = int((known & (moves > 0)).sum())
    top = torch.topk(moves.masked_fill(~known, -1), min(most, changed)).indices
    near = [
        _neighbours(vocabulary, of, piece, count, top) if len(top) else np.zeros((0, 0), np.int64)
        for of in (family.base, member)
    ]
    mean = float(moves[known].double().mean()) if real else None
    return Moved(mean, real, top.numpy(), moves[top].numpy(), *near)


def _moves(vocabulary: Vocabulary, member: Member, piece: Piece, count: int) -> Iterator[Tensor]:
    """‖Δe‖/‖e‖ by blocks of rows, on the CPU; NaN or infinite where e is zero."""
    pairs = (vocabulary.rows(of, piece, count) for of in (vocabulary.family.base, member))
    for (_, base), (_, tuned) in zip(*pairs, strict=True):
        yield ((tuned - base).norm(dim=1) / base.norm(dim=1)).cpu()


def _neighbours(
    vocabulary: Vocabulary, of: Member, piece: Piece, count: int, tokens: Tensor
) -> NDArray[np.int64]:
    """The nearest other tokens of some tokens by the cosine of their rows, [k, near]."""
    near = min(NEAR, count - 1)
    own = nn.functional.normalize(vocabulary.stored(of, piece, count)[tokens].float())
    best, places = torch.zeros(0, len(tokens)), torch.zeros(0, len(tokens), dtype=torch.int64)
    for start, rows in vocabulary.rows(of, piece, count):
        cosines = (nn.functional.normalize(rows) @ own.T.to(rows)).cpu()
        inside = (tokens >= start) & (tokens < start + len(rows))
        cosines[(tokens - start)[inside], inside.nonzero()[:, 0]] = -torch.inf
        top = torch.topk(cosines, min(near, len(rows)), dim=0)
        both = torch.cat([best, top.values])
        places = torch.cat([places, top.indices + start])
        found = torch.topk(both, min(near, len(both)), dim=0)
        best, places = found.values, places.gather(0, found.indices)
    return places.T.contiguous().numpy()
