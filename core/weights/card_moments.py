"""The sums of `core.weights.moments` computed on a card, where they stay until the end.

Owns the arithmetic on one block of elements. Nothing here waits for the card.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from core.models.transfers import down, up
from core.weights import pairs
from core.weights.moments import MemberTensor, Moments, add_rounding, blocks_of
from core.weights.pairs import Pairing

ELEMENTS = 1 << 24
"""Elements of one block where no pairs are wanted: enough to hide the launches of kernels."""

_EXPONENT = 0x7F800000


def accumulate(
    models: Sequence[str],
    base: MemberTensor,
    tuned: Sequence[MemberTensor],
    rows: Sequence[tuple[int, int]],
    width: int,
    relative: Sequence[tuple[int, int]],
    pairing: Pairing | None,
    device: torch.device,
) -> Callable[[], Moments]:
    """As `core.weights.moments.accumulate`, of members whose rows are on the card.

    The returned function computes the moments on the host, from sums that were copied there
    meanwhile: see `core.models.transfers`.
    """
    sums = _Sums(len(models), len(tuned), pairing, device)
    wanted = up(
        torch.tensor([1 + models.index(n) for n in pairing.models] if pairing else []), device
    )
    noted: list[Callable[[Moments], None]] = []
    # Pairs rank elements within a block, so their blocks are the same as on the processor.
    for ranges in blocks_of(rows, width) if pairing else blocks_of(rows, width, ELEMENTS):
        block: list[Tensor] = []
        for start, stop in ranges:
            stored = [member.read(start, stop, None) for member in (base, *tuned)]
            updates = sums.add(stored, [member.is_update for member in tuned], relative)
            octaves = sums.octaves_of(stored[0])
            noted += [
                _noting(i, base, member, tensor.dtype, down(octaves), start, stop)
                for i, (member, tensor) in enumerate(zip(tuned, stored[1:], strict=True))
            ]
            sums.size += stored[0].numel()
            if pairing:
                block.append(updates.index_select(0, wanted))
        if pairing:
            sums.add_pairs(torch.cat(block, 1) if len(block) > 1 else block[0])
    gathered = down(sums.gathered())
    paired = down(sums.pairs) if pairing else None

    def moments() -> Moments:
        total = Moments.zero(models, pairing)
        n = len(models) + 1
        values = gathered.numpy()
        total.size = sums.size
        total.gram = values[: n * n].reshape(n, n).copy()
        total.changed[: len(tuned)] = values[n * n :][: len(tuned)]
        total.largest[: len(tuned)] = values[n * n + len(tuned) :]
        for note in noted:
            note(total)
        if total.pairs is not None and paired is not None:
            total.pairs.sums = paired.numpy().copy()
        return total

    return moments


def _noting(
    i: int, base: MemberTensor, member: MemberTensor, dtype: torch.dtype, octaves: Tensor,
    start: int, stop: int,
) -> Callable[[Moments], None]:  # fmt: skip
    return lambda moments: add_rounding(
        moments, i, base, member, dtype, float(octaves), start, stop
    )


class _Sums:
    """The running sums of one piece on the card, float64."""

    def __init__(
        self, models: int, tuned: int, pairing: Pairing | None, device: torch.device
    ) -> None:
        exact = {"dtype": torch.float64, "device": device}
        self.size = 0
        self.gram = torch.zeros(models + 1, models + 1, **exact)  # type: ignore[call-overload]
        self.changed = torch.zeros(tuned, **exact)  # type: ignore[call-overload]
        self.largest = torch.zeros(tuned, **exact)  # type: ignore[call-overload]
        self.top = pairing.top if pairing else 0.0
        n = len(pairing.models) if pairing else 0
        self.pairs = torch.zeros(len(pairs.SUMS), n, n, **exact)  # type: ignore[call-overload]

    def add(
        self, stored: Sequence[Tensor], updates: Sequence[bool], relative: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Add a block; returns its rows [W, Δ1, …], float32."""
        count = len(stored) + len(relative)
        rows = torch.empty(count, stored[0].numel(), device=self.gram.device)
        for row, tensor in zip(rows, stored, strict=False):
            row.view(tensor.shape).copy_(tensor)
        for i, is_update in enumerate(updates):
            delta = rows[1 + i]
            if not is_update:
                delta.sub_(rows[0])
            self.changed[i] += (delta != 0).sum()
            self.largest[i] = torch.maximum(self.largest[i], delta.abs().amax())
        for i, (child, parent) in enumerate(relative, start=len(stored)):
            torch.sub(rows[child], rows[parent], out=rows[i])
        self.gram += products(rows)
        return rows

    def octaves_of(self, stored: Tensor) -> Tensor:
        """Σ of squares of the largest power of two ≤ |w|, as `core.weights.moments` has it."""
        bits = stored.float().reshape(-1).view(torch.int32) & _EXPONENT
        return _dot(bits.view(torch.float32), bits.view(torch.float32))

    def add_pairs(self, updates: Tensor) -> None:
        """As `core.weights.pairs.Pairs.add`."""
        rows = updates.abs_()
        peaks = rows.amax(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        rows /= peaks
        scales = peaks.double() @ peaks.double().mT
        size = rows.shape[1]
        place = size - max(1, round(self.top * size)) + 1
        threshold = rows.kthvalue(place, dim=1, keepdim=True).values
        chosen = torch.where(threshold > 0, rows >= threshold, rows > 0).double()
        both = chosen @ chosen.mT
        sets = both.diagonal()
        mean = sets[:, None] * sets / size
        spread = (size - sets)[:, None] * (size - sets)
        self.pairs += torch.stack(
            [
                products(rows) * scales, products(rows.square_()) * scales**2, both, mean,
                mean * spread / (size * max(size - 1, 1)),
            ]
        )  # fmt: skip

    def gathered(self) -> Tensor:
        """All sums in one vector."""
        return torch.cat([self.gram.reshape(-1), self.changed, self.largest])


def products(rows: Tensor) -> Tensor:
    """Inner products of rows, float64 [N, N], each by itself: see `core.weights.pairs.products`."""
    n = len(rows)
    upper = {(i, j): _dot(rows[i], rows[j]) for i in range(n) for j in range(i, n)}
    whole = [upper[min(i, j), max(i, j)] for i in range(n) for j in range(n)]
    return torch.stack(whole).view(n, n)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two rows, float32: in chunks whose sums are added in float64."""
    product = a * b
    whole = len(product) // pairs.CHUNK * pairs.CHUNK
    chunks = product[:whole].view(-1, pairs.CHUNK).sum(1).sum(dtype=torch.float64)
    return chunks + product[whole:].sum(dtype=torch.float64)
