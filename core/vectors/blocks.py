"""Tensors cut into blocks of rows, and their sources.

Owns the cut, the names of the random streams, and the threads. Knows neither files nor models:
both provide rows of tensors (`WeightSource`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from core.models.checkpoint import TensorInfo
from core.models.pieces import Piece
from core.weights.moments import BLOCK

_CPU = torch.device("cpu")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows start:stop (see TensorInfo) of a tensor, with the same vectors in all of them.

    Its elements use the random numbers of `stream` from number `drawn` on.
    """

    tensor: str
    start: int
    stop: int
    columns: int
    vectors: tuple[str, ...]
    stream: str
    drawn: int

    @property
    def elements(self) -> slice:
        """The block's range in the flat tensor."""
        return slice(self.start * self.columns, self.stop * self.columns)


class WeightSource(Protocol):
    """A source of weights; read by several threads."""

    def base(self, block: Block, space: Workspace) -> Tensor:
        """The base's weights as stored, flat; valid until it is read again with the workspace."""

    def tuned(self, vector: str, block: Block, space: Workspace) -> Tensor:
        """A tuned model's weights as stored, flat; valid until it is read again."""


class Workspace:
    """The buffers of one thread, allocated once and reused for every block."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, torch.dtype, torch.device], Tensor] = {}

    def numbers(
        self,
        name: str,
        size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device = _CPU,
    ) -> Tensor:
        """An uninitialised vector of `size` elements. The same name shares the same memory."""
        key = name, dtype, device
        buffer = self._kept.get(key)
        if buffer is None or buffer.numel() < size:
            buffer = self._kept[key] = torch.empty(size, dtype=dtype, device=device)
        return buffer if buffer.numel() == size else buffer[:size]


def cut(
    pieces: Sequence[Piece],
    base: Mapping[str, TensorInfo],
    tuned: Mapping[str, Mapping[str, TensorInfo]],
    tensors: Collection[str],
    size: int = BLOCK,
) -> Iterator[Block]:
    """The base's tensors in blocks of about `size` elements, whole rows each.

    `tuned` are the tensors of each vector under the base's names; a vector applies to the rows that
    it has, and only in `tensors`.
    """
    of: dict[str, list[Piece]] = {}
    for piece in pieces:
        of.setdefault(piece.tensor, []).append(piece)
    used: set[str] = set()
    for tensor, group in of.items():
        info = base[tensor]
        step = max(1, size // max(info.columns, 1))
        rows = {v: infos[tensor].rows for v, infos in tuned.items() if tensor in tensors}
        ends = sorted({info.rows, *(n for n in rows.values() if n < info.rows)})
        for first, last, stream in _streams(group, info):
            # Several tensors of one module have separate streams.
            stream = f"{stream}.{tensor}" if stream in used else stream
            used.add(stream)
            for start, stop in _runs(first, last, step, ends):
                yield Block(
                    tensor, start, stop, info.columns,
                    tuple(v for v, n in rows.items() if n >= stop),
                    stream, (start - first) * info.columns,
                )  # fmt: skip


def spread(work: Callable[[Sequence[Block]], T], blocks: Sequence[Block], threads: int) -> list[T]:
    """Work on the blocks in several threads; returns after all have ended."""
    if threads == 1:
        return [work(blocks)]
    shares = [blocks[i::threads] for i in range(min(threads, len(blocks)))]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, shares))


def thread_count() -> int:
    """The number of threads for blocks on a CPU."""
    return max(1, min(8, os.cpu_count() or 1))


def _runs(first: int, last: int, step: int, ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The rows from first to last in runs of at most `step` that cross none of the ends."""
    start = first
    while start < last:
        stop = min([last, start + step, *(end for end in ends if end > start)])
        yield start, stop
        start = stop


def _streams(pieces: Sequence[Piece], info: TensorInfo) -> Iterator[tuple[int, int, str]]:
    """Ranges of rows of a tensor, with the names of their random streams.

    A name depends on the rows' role and not on their storage: a stack of experts in memory draws
    the same numbers as single experts on disk.
    """
    kind = pieces[0].tensor.rpartition(".")[2]
    if pieces[0].module in ("norm", "embedding"):  # several tensors of one module
        kind = ".".join(pieces[0].tensor.split(".")[-2:])
    if all(p.expert is None for p in pieces):
        yield 0, info.rows, f"{pieces[0].layer}.{pieces[0].module}.{kind}"
        return
    experts: dict[int | None, list[Piece]] = {}
    for piece in pieces:
        experts.setdefault(piece.expert, []).append(piece)
    for expert, parts in experts.items():
        apart = len({p.rows for p in parts}) == len(parts) and all(len(p.rows) == 1 for p in parts)
        for piece in parts if apart else parts[:1]:
            # Modules that share their rows share a stream.
            span = piece.rows[0] if apart else (parts[0].rows[0][0], parts[-1].rows[-1][1])
            kind = "bias" if len(piece.shape) == 1 else "weight"
            yield *span, f"{piece.layer}.{piece.module}.{expert}.{kind}"
