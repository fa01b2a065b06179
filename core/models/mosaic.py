"""A parameter as parts of stored tensors: the place where each of its elements is stored.

Owns the rearrangements that turn stored tensors into parameters: stacking, concatenating, cutting,
transposing and reordering along an axis. Every element comes from one stored element, unchanged.
Holds no numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

Index = Any
"""Positions along one axis: a range, or an int64 array for uneven steps."""


@dataclass(frozen=True, slots=True)
class Tile:
    """Elements of one stored tensor and their places in a parameter.

    `shape`: the stored tensor's shape, or (`is_reshaped`) another one of the same size. `take`:
    positions along each of its axes. `axes`: for each axis of the parameter the stored tensor's
    axis; None if the tile has one position there. `put`: the positions there.
    """

    source: str
    shape: tuple[int, ...]
    take: tuple[Index, ...]
    axes: tuple[int | None, ...]
    put: tuple[Index, ...]
    is_reshaped: bool = False


@dataclass(frozen=True, slots=True)
class RowSpan:
    """Whole rows of a parameter that are whole rows of a stored tensor: `count` rows from `start`
    on are the rows of `source` from `offset` on. Rows are all axes but the last together."""

    start: int
    count: int
    source: str
    offset: int


@dataclass(frozen=True, slots=True)
class Mosaic:
    """A parameter's shape and its tiles."""

    shape: tuple[int, ...]
    tiles: tuple[Tile, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """Its stored tensors, each once."""
        return tuple(dict.fromkeys(tile.source for tile in self.tiles))

    @property
    def is_whole(self) -> bool:
        """Is it one stored tensor with its elements in order?"""
        return len(self.tiles) == 1 and _is_identity(self.tiles[0], self.shape)

    def runs(self) -> tuple[RowSpan, ...] | None:
        """Its rows as runs of stored rows, in order; None if a row is assembled from parts."""
        runs = [_run(tile, self.shape) for tile in self.tiles]
        if any(run is None for run in runs):
            return None
        return tuple(sorted((run for run in runs if run is not None), key=lambda r: r.start))

    def gather(self, stored: Any, dtype: torch.dtype) -> Tensor:
        """The whole parameter; `stored(name)` gives a whole stored tensor."""
        out = torch.empty(self.shape, dtype=dtype)
        for tile in self.tiles:
            taken = _taken(stored(tile.source).reshape(tile.shape), tile)
            out[np.ix_(*[np.asarray(p) for p in tile.put])] = taken.to(dtype)
        return out

    def scatter(self, whole: Tensor, source: str, into: Tensor) -> None:
        """Write the elements of a whole parameter to their places in a stored tensor."""
        for tile in self.tiles:
            if tile.source == source:
                part = whole[np.ix_(*[np.asarray(p) for p in tile.put])]
                order = [
                    axis for axis, source_axis in enumerate(tile.axes) if source_axis is not None
                ]
                own_axes = [a for a in tile.axes if a is not None]
                part = part.reshape([part.shape[axis] for axis in order])
                part = part.permute([own_axes.index(a) for a in range(len(own_axes))])
                view = into.reshape(tile.shape)
                view[np.ix_(*[np.asarray(t) for t in tile.take])] = part


def whole(source: str, shape: Sequence[int]) -> Mosaic:
    """A whole stored tensor, unchanged."""
    return reshaped(source, shape, shape)


def reshaped(source: str, stored: Sequence[int], shape: Sequence[int]) -> Mosaic:
    """A stored tensor with its elements in the same order under another shape."""
    assert math.prod(stored) == math.prod(shape)
    spans = tuple(range(n) for n in shape)
    axes = tuple(range(len(shape)))
    tile = Tile(source, tuple(shape), spans, axes, spans, tuple(stored) != tuple(shape))
    return Mosaic(tuple(shape), (tile,))


def joined(parts: Sequence[Mosaic], axis: int) -> Mosaic:
    """Parameters concatenated along an axis."""
    shape, offset, tiles = list(parts[0].shape), 0, []
    for part in parts:
        others = [n for a, n in enumerate(part.shape) if a != axis]
        if others != [n for a, n in enumerate(shape) if a != axis]:
            raise ValueError(f"shapes {list(parts[0].shape)} and {list(part.shape)} do not join")
        for tile in part.tiles:
            put = _shifted(tile.put[axis], offset)
            tiles.append(replace(tile, put=_with(tile.put, axis, put)))
        offset += part.shape[axis]
    shape[axis] = offset
    return Mosaic(tuple(shape), tuple(tiles))


def stacked(parts: Sequence[Mosaic], axis: int = 0) -> Mosaic:
    """Parameters of one shape as slices along a new axis."""
    if len({part.shape for part in parts}) > 1:
        raise ValueError("tensors of unlike shapes can't be stacked")
    tiles = []
    for number, part in enumerate(parts):
        for tile in part.tiles:
            axes = (*tile.axes[:axis], None, *tile.axes[axis:])
            put = (*tile.put[:axis], range(number, number + 1), *tile.put[axis:])
            tiles.append(replace(tile, axes=axes, put=put))
    shape = (*parts[0].shape[:axis], len(parts), *parts[0].shape[axis:])
    return Mosaic(shape, tuple(tiles))


def cut(mosaic: Mosaic, sizes: Iterable[int], axis: int) -> list[Mosaic]:
    """A parameter split into parts of these sizes along an axis."""
    parts, start = [], 0
    for size in sizes:
        parts.append(_part(mosaic, axis, start, start + size))
        start += size
    if start != mosaic.shape[axis]:
        raise ValueError(f"{start} rows expected, not {mosaic.shape[axis]}")
    return parts


def transposed(mosaic: Mosaic, first: int, second: int) -> Mosaic:
    """A parameter with two axes exchanged."""

    def swapped(items: Sequence[Any]) -> tuple[Any, ...]:
        order = list(items)
        order[first], order[second] = order[second], order[first]
        return tuple(order)

    tiles = tuple(replace(t, axes=swapped(t.axes), put=swapped(t.put)) for t in mosaic.tiles)
    return Mosaic(swapped(mosaic.shape), tiles)


def reordered(mosaic: Mosaic, axis: int, order: Sequence[int]) -> Mosaic:
    """A parameter with position order[i] moved to position i along an axis."""
    places = np.empty(len(order), np.int64)
    places[np.asarray(order)] = np.arange(len(order))
    tiles = tuple(
        replace(t, put=_with(t.put, axis, places[np.asarray(t.put[axis])])) for t in mosaic.tiles
    )
    return Mosaic(mosaic.shape, tiles)


def _part(mosaic: Mosaic, axis: int, start: int, stop: int) -> Mosaic:
    tiles = []
    for tile in mosaic.tiles:
        places = np.asarray(tile.put[axis])
        inside = np.flatnonzero((places >= start) & (places < stop))
        if not len(inside):
            continue
        put = _with(tile.put, axis, _even(places[inside] - start))
        take, source_axis = tile.take, tile.axes[axis]
        if source_axis is not None:
            take = _with(take, source_axis, _even(np.asarray(take[source_axis])[inside]))
        tiles.append(replace(tile, take=take, put=put))
    shape = (*mosaic.shape[:axis], stop - start, *mosaic.shape[axis + 1 :])
    return Mosaic(shape, tuple(tiles))


def _even(places: Any) -> Index:
    """Positions as a range if their step is even."""
    first = int(places[0]) if len(places) else 0
    if np.array_equal(places, np.arange(first, first + len(places))):
        return range(first, first + len(places))
    return places


def _shifted(index: Index, by: int) -> Index:
    if isinstance(index, range):
        return range(index.start + by, index.stop + by, index.step)
    return index + by


def _with(items: tuple[Index, ...], axis: int, item: Index) -> tuple[Index, ...]:
    return (*items[:axis], item, *items[axis + 1 :])


def _is_identity(tile: Tile, shape: tuple[int, ...]) -> bool:
    full = tuple(range(n) for n in shape)
    return (
        not tile.is_reshaped
        and tile.axes == tuple(range(len(shape)))
        and all(
            isinstance(t, range) and isinstance(p, range) and t == f == p
            for t, p, f in zip(tile.take, tile.put, full, strict=True)
        )
    )


def _run(tile: Tile, shape: tuple[int, ...]) -> RowSpan | None:
    """A tile as one run of rows: its axes in order, and all but the first whole."""
    if not all(isinstance(i, range) and i.step == 1 for i in (*tile.take, *tile.put)):
        return None
    if tile.is_reshaped:
        return None  # rows of one are not rows of the other
    if not shape:
        return RowSpan(0, 1, tile.source, 0)
    axes = [(axis, source) for axis, source in enumerate(tile.axes) if source is not None]
    if [source for _, source in axes] != list(range(len(tile.shape))) or not axes:
        return None
    lead = axes[0][0]
    inner_is_whole = all(
        tile.take[source] == range(tile.shape[source]) and tile.put[axis] == range(shape[axis])
        for axis, source in axes[1:]
    )
    if not inner_is_whole or any(len(tile.put[axis]) != 1 for axis in range(lead)):
        return None
    if len(axes) == 1 and len(shape) > 1:
        return None  # a part of a row
    if [axis for axis, _ in axes] != list(range(lead, len(shape))):
        return None
    inner = math.prod(shape[lead + 1 : -1]) if lead < len(shape) - 1 else 1
    start, unit = 0, inner
    for axis in range(lead, -1, -1):
        start += tile.put[axis].start * unit
        unit *= shape[axis]
    return RowSpan(start, len(tile.put[lead]) * inner, tile.source, tile.take[0].start * inner)


def _taken(tensor: Tensor, tile: Tile) -> Tensor:
    """A tile's elements in the parameter's axes."""
    part = tensor[np.ix_(*[np.asarray(t) for t in tile.take])] if tile.take else tensor
    axes = [axis for axis in tile.axes if axis is not None]
    part = part.permute(axes)
    shape, source_axis = [], 0
    for axis in tile.axes:
        shape.append(1 if axis is None else part.shape[source_axis])
        source_axis += axis is not None
    return part.reshape(shape)
