"""The tokens whose embeddings a tuning moved most, and their neighbours before and after.

Streams the rows of both models in blocks. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.engine.measurement import Artifact, Measurement, Unit, UnitResult
from core.models.family import Member
from core.models.pieces import Piece
from core.models.transfers import up
from core.weights.reader import SliceReader
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


class EmbeddingReader(SliceReader):
    """The moved tokens of the embedding and of a head apart from it, in units of one slice."""

    def __init__(self, units: Sequence[Unit], most: int) -> None:
        self.name, self.units, self.most = units[0].analysis, units, most
        self.vocabulary: Vocabulary = units[0].options["vocabulary"]
        self.moments_of = tuple(unit.model for unit in units)

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            yield unit, self._result(unit)
        self.vocabulary.release()  # the slice outside of layers is the last

    def _result(self, unit: Unit) -> UnitResult:
        family, by_module = self.vocabulary.family, {}
        for piece in self.vocabulary.pieces:
            member = family.tuned[unit.model]
            by_module[piece.module] = moved(self.vocabulary, member, piece, self.most)
        rows = [
            Measurement(
                metric="embedding_move",
                value=move.mean,
                n=move.count,
                model=unit.model,
                module=name,
            )
            for name, move in by_module.items()
        ]
        known = {name: move for name, move in by_module.items() if len(move.tokens)}
        parts = [part for move in known.values() for part in (move.tokens, move.before, move.after)]
        if not parts:
            return UnitResult(rows)
        ids = np.unique(np.concatenate([part.ravel() for part in parts]))
        texts = self.vocabulary.texts(ids.tolist())
        arrays: dict[str, NDArray[Any]] = {"vocabulary": np.array(texts, dtype=np.str_)}
        for name, move in known.items():
            places = {"tokens": move.tokens, "before": move.before, "after": move.after}
            arrays[f"{name}.moves"] = move.moves
            arrays |= {
                f"{name}.{key}": np.searchsorted(ids, part).astype(np.int32)
                for key, part in places.items()
            }
        return UnitResult(rows, [Artifact(name="moved", arrays=arrays, model=unit.model)])


def moved(vocabulary: Vocabulary, member: Member, piece: Piece, most: int) -> Moved:
    """The tokens that all models of the family have, and that moved most from the base."""
    family = vocabulary.family
    count = vocabulary.common(piece)
    moves = torch.cat([*_moves(vocabulary, member, piece, count)]).cpu()
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
    """‖Δe‖/‖e‖ by blocks of rows; NaN or infinite where e is zero."""
    pairs = (vocabulary.rows(of, piece, count) for of in (vocabulary.family.base, member))
    for (_, base), (_, tuned) in zip(*pairs, strict=True):
        yield (tuned - base).norm(dim=1) / base.norm(dim=1)


def _neighbours(
    vocabulary: Vocabulary, of: Member, piece: Piece, count: int, tokens: Tensor
) -> NDArray[np.int64]:
    """The nearest other tokens of some tokens by the cosine of their rows, [k, near]."""
    near = min(NEAR, count - 1)
    queries = nn.functional.normalize(vocabulary.stored(of, piece, count)[tokens].float())
    best, places = torch.zeros(0, len(tokens)), torch.zeros(0, len(tokens), dtype=torch.int64)
    for start, rows in vocabulary.rows(of, piece, count):
        cosines = (nn.functional.normalize(rows) @ up(queries.T, rows.device)).cpu()
        inside = (tokens >= start) & (tokens < start + len(rows))
        cosines[(tokens - start)[inside], inside.nonzero()[:, 0]] = -torch.inf
        top = torch.topk(cosines, min(near, len(rows)), dim=0)
        both = torch.cat([best, top.values])
        places = torch.cat([places, top.indices + start])
        nearest = torch.topk(both, min(near, len(both)), dim=0)
        best, places = nearest.values, places.gather(0, nearest.indices)
    return places.T.contiguous().numpy()
