"""One elementwise pass over a tensor of a whole family: all inner products, maxima and counts.

Accumulates the Gram matrix of the rows [W, Δ1 … ΔN], from which all norms and cosines follow.
Subtraction and products are in float32 inside blocks, sums across blocks in float64: on large
tensors a float32 sum, or ‖Δ‖² out of ‖a‖² + ‖b‖² − 2ab, is off by up to a few per cent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.measurement import UnitPart
from core.weights import loops
from core.weights.pairs import Pairing, Pairs, dot, products

BLOCK = 1 << 19
"""Elements of one block: enough to hide a call's overhead, few enough to stay in the cache."""

_Block = list[tuple[int, int]]
"""Ranges of rows that make up a block."""

_EXPONENT = np.int32(0x7F800000)
_ROUNDING = {  # (ulp of 1)² / 12
    torch.bfloat16: 2.0**-14 / 12,
    torch.float16: 2.0**-20 / 12,
    torch.float32: 2.0**-46 / 12,
}


@dataclass(slots=True)
class Moments:
    """Sums over `size` elements of W (row 0) and of the updates Δ of `models` (rows 1…).

    `gram` [1+N, 1+N] float64: inner products. Per model: `changed` elements, `largest` |Δ|, and
    `rounding`, the energy Σ ulp(w)²/12 of rounding W's elements w to the model's dtype (NaN for
    adapters, which are not rounded). For a quantised model or base it includes the energy Σ
    step²/12 of rounding to their grids, which alone is `quantisation`. `pairs`: sums over pairs of
    updates, where they are wanted.
    """

    models: tuple[str, ...]
    size: int
    gram: NDArray[np.float64]
    changed: NDArray[np.int64]
    largest: NDArray[np.float64]
    rounding: NDArray[np.float64]
    quantisation: NDArray[np.float64]
    pairs: Pairs | None = None

    @classmethod
    def zero(cls, models: Sequence[str], pairing: Pairing | None = None) -> Moments:
        """The moments of no elements."""
        n = len(models)
        return cls(
            tuple(models), 0, np.zeros((n + 1, n + 1)), np.zeros(n, np.int64), np.zeros(n),
            np.zeros(n), np.zeros(n), Pairs.zero(pairing) if pairing else None,
        )  # fmt: skip

    def __iadd__(self, other: Moments) -> Moments:
        self.size += other.size
        self.gram += other.gram
        self.changed += other.changed
        np.maximum(self.largest, other.largest, out=self.largest)
        self.rounding += other.rounding
        self.quantisation += other.quantisation
        if self.pairs is not None and other.pairs is not None:
            self.pairs += other.pairs
        return self

    @classmethod
    def of_part(
        cls, models: Sequence[str], part: UnitPart | None, pairing: Pairing | None = None
    ) -> Moments | None:
        """The inverse of `as_part`; None for a part that is missing, or not of these models."""
        arrays = dict(part.arrays) if part is not None else {}
        empty = cls.zero(models, pairing)
        expected = {name: _form(array) for name, array in empty.as_part().arrays.items()}
        if {name: _form(array) for name, array in arrays.items()} != expected:
            return None
        pairs = Pairs(pairing, arrays.pop("pairs")) if pairing else None
        return cls(empty.models, size=int(arrays.pop("size")), pairs=pairs, **arrays)

    def as_part(self) -> UnitPart:
        """The sums as arrays, without the models' names."""
        return UnitPart(
            arrays={
                "size": np.array(self.size), "gram": self.gram, "changed": self.changed,
                "largest": self.largest, "rounding": self.rounding,
                "quantisation": self.quantisation,
                **({} if self.pairs is None else {"pairs": self.pairs.sums}),
            }
        )  # fmt: skip

    def row(self, model: str) -> int:
        """The row of a model's update in the Gram matrix."""
        return 1 + self.models.index(model)

    def finite(self, row: int) -> bool:
        """Are all of a row's elements finite?"""
        return bool(np.isfinite(self.gram[row, row]))


@dataclass(frozen=True, slots=True)
class MemberTensor:
    """One member's part of a tensor: weights as stored, or (an adapter) the update itself.

    `quantisation` returns the energy of rounding rows start:stop to a quantised grid.
    """

    read: Callable[[int, int, Tensor | None], Tensor]
    is_update: bool = False
    quantisation: Callable[[int, int], float] = lambda start, stop: 0.0


def _form(array: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    """The kind and the shape of an array."""
    return array.dtype.kind, array.shape


def accumulate(
    models: Sequence[str],
    base: MemberTensor,
    tuned: Sequence[MemberTensor],
    rows: Sequence[tuple[int, int]],
    width: int,
    pool: ThreadPoolExecutor,
    threads: int,
    relative: Sequence[tuple[int, int]] = (),
    pairing: Pairing | None = None,
) -> Moments:
    """The moments of row ranges of a tensor with `width` elements per row.

    `models` names the rows of `tuned` and then those of `relative`: a pair (i, p) adds the row
    Δi − Δp, the vector of a model from its own parent. `pairing`: the models with wanted pairs,
    whose largest elements are ranked within each block.
    """
    blocks = blocks_of(rows, width)
    parts = [blocks[i::threads] for i in range(min(threads, len(blocks)))]
    total = Moments.zero(models, pairing)
    elements = width * sum(stop - start for start, stop in rows)
    compiled = loops.compiled(elements)

    def sums(part: Sequence[_Block]) -> Moments:
        moments = Moments.zero(models, pairing)
        if compiled is not None:
            return _run_compiled(compiled, moments, base, tuned, relative, part)
        return _accumulate(moments, base, tuned, relative, part)

    for of_part in pool.map(sums, parts):
        total += of_part
    return total


def blocks_of(rows: Sequence[tuple[int, int]], width: int, elements: int = BLOCK) -> list[_Block]:
    """Ranges of rows in blocks of about `elements` elements at most: long ones are cut, short ones
    joined."""
    most = max(1, elements // max(width, 1))
    blocks: list[_Block] = []
    free = 0
    for start, stop in rows:
        for first in range(start, stop, most):
            chunk = first, min(first + most, stop)
            size = chunk[1] - first
            if size > free:
                blocks.append([])
                free = most
            blocks[-1].append(chunk)
            free -= size
    return blocks


def _run_compiled(
    compiled: Any,
    moments: Moments,
    base: MemberTensor,
    tuned: Sequence[MemberTensor],
    relative: Sequence[tuple[int, int]],
    blocks: Sequence[_Block],
) -> Moments:
    """As `_accumulate`, by the compiled loops."""
    longest = max(stop - start for ranges in blocks for start, stop in ranges)
    members = [base, *tuned]
    scratch = [torch.empty(0, dtype=torch.uint8) for _ in members]
    updates = [member.is_update for member in tuned]
    pairs = moments.pairs
    wanted = [moments.row(name) - 1 for name in pairs.pairing.models] if pairs else []
    for ranges in blocks:
        held: list[Tensor] = []
        for start, stop in ranges:
            stored = [
                m.read(start, stop, buffer) for m, buffer in zip(members, scratch, strict=True)
            ]
            for i, tensor in enumerate(stored):
                if scratch[i].numel() < tensor.nbytes:
                    most = tensor.nbytes // (stop - start) * longest
                    scratch[i] = torch.empty(most, dtype=torch.uint8)
            size = stored[0].numel()
            deltas = torch.empty(len(moments.models), size) if pairs is not None else None
            octaves = compiled.sums(
                stored, updates, relative, moments.gram, moments.changed, moments.largest, deltas
            )
            if deltas is not None:
                held.append(deltas[wanted])
            for i, (member, tensor) in enumerate(zip(tuned, stored[1:], strict=True)):
                add_rounding(moments, i, base, member, tensor.dtype, octaves, start, stop)
            moments.size += size
        if pairs is not None:
            pairs.add(torch.cat(held, 1) if len(held) > 1 else held[0], compiled)
    return moments


def add_rounding(
    moments: Moments, i: int, base: MemberTensor, member: MemberTensor, dtype: torch.dtype,
    octaves: float, start: int, stop: int,
) -> None:  # fmt: skip
    """Add the energy of rounding rows of a member's tensor to its dtype and to the grids."""
    if member.is_update:
        moments.rounding[i] = np.nan
        return
    lost = base.quantisation(start, stop) + member.quantisation(start, stop)
    moments.rounding[i] += octaves * _ROUNDING.get(dtype, 0.0) + lost
    moments.quantisation[i] += lost


def _accumulate(
    moments: Moments,
    base: MemberTensor,
    tuned: Sequence[MemberTensor],
    relative: Sequence[tuple[int, int]],
    blocks: Sequence[_Block],
) -> Moments:
    models, pairs = moments.models, moments.pairs
    longest = max(stop - start for ranges in blocks for start, stop in ranges)
    scratch = torch.empty(0, dtype=torch.uint8)
    buffer = torch.empty(0)
    wanted = [moments.row(name) for name in pairs.pairing.models] if pairs else []
    for ranges in blocks:
        held: list[Tensor] = []
        for start, stop in ranges:
            stored = base.read(start, stop, scratch)
            size = stored.numel()
            if buffer.numel() < (2 + len(models)) * size:
                width = size // (stop - start)
                buffer = torch.empty((2 + len(models)) * width * longest)
                scratch = torch.empty(8 * width * longest, dtype=torch.uint8)
            block = buffer[: (2 + len(models)) * size].view(2 + len(models), size)
            block[0].view(stored.shape).copy_(stored)
            octaves = _octaves(block[0], block[-1])
            for i, member in enumerate(tuned):
                read = member.read(start, stop, scratch)
                _update(moments, i, block, member.is_update, read)
                add_rounding(moments, i, base, member, read.dtype, octaves, start, stop)
            for i, (child, parent) in enumerate(relative, start=1 + len(tuned)):
                torch.sub(block[child], block[parent], out=block[i])
            moments.gram += products(block[:-1])
            if pairs is not None:
                held.append(block[wanted])
            moments.size += size
        if pairs is not None:
            pairs.add(torch.cat(held, 1) if len(held) > 1 else held[0])
    return moments


def _update(moments: Moments, i: int, block: Tensor, is_update: bool, stored: Tensor) -> None:
    """Fill row 1 + i of a block with the member's update, and update its counts.

    The block's last row is scratch.
    """
    delta = block[1 + i]
    delta.view(stored.shape).copy_(stored)
    if not is_update:
        delta.sub_(block[0])
    changes: NDArray[np.float32] = delta.numpy()
    moments.largest[i] = max(moments.largest[i], -changes.min(), changes.max())
    differs = block[-1].view(torch.uint8).numpy()[: changes.size].view(np.bool_)
    np.not_equal(changes, 0, out=differs)
    moments.changed[i] += np.count_nonzero(differs)


def _octaves(weights: Tensor, scratch: Tensor) -> float:
    """Σ of squares of the largest power of two ≤ |w|, given by the exponent's bits alone.

    Multiplied by the squared ulp of 1 in a dtype, it is Σ ulp(w)².
    """
    powers = scratch.view(torch.int32).numpy()
    np.bitwise_and(weights.view(torch.int32).numpy(), _EXPONENT, out=powers)
    return dot(scratch, scratch)
