"""The choice and the scaling of a tuning vector's elements that a point keeps.

Owns the thresholds of methods that rank elements, found before any block is written. Works on λτ,
block by block.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.vectors.arithmetic import ArithmeticPoint
from core.vectors.blocks import Block, WeightSource, Workspace, spread
from core.vectors.drops import Drops, drop, setting

_HALF = 16  # bits of a float32 for each of the two passes of a threshold

Terms = Sequence[tuple[str, float]]
"""Vectors and their coefficients."""

Place = tuple[str, str]
"""A vector and a random stream, "" for all of them."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The facts of whole tensors that their blocks need before writing.

    `least` and `most` bound the kept magnitudes of a vector: least ≤ |τ| < most. For SCE, `least`
    of the vector "" bounds the variance over the vectors, and `weight` is each vector's share of
    the squares that are kept. `drops` caches random drops.
    """

    least: Mapping[Place, float] = field(default_factory=dict)
    most: Mapping[Place, float] = field(default_factory=dict)
    weight: Mapping[Place, float] = field(default_factory=dict)
    drops: Drops | None = None


NO_MARKS = Marks()


def find_marks(
    point: ArithmeticPoint,
    blocks: Sequence[Block],
    source: WeightSource,
    threads: int,
    known: MutableMapping[Any, Any] | None = None,
) -> Marks:
    """The marks of a point over all blocks. `known` caches thresholds, and the last point's drops,
    between points that differ in their coefficients alone; it belongs to these blocks and this
    source."""
    cache = {} if known is None else known
    if point.drops:
        return NO_MARKS if known is None else Marks(drops=_drops(point, known))
    least: dict[Place, float] = {}
    most: dict[Place, float] = {}
    if point.density is None or not point.ranks:
        return NO_MARKS
    if point.method == "sce":
        return _of_sce(point, blocks, source, threads)

    def ranked(vector: str, stream: str, share: float, stream_blocks: Sequence[Block]) -> float:
        key = vector, stream, share
        if key not in cache:
            cache[key] = threshold(vector, share, stream_blocks, source, threads)
        least_magnitude: float = cache[key]
        return least_magnitude

    for vector, _ in point.terms:
        if point.method == "ties":
            least[vector, ""] = ranked(vector, "", point.density, blocks)
            continue
        gamma = point.gamma or 0.0
        for stream, stream_blocks in _by_stream(b for b in blocks if vector in b.vectors).items():
            size = (
                sum(block.stop - block.start for block in stream_blocks) * stream_blocks[0].columns
            )
            least[vector, stream] = ranked(
                vector, stream, min(1.0, point.density + gamma), stream_blocks
            )
            most[vector, stream] = (
                ranked(vector, stream, gamma, stream_blocks) if round(gamma * size) else math.inf
            )
    return Marks(least, most)


def _drops(point: ArithmeticPoint, known: MutableMapping[Any, Any]) -> Drops:
    """The cached drops of the last point, if this one drops alike; else an empty cache."""
    cached = known.get(Drops)
    if cached is None or cached.setting != setting(point):
        cached = known[Drops] = Drops(setting(point))
    drops: Drops = cached
    return drops


def threshold(
    vector: str, density: float, blocks: Iterable[Block], source: WeightSource, threads: int
) -> float:
    """The magnitude of the smallest element among τ's largest `density`, over all blocks."""

    def bits(block: Block, space: Workspace) -> Tensor:
        (update,) = updates(((vector, 1.0),), block, source, space)
        return update.abs_().view(torch.int32)

    return _threshold(density, [b for b in blocks if vector in b.vectors], bits, threads)


def thin(term: Tensor, vector: str, block: Block, point: ArithmeticPoint, marks: Marks) -> float:
    """Set to zero the elements of τ that the point trims or drops; returns the factor that scales
    up the others."""
    if not point.drops:
        least, most = bounds_of(vector, block, point, marks)
        sizes = term.abs()
        lost = sizes < least
        if most < math.inf:
            lost.logical_or_(sizes >= most)
        term.masked_fill_(lost, 0)
        return 1.0
    return drop(term, vector, block, point, marks.drops)


def bounds_of(
    vector: str, block: Block, point: ArithmeticPoint, marks: Marks
) -> tuple[float, float]:
    """The magnitudes least ≤ |τ| < most that a point keeps; all, for a point that trims nothing."""
    place = vector, "" if point.method == "ties" else block.stream
    return marks.least.get(place, 0.0), marks.most.get(place, math.inf)


def select(votes: Sequence[Tensor], block: Block, marks: Marks) -> None:
    """Set the votes to zero where their variance is not among the largest (SCE's first step)."""
    if len(votes) > 1:
        dropped = _variance(votes) < marks.least["", block.stream]
        for vote in votes:
            vote.masked_fill_(dropped, 0)


def _of_sce(
    point: ArithmeticPoint, blocks: Sequence[Block], source: WeightSource, threads: int
) -> Marks:
    least: dict[Place, float] = {}
    weight: dict[Place, float] = {}
    assert point.density is not None

    def bits(block: Block, space: Workspace) -> Tensor:
        return _variance(updates(point.terms, block, source, space)).view(torch.int32)

    for stream, stream_blocks in _by_stream(blocks).items():
        several = [b for b in stream_blocks if sum(v in b.vectors for v, _ in point.terms) > 1]
        whole = point.density == 1 or not several
        least["", stream] = 0.0 if whole else _threshold(point.density, several, bits, threads)
        squares: dict[str, float] = {}
        space = Workspace()
        for block in several:  # a row that one vector has alone is its own
            votes = updates(point.terms, block, source, space)
            select(votes, block, Marks(least))
            named = [vector for vector, _ in point.terms if vector in block.vectors]
            for vector, vote in zip(named, votes, strict=True):
                square = float(vote.double().square().sum())
                squares[vector] = squares.get(vector, 0.0) + square
        total = sum(squares.values())
        for vector, square in squares.items():
            weight[vector, stream] = square / total if total else 1 / len(squares)
    return Marks(least, weight=weight)


def updates(terms: Terms, block: Block, source: WeightSource, space: Workspace) -> list[Tensor]:
    """λτ of each vector that the block has, float32 [size]; valid until the workspace is used
    again."""
    stored = source.base(block, space)
    size, device = stored.numel(), stored.device
    base = space.numbers("base", size, device=device).copy_(stored)
    changes = []
    for i, (vector, value) in enumerate(t for t in terms if t[0] in block.vectors):
        term = space.numbers(f"vote{i}", size, device=device)
        changes.append(term.copy_(source.tuned(vector, block, space)).sub_(base).mul_(value))
    return changes


def _variance(votes: Sequence[Tensor]) -> Tensor:
    """The population's variance over the votes; summed in order, so that blocks don't matter."""
    mean = sum(votes[1:], votes[0].clone()) / len(votes)
    return sum(((vote - mean).square() for vote in votes), torch.zeros_like(mean)) / len(votes)


def _by_stream(blocks: Iterable[Block]) -> dict[str, list[Block]]:
    """The blocks of each stored tensor, with each expert's blocks apart."""
    by_stream: dict[str, list[Block]] = {}
    for block in blocks:
        if block.vectors:
            by_stream.setdefault(block.stream, []).append(block)
    return by_stream


def _threshold(
    share: float,
    taking: Sequence[Block],
    bits_of: Callable[[Block, Workspace], Tensor],
    threads: int,
) -> float:
    """The smallest among the largest `share` of float32 values that are not below 0, given as bits.

    Exact, in two passes that count by the leading and then by the trailing bits: such values have
    the order of their bits.
    """

    def count(shift: int, within: int | None) -> Any:
        def of(part: Sequence[Block]) -> Any:
            counts: Tensor | None = None
            space = Workspace()
            for block in part:
                bits = bits_of(block, space)
                if within is not None:
                    bits = bits[bits >> _HALF == within] & (1 << _HALF) - 1
                more = torch.bincount(bits >> shift, minlength=1 << _HALF)
                counts = more if counts is None else counts.to(more.device).add_(more)
            return np.zeros(1 << _HALF, np.int64) if counts is None else counts.cpu().numpy()

        return sum(spread(of, taking, threads))

    if not taking:
        return 0.0
    coarse = count(_HALF, None)
    wanted = max(1, round(share * int(coarse.sum())))
    bucket, above = _holding(coarse, wanted)
    place, _ = _holding(count(0, bucket), wanted - above)
    return float(np.array([bucket << _HALF | place], np.int32).view(np.float32)[0])


def _holding(counts: Any, wanted: int) -> tuple[int, int]:
    """The bucket of the `wanted`-th largest element, and the number of elements above it."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, wanted))
    return len(counts) - 1 - place, int(above[place - 1]) if place else 0
