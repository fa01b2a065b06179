"""The weights of a point of task arithmetic, computed block by block.

Arithmetic is in float32 whatever the weights are stored as, from the base for every point, and
rounded once. Knows neither files nor models: both hand it rows of tensors (`WeightSource`).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from core.errors import RunError
from core.models.checkpoint import TensorInfo
from core.models.pieces import Piece
from core.vectors.arithmetic import ArithmeticPoint
from core.weights.moments import BLOCK

_HALF = 16  # bits of a float32 that each of the two passes of a threshold counts by

_CPU = torch.device("cpu")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Block:
    """Rows start:stop (see TensorInfo) of a tensor, in which the same vectors take part.

    Its elements draw the random numbers from number `drawn` on of those called `stream`.
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
        """Where the block is in the flat tensor."""
        return slice(self.start * self.columns, self.stop * self.columns)


class WeightSource(Protocol):
    """Where weights come from; read by several threads."""

    def base(self, block: Block, space: Workspace) -> Tensor:
        """The base's weights as stored, flat; good until the workspace is used for another."""

    def tuned(self, vector: str, block: Block, space: Workspace) -> Tensor:
        """A tuned model's weights as stored, flat; good for as long."""


class Workspace:
    """The buffers of one thread, made once and used for every block."""

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
        kept = self._kept.get(key)
        if kept is None or kept.numel() < size:
            kept = self._kept[key] = torch.empty(size, dtype=dtype, device=device)
        return kept if kept.numel() == size else kept[:size]


@dataclass(frozen=True, slots=True)
class Rounding:
    """Sums of squares over elements: what rounding the result lost, and the exact change."""

    lost: float = 0.0
    changed: float = 0.0

    def __add__(self, other: Rounding) -> Rounding:
        return Rounding(self.lost + other.lost, self.changed + other.changed)

    @property
    def share(self) -> float | None:
        """‖rounded − exact‖ / ‖exact − base‖; None when nothing changes."""
        return math.sqrt(self.lost / self.changed) if self.changed else None


class VectorCombination:
    """A point with the magnitudes below which TIES trims each vector."""

    def __init__(self, point: ArithmeticPoint, thresholds: Mapping[str, float]) -> None:
        self.point = point
        self._thresholds = thresholds
        # Properties of the point that every block would ask for.
        self._terms, self._elects = point.terms, point.elects
        self._thins = point.trims or point.drops
        self._scale = 1 / point.density if point.drops and point.density else 1.0

    def write(self, block: Block, source: WeightSource, out: Tensor, space: Workspace) -> Rounding:
        """Fill `out` (flat, of any floating dtype, on any device) with a block of the point.

        Without vectors that is the base, and with one whole vector the tuned model, bit for bit
        where `out` has the dtype that they are stored in. Raises RunError naming tensor and point
        when a value is not finite.
        """
        terms = [term for term in self._terms if term[0] in block.vectors]
        stored = source.base(block, space)
        if not terms and stored.dtype == out.dtype:
            out.copy_(stored)
            return Rounding()
        size, device = out.numel(), out.device
        base, update, exact = (
            space.numbers(name, size, device=device) for name in ("base", "update", "exact")
        )
        base.copy_(stored)
        whole = self._update(terms, block, source, base, update, space)
        if whole is None:
            torch.add(base, update, out=exact)
        else:
            exact.copy_(whole)
        # Not through float32 where the weights are there already: they may be float64.
        out.copy_(exact if whole is None else whole)
        base.copy_(out).sub_(exact)
        rounding = Rounding(_energy(base), _energy(update))
        if not (math.isfinite(rounding.lost) and math.isfinite(rounding.changed)):
            raise self._not_finite(block, out.dtype)
        return rounding

    def _update(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        base: Tensor,
        update: Tensor,
        space: Workspace,
    ) -> Tensor | None:
        """Fill `update` with what is added to the base; the tuned weights where it is just those.

        base + (tuned − base) need not be the tuned number itself, not even in float32.
        """
        stored, votes = None, []
        for i, (vector, value) in enumerate(terms):
            term = update
            if i or self._elects:
                name = f"vote{i}" if self._elects else "another"
                term = space.numbers(name, len(base), device=base.device)
            stored = source.tuned(vector, block, space)
            term.copy_(stored).sub_(base)
            if self._thins:
                self._thin(term, vector, block)
            term.mul_(value * self._scale)
            if self._elects:
                votes.append(term)
            elif i:
                update.add_(term)
        if not terms:
            update.zero_()
        elif votes:
            _elect(votes, update)
        return stored if len(terms) == 1 and terms[0][1] == 1 and not self._thins else None

    def _thin(self, term: Tensor, vector: str, block: Block) -> None:
        """Set to zero what TIES trims, or what DARE drops."""
        if self.point.trims:
            term.masked_fill_(term.abs() < self._thresholds[vector], 0)
        elif self.point.drops:
            assert self.point.density is not None
            dropped = _draws(f"{self.point.seed}|{vector}|{block.stream}", block.drawn, len(term))
            dropped = dropped >= max(1, round(self.point.density * 2**32))
            term.masked_fill_(torch.from_numpy(dropped).to(term.device), 0)

    def _not_finite(self, block: Block, dtype: torch.dtype) -> RunError:
        stored = str(dtype).removeprefix("torch.")
        return RunError(
            f"{self.point.setting}: tensor {block.tensor} gets values that are not finite in "
            f"{stored}.",
            hint=f"{stored} ends at {torch.finfo(dtype).max:.3g}: lower the coefficients, or store "
            "the weights in a wider dtype.",
        )


def cut(
    pieces: Sequence[Piece],
    base: Mapping[str, TensorInfo],
    tuned: Mapping[str, Mapping[str, TensorInfo]],
    tensors: Collection[str],
    size: int = BLOCK,
) -> Iterator[Block]:
    """The base's tensors in blocks of about `size` elements, whole rows each.

    `tuned` are the tensors of each vector under the base's names; a vector takes part in the rows
    that it has, and in `tensors` alone.
    """
    of: dict[str, list[Piece]] = {}
    for piece in pieces:
        of.setdefault(piece.tensor, []).append(piece)
    used: set[str] = set()
    for tensor, found in of.items():
        info = base[tensor]
        step = max(1, size // max(info.columns, 1))
        rows = {v: infos[tensor].rows for v, infos in tuned.items() if tensor in tensors}
        ends = sorted({info.rows, *(n for n in rows.values() if n < info.rows)})
        for first, last, stream in _streams(found, info):
            # Several tensors of one module draw apart.
            stream = f"{stream}.{tensor}" if stream in used else stream
            used.add(stream)
            for start, stop in _runs(first, last, step, ends):
                yield Block(
                    tensor, start, stop, info.columns,
                    tuple(v for v, n in rows.items() if n >= stop),
                    stream, (start - first) * info.columns,
                )  # fmt: skip


def _runs(first: int, last: int, step: int, ends: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The rows from first to last in runs of `step`, none of which goes over one of the ends."""
    start = first
    while start < last:
        stop = min([last, start + step, *(end for end in ends if end > start)])
        yield start, stop
        start = stop


def _streams(pieces: Sequence[Piece], info: TensorInfo) -> Iterator[tuple[int, int, str]]:
    """Rows of a tensor with a name for their random numbers.

    It says what the rows are and not how they are stored: a stack of experts in memory draws what
    the single experts on disk do.
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
    for expert, own in experts.items():
        apart = len({p.rows for p in own}) == len(own) and all(len(p.rows) == 1 for p in own)
        for piece in own if apart else own[:1]:
            # Modules that share their rows share a stream.
            span = piece.rows[0] if apart else (own[0].rows[0][0], own[-1].rows[-1][1])
            kind = "bias" if len(piece.shape) == 1 else "weight"
            yield *span, f"{piece.layer}.{piece.module}.{expert}.{kind}"


def threshold(
    vector: str, density: float, blocks: Iterable[Block], source: WeightSource, threads: int
) -> float:
    """The magnitude of the element of τ that is last of its largest `density`, over all blocks.

    Exact, in two passes that count by the leading and then by the trailing bits: magnitudes of
    float32 are in the order of their bits.
    """
    taking = [block for block in blocks if vector in block.vectors]

    def count(shift: int, within: int | None) -> Any:
        def of(share: Sequence[Block]) -> Any:
            found, space = np.zeros(1 << _HALF, np.int64), Workspace()
            for block in share:
                bits = _magnitude_bits(vector, block, source, space)
                if within is not None:
                    bits = bits[bits >> _HALF == within] & (1 << _HALF) - 1
                found += torch.bincount(bits >> shift, minlength=1 << _HALF).cpu().numpy()
            return found

        return sum(spread(of, taking, threads))

    if not taking:
        return 0.0
    coarse = count(_HALF, None)
    wanted = max(1, round(density * int(coarse.sum())))
    bucket, above = _holding(coarse, wanted)
    place, _ = _holding(count(0, bucket), wanted - above)
    return float(np.array([bucket << _HALF | place], np.int32).view(np.float32)[0])


def _holding(counts: Any, wanted: int) -> tuple[int, int]:
    """The highest bucket that the `wanted` largest reach down into, and how many lie above it."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, wanted))
    return len(counts) - 1 - place, int(above[place - 1]) if place else 0


def _magnitude_bits(vector: str, block: Block, source: WeightSource, space: Workspace) -> Tensor:
    stored = source.base(block, space)
    size, device = stored.numel(), stored.device
    base = space.numbers("base", size, device=device).copy_(stored)
    update = space.numbers("update", size, device=device)
    update.copy_(source.tuned(vector, block, space)).sub_(base).abs_()
    return update.view(torch.int32)


def spread(work: Callable[[Sequence[Block]], T], blocks: Sequence[Block], threads: int) -> list[T]:
    """Do the work on the blocks, shared between threads; all have ended when this does."""
    if threads == 1:
        return [work(blocks)]
    shares = [blocks[i::threads] for i in range(min(threads, len(blocks)))]
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(work, shares))


def thread_count() -> int:
    """How many threads share the blocks on a CPU."""
    return max(1, min(8, os.cpu_count() or 1))


def _energy(values: Tensor) -> float:
    """Σ of squares, in float64 where float32 can't hold it."""
    found = float(torch.dot(values, values))
    return found if math.isfinite(found) else float(values.double().square().sum())


def _elect(votes: Sequence[Tensor], out: Tensor) -> None:
    """The mean of the votes whose sign is that of their sum; zero where they cancel.

    Yadav et al. 2023, section 4. One by one: in any other order the last bits would depend on how
    the tensor is cut.
    """
    out.copy_(votes[0])
    for vote in votes[1:]:
        out.add_(vote)
    sign = out.sign()
    out.zero_()
    agreeing = torch.zeros_like(out)
    for vote in votes:
        agrees = (vote.sign() == sign).logical_and_(vote != 0)
        out.add_(vote.masked_fill_(~agrees, 0))
        agreeing.add_(agrees)
    out.div_(agreeing.clamp_(min=1))


def _draws(stream: str, first: int, size: int) -> Any:
    """Uniform uint32 [size], those from number `first` on of a stream, wherever one begins.

    Philox counts (Salmon et al. 2011), eight of them to a count, so no number depends on blocks.
    """
    key = int.from_bytes(hashlib.sha256(stream.encode()).digest()[:16], "little")
    counter, skipped = divmod(first, 8)
    numbers = np.random.Philox(counter=counter, key=key).random_raw((skipped + size + 1) // 2)
    return numbers.astype("<u8", copy=False).view("<u4")[skipped : skipped + size]
