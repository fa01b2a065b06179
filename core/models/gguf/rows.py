"""A parameter's rows out of the blocks of a GGUF file.

Owns the reading of blocks by rows, and what a parameter's recipe asks of them: another order of
rows or columns, an offset taken away, two tensors joined, one turned. Blocks run along rows, so
that all of it but turning needs only the rows that are asked for. Knows no architecture.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.models.checkpoint import DTYPES
from core.models.gguf import steps
from core.models.gguf.header import PLAIN, TYPES, Header
from core.models.quantised.grids import DequantisedRows
from core.models.quantised.parts import StoredCheckpoint

_BLOCK = 1 << 19
"""Elements that are dequantised at a time where a tensor is needed whole."""

_GAP = 64
"""Rows that are read and dropped rather than begin another reading."""

_CACHED = 2
"""Whole tensors that are held: those that were turned last."""


def _less_one(values: Any) -> Any:
    return values - np.float32(1)


def _log_of_negative(values: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(-values)


CHANGES: Mapping[str, Callable[[Any], Any]] = {
    "less one": _less_one,
    "log of the negative": _log_of_negative,
}
"""What is done to the numbers themselves, in float32."""


@dataclass(frozen=True, slots=True)
class BlockRecipe:
    """How a parameter of the shape `shape` is made of tensors of the file.

    `sources`: one tensor, or two whose matrices lie one above the other in each expert. `order`
    and `columns`: the source's row (column) that each row (column) is, int64; `change`: a name in
    CHANGES; `turned`: the source's columns are the rows.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    order: Tensor | None = None
    columns: Tensor | None = None
    change: str = ""
    turned: bool = False

    @property
    def is_plain(self) -> bool:
        """Is it one tensor of the file as it lies there?"""
        return len(self.sources) == 1 and not self.change and not self.turned and (
            self.order is None and self.columns is None)  # fmt: skip


class Blocks:
    """Rows of the tensors of a file as float32. Safe from several threads."""

    def __init__(self, stored: StoredCheckpoint, header: Header) -> None:
        self._stored = stored
        self._tensors = header.tensors
        self._whole: OrderedDict[str, DequantisedRows] = OrderedDict()
        self._lock = threading.Lock()

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape in elements."""
        return self._tensors[name].shape

    def rows(self, name: str, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop of a tensor, [rows, columns]; a vector has rows of one element."""
        kind = self._tensors[name].kind
        raw = self._stored.raw(name, start, stop)
        if kind in PLAIN:
            return DequantisedRows(raw.float(), torch.zeros(stop - start, dtype=torch.float64))
        blocks: Any = raw.numpy()
        width = next(width for known, _, width in TYPES.values() if known == kind)
        values = _dequantised(kind, blocks)
        energy = steps.energy(
            kind, blocks.reshape(-1, width), lambda some: _dequantised(kind, some)
        )
        return DequantisedRows(
            torch.from_numpy(values), torch.from_numpy(energy.reshape(len(blocks), -1).sum(1))
        )

    def turned(self, name: str) -> DequantisedRows:
        """A whole matrix, its columns as rows; each has its share of the energy."""
        with self._lock:
            if name not in self._whole:
                self._whole[name] = self._turn(name)
                while len(self._whole) > _CACHED:
                    self._whole.popitem(last=False)
            self._whole.move_to_end(name)
            return self._whole[name]

    def _turn(self, name: str) -> DequantisedRows:
        rows, columns = self.shape(name)
        out, energy = torch.empty(columns, rows), 0.0
        step = max(1, _BLOCK // columns)
        for start in range(0, rows, step):
            found = self.rows(name, start, min(start + step, rows))
            out[:, start : start + step] = found.values.mT
            energy += float(found.energy.sum())
        return DequantisedRows(out, torch.full((columns,), energy / columns, dtype=torch.float64))


class Made:
    """A parameter made of blocks by its recipe (see `core.models.quantised.parts.Weight`)."""

    def __init__(self, blocks: Blocks, recipe: BlockRecipe) -> None:
        self._blocks = blocks
        self._recipe = recipe
        self.shape = recipe.shape
        self.stored = recipe.sources

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop (all axes but the last together)."""
        recipe = self._recipe
        if len(recipe.sources) > 1:
            found = self._joined(start, stop)
        elif recipe.turned:
            whole = self._blocks.turned(recipe.sources[0])
            found = DequantisedRows(whole.values[start:stop], whole.energy[start:stop])
        elif recipe.order is not None:
            found = self._ordered(recipe.sources[0], recipe.order[start:stop])
        else:
            found = self._straight(recipe.sources[0], start, stop)
        values = found.values if recipe.columns is None else found.values[:, recipe.columns]
        if recipe.change:
            values = torch.from_numpy(CHANGES[recipe.change](values.numpy()))
        return DequantisedRows(values, found.energy)

    def _straight(self, name: str, start: int, stop: int) -> DequantisedRows:
        """Rows in the file's order; a vector may be a single row."""
        shape = self._blocks.shape(name)
        parts = self.shape[-1] if len(shape) == 1 and len(self.shape) > 1 else 1
        found = self._blocks.rows(name, start * parts, stop * parts)
        count = stop - start
        return DequantisedRows(
            found.values.reshape(count, -1), found.energy.reshape(count, -1).sum(1)
        )

    def _ordered(self, name: str, wanted: Tensor) -> DequantisedRows:
        """Rows by their places in the file, which is read in the few runs that hold them."""
        places, back = torch.unique(wanted, return_inverse=True)
        runs = list(_runs(places))
        found = [self._blocks.rows(name, first, last) for first, last in runs]
        read = torch.cat([torch.arange(first, last) for first, last in runs])
        at = torch.searchsorted(read, places)[back]
        return DequantisedRows(
            torch.cat([each.values for each in found])[at],
            torch.cat([each.energy for each in found])[at],
        )

    def _joined(self, start: int, stop: int) -> DequantisedRows:
        """Rows of stacks whose matrices alternate: the first source's, then the second's."""
        sources = self._recipe.sources
        each = self._blocks.shape(sources[0])[-2]
        found, at = [], start
        while at < stop:
            number, within = divmod(at, each)
            last = min(stop, at - within + each)
            expert, which = divmod(number, len(sources))
            first = expert * each + within
            found.append(self._blocks.rows(sources[which], first, first + last - at))
            at = last
        return DequantisedRows(
            torch.cat([one.values for one in found]), torch.cat([one.energy for one in found])
        )


def dtype_of(header: Header, recipe: BlockRecipe) -> torch.dtype:
    """What a parameter is read as: float32 where blocks or changed numbers are, else as stored."""
    kinds = {header.tensors[name].kind for name in recipe.sources}
    if recipe.change or not kinds <= DTYPES.keys() or len(kinds) > 1:
        return torch.float32
    return DTYPES[kinds.pop()]


def elements(header: Header, *, quantised: bool) -> Mapping[str, int]:
    """How many elements each type of blocks (or of plain numbers) has in a file."""
    counts: dict[str, int] = {}
    for tensor in header.tensors.values():
        if (tensor.kind not in PLAIN) == quantised:
            counts[tensor.kind] = counts.get(tensor.kind, 0) + math.prod(tensor.shape)
    return counts


def _dequantised(kind: str, blocks: Any) -> Any:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    with np.errstate(all="ignore"):  # what is not finite is refused where it is compared
        return dequantize(blocks, GGMLQuantizationType[kind])


def _runs(places: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges that cover sorted places; small gaps are bridged."""
    breaks = (places.diff() > _GAP).nonzero().flatten() + 1
    for part in torch.tensor_split(places, breaks):
        yield int(part[0]), int(part[-1]) + 1
