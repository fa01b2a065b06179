"""Logical matrices of a model, and their regions in its parameters.

Owns the cutting of parameters: fused projections by rows or by heads, stacks of experts, transposed
and interleaved layouts. Knows shapes only, no names of any architecture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One logical matrix [d_out, d_in] or vector of a model, and its region in a parameter.

    `tensor`: the parameter's name in memory. `rows`: ranges of its rows (in a checkpoint's sense:
    all axes but the last together, a vector as rows of one element); `columns`: start, stop and
    step of its columns (None: all); `transposed`: stored as [d_in, d_out]. `heads`: the number of
    consecutive attention heads in its rows (the columns of `o`); 0: none.
    """

    tensor: str
    module: str
    layer: int | None
    shape: tuple[int, ...]
    rows: tuple[tuple[int, int], ...]
    expert: int | None = None
    columns: tuple[int, int, int] | None = None
    transposed: bool = False
    heads: int = 0

    @property
    def is_matrix(self) -> bool:
        """Is it a matrix with more than one row? A single row (a shared expert's gate) has no
        directions."""
        return len(self.shape) == 2 and min(self.shape) > 1

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def width(self) -> int:
        """Elements of one row of the region."""
        if self.columns is not None:
            return len(range(*self.columns))
        return self.size // max(1, sum(stop - start for start, stop in self.rows))


Storage = Literal["plain", "transposed", "stack", "stack transposed"]
"""A matrix as [d_out, d_in]; as [d_in, d_out]; and a stack of either, one per expert."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The layout of the modules in one parameter.

    `runs` are the modules in order with their numbers of output rows; the whole order is repeated
    `repeats` times (once per head or per group of heads). `interleaved`: single rows of the modules
    alternate. An empty `runs` is one module over all rows. `expert`: the number of the expert, or
    of a stack's first expert.
    """

    modules: tuple[str, ...]
    runs: tuple[int, ...] = ()
    repeats: int = 1
    storage: Storage = "plain"
    interleaved: bool = False
    expert: int | None = None
    heads: dict[str, int] = field(default_factory=dict)


class ShapeMisfitError(Exception):
    """A parameter's shape does not fit the cut."""


def pieces_of(name: str, shape: tuple[int, ...], layer: int | None, cut: Cut) -> list[Piece]:
    """The pieces of one parameter. Raises ShapeMisfitError."""
    if 0 in shape:
        return []
    whole = Piece(
        tensor=name, module=cut.modules[0], layer=layer, shape=shape, rows=((0, _rows(shape)),),
        expert=cut.expert, heads=cut.heads.get(cut.modules[0], 0),
    )  # fmt: skip
    if cut.storage.startswith("stack"):
        return _stacked(whole, cut)
    if cut.storage == "transposed" and len(shape) == 2:
        return _by_columns(whole, (0, shape[0]), cut)
    if len(cut.modules) == 1:
        return [whole]
    return _by_rows(whole, (0, shape[0]), cut)


def _rows(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1]) if len(shape) > 1 else math.prod(shape)


def _stacked(whole: Piece, cut: Cut) -> list[Piece]:
    """Matrices [experts, …, …] one by one; a stack of biases [experts, …] as vectors."""
    if len(whole.shape) not in (2, 3):
        raise ShapeMisfitError("a stack of matrices or of biases expected")
    pieces: list[Piece] = []
    for index in range(whole.shape[0]):
        expert = index + (cut.expert or 0)
        if len(whole.shape) == 2:
            one = replace(whole, expert=expert, shape=whole.shape[1:])
            pieces += _by_columns(one, (index, index + 1), cut)
            continue
        height = whole.shape[1]
        span = (index * height, (index + 1) * height)
        one = replace(whole, expert=expert, shape=whole.shape[1:], rows=(span,))
        by = _by_columns if cut.storage == "stack transposed" else _by_rows
        pieces += by(one, span, cut)
    return pieces


def _extents(cut: Cut, total: int) -> list[tuple[str, list[tuple[int, int]]]]:
    """Each module's ranges of output rows among `total` rows."""
    runs = cut.runs or (total // len(cut.modules),) * len(cut.modules)
    if sum(runs) * cut.repeats != total:
        expected = " + ".join(map(str, runs)) + (f", {cut.repeats} times" * (cut.repeats > 1))
        raise ShapeMisfitError(
            f"{expected} rows for {', '.join(cut.modules)} expected, not {total}"
        )
    ranges: dict[str, list[tuple[int, int]]] = {module: [] for module in cut.modules}
    start = 0
    for _ in range(cut.repeats):
        for module, extent in zip(cut.modules, runs, strict=True):
            ranges[module].append((start, start + extent))
            start += extent
    return list(ranges.items())


def _by_rows(one: Piece, span: tuple[int, int], cut: Cut) -> list[Piece]:
    first, total = span[0], span[1] - span[0]
    if cut.interleaved and len(cut.modules) > 1:
        count = len(cut.modules)
        return [
            replace(
                one, module=module, shape=(total // count, *one.shape[1:]),
                rows=tuple((row, row + 1) for row in range(first + i, first + total, count)),
            )
            for i, module in enumerate(cut.modules)
        ]  # fmt: skip
    return [
        replace(
            one, module=module, heads=cut.heads.get(module, 0),
            shape=(sum(b - a for a, b in ranges), *one.shape[1:]),
            rows=_joined([(first + a, first + b) for a, b in ranges]),
        )
        for module, ranges in _extents(cut, total)
    ]  # fmt: skip


def _by_columns(one: Piece, rows: tuple[int, int], cut: Cut) -> list[Piece]:
    """Modules side by side in the columns: transposed matrices, and biases of a stack."""
    total, height = one.shape[-1], one.shape[0] if len(one.shape) > 1 else None
    if cut.interleaved and len(cut.modules) > 1:
        spans = [(m, (i, total, len(cut.modules))) for i, m in enumerate(cut.modules)]
    elif cut.repeats == 1:
        spans = [(m, (*ranges[0], 1)) for m, ranges in _extents(cut, total)]
    else:
        raise ShapeMisfitError("transposed projections are fused one after the other")
    pieces = []
    for module, columns in spans:
        extent = len(range(*columns))
        pieces.append(
            replace(
                one, module=module, rows=(rows,), heads=cut.heads.get(module, 0),
                shape=(extent,) if height is None else (extent, height),
                columns=None if extent == total else columns, transposed=height is not None,
            )
        )  # fmt: skip
    return pieces


def _joined(ranges: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges with adjacent ones joined."""
    spans: list[tuple[int, int]] = []
    for start, stop in ranges:
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], stop)
        else:
            spans.append((start, stop))
    return tuple(spans)
