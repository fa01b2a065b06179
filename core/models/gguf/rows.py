"""A parameter's rows out of the blocks of a GGUF file.

Owns the reading of blocks by rows and the steps of a recipe: reordering rows or columns,
subtracting an offset, joining two tensors, transposing one. Blocks run along rows, so every step
except transposing reads only the requested rows. Knows no architecture.
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
"""Elements dequantised at a time when a tensor is needed whole."""

_GAP = 64
"""Largest gap, in rows, that is read and dropped instead of starting another read."""

_CACHED = 2
"""Number of cached whole tensors (the last ones transposed)."""


def _less_one(values: Any) -> Any:
    return values - np.float32(1)


def _log_of_negative(values: Any) -> Any:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.log(-values)


CHANGES: Mapping[str, Callable[[Any], Any]] = {
    "less one": _less_one,
    "log of the negative": _log_of_negative,
}
"""Changes of the numbers, in float32."""


@dataclass(frozen=True, slots=True)
class BlockRecipe:
    """The recipe of a parameter of shape `shape` from tensors of the file.

    `sources`: one tensor, or two tensors whose matrices are stacked by rows in each expert. `order`
    and `columns`: the source's row (column) of each row (column), int64; `change`: a name in
    CHANGES; `turned`: transposed.
    """

    sources: tuple[str, ...]
    shape: tuple[int, ...]
    order: Tensor | None = None
    columns: Tensor | None = None
    change: str = ""
    turned: bool = False

    @property
    def is_plain(self) -> bool:
        """Is the parameter one unchanged tensor of the file?"""
        return len(self.sources) == 1 and not self.change and not self.turned and (
            self.order is None and self.columns is None)  # fmt: skip


class Blocks:
    """Rows of the tensors of a file as float32. Thread-safe."""

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
        """A whole matrix, transposed; each row has an equal share of the energy."""
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
            block = self.rows(name, start, min(start + step, rows))
            out[:, start : start + step] = block.values.mT
            energy += float(block.energy.sum())
        return DequantisedRows(out, torch.full((columns,), energy / columns, dtype=torch.float64))


class Made:
    """A parameter built from blocks by its recipe (see `core.models.quantised.parts.Weight`)."""

    def __init__(self, blocks: Blocks, recipe: BlockRecipe) -> None:
        self._blocks = blocks
        self._recipe = recipe
        self.shape = recipe.shape
        self.stored = recipe.sources

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop (all axes but the last together)."""
        recipe = self._recipe
        if len(recipe.sources) > 1:
            dequantised = self._joined(start, stop)
        elif recipe.turned:
            whole = self._blocks.turned(recipe.sources[0])
            dequantised = DequantisedRows(whole.values[start:stop], whole.energy[start:stop])
        elif recipe.order is not None:
            dequantised = self._ordered(recipe.sources[0], recipe.order[start:stop])
        else:
            dequantised = self._straight(recipe.sources[0], start, stop)
        values = (
            dequantised.values if recipe.columns is None else dequantised.values[:, recipe.columns]
        )
        if recipe.change:
            values = torch.from_numpy(CHANGES[recipe.change](values.numpy()))
        return DequantisedRows(values, dequantised.energy)

    def _straight(self, name: str, start: int, stop: int) -> DequantisedRows:
        """Rows in the file's order; a vector may be a single row."""
        shape = self._blocks.shape(name)
        parts = self.shape[-1] if len(shape) == 1 and len(self.shape) > 1 else 1
        rows = self._blocks.rows(name, start * parts, stop * parts)
        count = stop - start
        return DequantisedRows(
            rows.values.reshape(count, -1), rows.energy.reshape(count, -1).sum(1)
        )

    def _ordered(self, name: str, wanted: Tensor) -> DequantisedRows:
        """Rows by their places in the file, read in a few runs."""
        places, back = torch.unique(wanted, return_inverse=True)
        runs = list(_runs(places))
        parts = [self._blocks.rows(name, first, last) for first, last in runs]
        read = torch.cat([torch.arange(first, last) for first, last in runs])
        positions = torch.searchsorted(read, places)[back]
        return DequantisedRows(
            torch.cat([each.values for each in parts])[positions],
            torch.cat([each.energy for each in parts])[positions],
        )

    def _joined(self, start: int, stop: int) -> DequantisedRows:
        """Rows of stacks with alternating matrices: the first source's, then the second's."""
        sources = self._recipe.sources
        each = self._blocks.shape(sources[0])[-2]
        pieces, position = [], start
        while position < stop:
            number, within = divmod(position, each)
            last = min(stop, position - within + each)
            expert, which = divmod(number, len(sources))
            first = expert * each + within
            pieces.append(self._blocks.rows(sources[which], first, first + last - position))
            position = last
        return DequantisedRows(
            torch.cat([one.values for one in pieces]), torch.cat([one.energy for one in pieces])
        )


def dtype_of(header: Header, recipe: BlockRecipe) -> torch.dtype:
    """The dtype of a parameter: float32 for blocks and changed numbers, else as stored."""
    kinds = {header.tensors[name].kind for name in recipe.sources}
    if recipe.change or not kinds <= DTYPES.keys() or len(kinds) > 1:
        return torch.float32
    return DTYPES[kinds.pop()]


def elements(header: Header, *, quantised: bool) -> Mapping[str, int]:
    """The number of elements of each type of blocks (or of plain numbers) in a file."""
    counts: dict[str, int] = {}
    for tensor in header.tensors.values():
        if (tensor.kind not in PLAIN) == quantised:
            counts[tensor.kind] = counts.get(tensor.kind, 0) + math.prod(tensor.shape)
    return counts


def _dequantised(kind: str, blocks: Any) -> Any:
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize

    with np.errstate(all="ignore"):  # non-finite numbers are refused at the comparison
        return dequantize(blocks, GGMLQuantizationType[kind])


def _runs(places: Tensor) -> Iterator[tuple[int, int]]:
    """Ranges that cover sorted places and bridge small gaps."""
    breaks = (places.diff() > _GAP).nonzero().flatten() + 1
    for part in torch.tensor_split(places, breaks):
        yield int(part[0]), int(part[-1]) + 1
