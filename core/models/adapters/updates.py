"""Forms of a tensor's update; each returns rows of tuned − base.

Knows no kinds of adapters and no names. As in `core.models.checkpoint.TensorInfo`, the rows of a
tensor are all its axes but the last, and a vector has rows of one element.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

RowReader = Callable[[int, int], Tensor]
"""Rows start:stop of a tensor, [rows, columns]."""


class Update(Protocol):
    """Tuned minus base, of one tensor."""

    @property
    def reads_base(self) -> bool:
        """Does it read the tensor that it updates?"""

    @property
    def reads_settings(self) -> bool:
        """Does it depend on settings besides its tensors?"""

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows start:stop, float32 [rows, columns]."""

    def contents(self) -> Iterator[Tensor]:
        """The adapter's tensors that determine it, always in the same order."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """left · right: left [rows, r], right [r, columns], both float32."""

    left: Tensor
    right: Tensor
    reads_base: bool = False
    reads_settings: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        return self.left.shape[0], self.right.shape[1]

    def rows(self, start: int, stop: int) -> Tensor:
        return self.left[start:stop] @ self.right

    def contents(self) -> Iterator[Tensor]:
        yield from (self.left, self.right)


@dataclass(frozen=True, slots=True)
class Stack:
    """Updates of ranges of rows, each with its first row; zero between them.

    Overlapping ranges are added.
    """

    parts: tuple[tuple[int, LowRank], ...]
    columns: int
    reads_base: bool = False
    reads_settings: bool = False

    def rows(self, start: int, stop: int) -> Tensor:
        update = torch.zeros(stop - start, self.columns)
        for origin, part in self.parts:
            first, last = max(start, origin), min(stop, origin + part.shape[0])
            if first < last:
                update[first - start : last - start] += part.rows(first - origin, last - origin)
        return update

    def contents(self) -> Iterator[Tensor]:
        for origin, part in self.parts:
            yield torch.tensor(origin)
            yield from part.contents()


@dataclass(frozen=True, slots=True)
class Vector:
    """An update of a bias: float32 [rows, 1]."""

    values: Tensor
    reads_base: bool = False
    reads_settings: bool = False

    def rows(self, start: int, stop: int) -> Tensor:
        return self.values[start:stop]

    def contents(self) -> Iterator[Tensor]:
        yield self.values


@dataclass(frozen=True, slots=True)
class Tokens:
    """Replaced rows: `values` [n, columns] at `indices` [n], each index once."""

    indices: Tensor
    values: Tensor
    base: RowReader
    reads_base: bool = True
    reads_settings: bool = False

    def rows(self, start: int, stop: int) -> Tensor:
        update = torch.zeros(stop - start, self.values.shape[1])
        for place, row in enumerate(self.indices.tolist()):
            if start <= row < stop:
                new = self.values[place].float()
                update[row - start] = new - self.base(row, row + 1)[0].float()
        return update

    def contents(self) -> Iterator[Tensor]:
        yield from (self.indices, self.values)


@dataclass(frozen=True, slots=True)
class Derived:
    """Rows of an update that is computed as a whole by `compute`, float32 [rows, columns]."""

    compute: Callable[[], Tensor]
    sources: tuple[Tensor, ...]
    reads_base: bool = True
    reads_settings: bool = True

    def rows(self, start: int, stop: int) -> Tensor:
        return self.compute()[start:stop]

    def contents(self) -> Iterator[Tensor]:
        yield from self.sources
