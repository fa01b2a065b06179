"""The shape of a path of points in many dimensions, from the inner products of the points.

Owns principal components, moves, turns and straightness, and the expectation for a random walk with
moves of the same lengths. Knows no models: points are rows of a Gram matrix [points, points], in
float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESOLUTION = 1e-6
"""The share of the points' squared length below which a squared move is rounding: products of
vectors are in float32 (see `core.weights.moments`)."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Components:
    """`positions` [points, components] of the points from their mean, and the share of their
    variance [components] along each component. The last point has no negative position."""

    positions: Array
    shares: Array


def components(gram: Array) -> Components | None:
    """The principal components of the points, one fewer than points; None if all coincide."""
    if not squared_moves(gram).any():
        return None
    centred = gram - gram.mean(axis=0) - gram.mean(axis=1)[:, None] + gram.mean()
    values, vectors = np.linalg.eigh((centred + centred.T) / 2)
    values, vectors = values[:0:-1].clip(min=0), vectors[:, :0:-1]
    signs = np.where(vectors[-1] < 0, -1.0, 1.0)
    return Components(vectors * signs * np.sqrt(values), values / values.sum())


def squared_moves(gram: Array) -> Array:
    """The squared length of each move from a point to the next, [points - 1]; 0 for rounding."""
    squares = np.diag(gram)
    moves = squares[1:] + squares[:-1] - 2 * np.diag(gram, 1)
    squared: Array = np.where(
        moves > RESOLUTION * np.maximum(squares[1:], squares[:-1]), moves, 0.0
    )
    return squared


def turns(gram: Array) -> Array:
    """The cosine of each move with the move before, [points - 2]; NaN beside a move of zero."""
    moves = np.diff(np.diff(gram, axis=0), axis=1)
    lengths = np.sqrt(squared_moves(gram))
    scale = lengths[1:] * lengths[:-1]
    return _over(np.diag(moves, 1), scale)


def straightness(gram: Array) -> Array:
    """How far each point but the first is from the first, over the length of the path to it,
    [points - 1]; NaN where the path has no length."""
    squares = np.diag(gram)
    apart = (squares + squares[0] - 2 * gram[0]).clip(min=0)[1:]
    return _over(np.sqrt(apart), np.sqrt(squared_moves(gram)).cumsum())


def straightness_of_walk(gram: Array) -> Array:
    """The straightness of a random walk with the same moves, all orthogonal to one another."""
    squared = squared_moves(gram)
    return _over(np.sqrt(squared.cumsum()), np.sqrt(squared).cumsum())


def walk(gram: Array) -> Array:
    """The Gram matrix of a random walk with the same moves in very many dimensions, from 0.

    Independent moves are orthogonal there, so two points share the moves up to the earlier one.
    """
    travelled = np.concatenate([[0.0], squared_moves(gram).cumsum()])
    shared: Array = np.minimum(travelled[:, None], travelled)
    return shared


def _over(a: Array, b: Array) -> Array:
    ratio: Array = np.divide(a, b, out=np.full(len(b), np.nan), where=b > 0)
    return ratio
