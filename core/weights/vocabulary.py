"""The base's vocabulary: which tokens directions of its residual stream write and read.

Owns the reading of the output head behind the final norm, and of the input embedding, by blocks of
rows; and the texts of tokens. Knows no matrix of a layer and no analysis.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.models import checkpoint, opening
from core.models.adapters.checkpoint import Adapter
from core.models.family import Family, Member
from core.models.pieces import Piece
from core.models.transfers import pinned, pinned_copy, up
from core.neurons.readout import texts_of
from core.texts import encoding

Side = Literal["write", "read"]

BLOCK = 1 << 22
"""Elements of a block of rows."""

_NEAR = 1 << 18
"""Elements of a part of a block that stays in a processor's cache while all groups read it."""

_GATHERED = 1 << 14
"""Products of a direction that are summed at once."""

_PIECE = {"write": ("unembedding", "embedding"), "read": ("embedding",)}
"""The modules that tokens are read from, the first that a model stores."""


@dataclass(frozen=True, slots=True)
class Readout:
    """What directions say in tokens.

    `kurtosis` [n] float64: of a direction's products with all tokens, 3 for normal ones; NaN where
    all are equal. `tokens` [n, 2, ends] int64 and `products` [n, 2, ends] float32: the tokens with
    the largest products, then with the smallest, the outermost first.
    """

    kurtosis: NDArray[np.float64]
    tokens: NDArray[np.int64]
    products: NDArray[np.float32]

    def __getitem__(self, rows: slice) -> Readout:
        return Readout(self.kurtosis[rows], self.tokens[rows], self.products[rows])


class Vocabulary:
    """The base's tokens. `tokenizer`: None if there is none that can be read."""

    def __init__(self, family: Family, tokenizer: Any, device: torch.device) -> None:
        self._family, self._device = family, device
        self.tokenizer = tokenizer
        self._base: dict[tuple[str, str], Tensor] = {}
        self._last: dict[tuple[str, str], Tensor] = {}
        self._random: dict[tuple[Side, int, int], Readout] = {}

    @property
    def family(self) -> Family:
        return self._family

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The embedding, and the output head where it is stored apart."""
        return tuple({p.module: p for p in self._pieces.values() if p is not None}.values())

    def width(self, side: Side) -> int:
        """The length of the directions that the tokens of a side can tell; 0: no tokens."""
        piece = self._pieces[side]
        return piece.shape[-1] if piece is not None and self.count(piece) > 1 else 0

    def count(self, piece: Piece) -> int:
        """The rows of an embedding or head that are tokens: rows of padding are left out."""
        known = piece.shape[0] if self.tokenizer is None else len(self.tokenizer)
        return min(piece.shape[0], known)

    def read_out(self, side: Side, groups: Sequence[Tensor], ends: int) -> list[Readout]:
        """The tokens of each group of directions [n, d] of length 1.

        `write`: the logits that a state gains, as in `core.neurons.readout`: the direction, scaled
        to a mean square of 1, goes through the final norm and the head, whose biases are left out.
        `read`: the cosine of each token's embedding with the direction. A group is multiplied by
        itself, so that its values do not depend on the other groups.
        """
        piece = self._pieces[side]
        assert piece is not None
        count = self.count(piece)
        gathered = [_Gathered(self._columns(side, each), min(ends, count // 2)) for each in groups]
        for _, rows in self.rows(self._family.base, piece, count):
            for block in _parts(rows):
                lengths = torch.linalg.vector_norm(block, dim=1) if side == "read" else None
                for each in gathered:
                    each.see(block, lengths)
        return [each.readout() for each in gathered]

    def random(self, side: Side, number: int, ends: int) -> Readout:
        """The readout of that many random directions: the same at each call, computed once."""
        key = side, number, ends
        if key not in self._random:
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randn(number, self.width(side), generator=generator)
            (self._random[key],) = self.read_out(side, [nn.functional.normalize(drawn)], ends)
        return self._random[key]

    def rows(self, member: Member, piece: Piece, count: int) -> Iterator[tuple[int, Tensor]]:
        """The first `count` rows of a member's embedding or head by blocks, float32 on the device,
        each with the number of its first row."""
        whole = self.stored(member, piece, count)
        size = max(1, BLOCK // piece.shape[-1])
        for start in range(0, count, size):
            rows = whole[start : min(count, start + size)]
            yield start, rows.to(self._device, non_blocking=True).float()

    def stored(self, member: Member, piece: Piece, count: int) -> Tensor:
        """The first `count` rows of a member's embedding or head, or more, in their own dtype.

        Every layer is read out by the base's rows, so they stay in memory; of tuned models the
        rows that were asked for last do.
        """
        if self._is_bases(member, piece):
            member = self._family.base
        base = member is self._family.base
        held = self._base if base else self._last
        if (member.name, piece.tensor) not in held:
            if not base:
                held.clear()
            rows = piece.shape[0] if base else count
            room = rows * piece.shape[-1] * self._itemsize(member, piece)
            into = pinned(room) if self._device.type == "cuda" else None
            whole = member.checkpoint.read(member.names[piece.tensor], 0, rows, into)
            held[member.name, piece.tensor] = whole if into is None else pinned_copy(whole)
        return held[member.name, piece.tensor]

    def bytes_read(self, member: Member) -> int:
        """The bytes that are read of a member for the tokens of its directions or moved rows."""
        total, base = 0, self._family.base
        if member is base:
            tensors = base.checkpoint.tensors
            total += sum(tensors[base.names[name]].nbytes for name in self._norm_tensors)
        for piece in self.pieces:
            if member is base:
                total += piece.shape[0] * piece.shape[-1] * self._itemsize(member, piece)
            elif not self._over_base(member):
                total += self.common(piece) * piece.shape[-1] * self._itemsize(member, piece)
        return total

    def common(self, piece: Piece) -> int:
        """The rows of an embedding or head that are tokens of all models of the family."""
        return min(self._family.common_rows.get(piece.tensor, piece.shape[0]), self.count(piece))

    def release(self) -> None:
        """Free the rows in memory."""
        self._base.clear()
        self._last.clear()

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The texts of tokens as they stand within a text; their numbers without a tokeniser."""
        if self.tokenizer is None:
            return [f"#{token}" for token in ids]
        return texts_of(self.tokenizer, ids, after=encoding.ids(self.tokenizer, "a")[-1])

    @cached_property
    def _pieces(self) -> dict[str, Piece | None]:
        made = opening.below(self._family.base.checkpoint).outline
        named = () if made is None else (*made.body.embeddings, *made.body.heads)
        by_module: dict[str, Piece] = {}
        for piece in sorted(self._family.pieces(None), key=lambda p: p.shape[0]):
            if piece.is_matrix and (not named or piece.tensor.rpartition(".")[0] in named):
                by_module[piece.module] = piece  # the one with most rows, if no class says which
        return {
            side: next((by_module[m] for m in modules if m in by_module), None)
            for side, modules in _PIECE.items()
        }

    def _over_base(self, member: Member) -> bool:
        """Is the member an adapter of the base, which has no weights of its own on disk?"""
        checkpoint = member.checkpoint
        return isinstance(checkpoint, Adapter) and checkpoint.over is self._family.base.checkpoint

    def _is_bases(self, member: Member, piece: Piece) -> bool:
        """Has an adapter of the base left this embedding or head as it is?"""
        checkpoint, name = member.checkpoint, member.names[piece.tensor]
        changed = isinstance(checkpoint, Adapter) and (
            name in checkpoint.replaced or name in checkpoint.updates
        )
        return self._over_base(member) and not changed

    def _itemsize(self, member: Member, piece: Piece) -> int:
        dtype = member.checkpoint.tensors[member.names[piece.tensor]].dtype
        return 0 if dtype is None else dtype.itemsize

    def _columns(self, side: Side, directions: Tensor) -> Tensor:
        """What the rows of a side are multiplied by, [d, n] on the device."""
        columns = directions.float()
        if side == "write":
            columns = self._normed(columns * columns.shape[1] ** 0.5)
        return up(columns.T, self._device)

    def _normed(self, columns: Tensor) -> Tensor:
        """States [n, d] behind the base's final norm, minus the norm's output for zeros."""
        with torch.inference_mode():
            made: Tensor = self._norm(columns) - self._norm(torch.zeros_like(columns[:1]))
        return made

    @cached_property
    def _norm(self) -> nn.Module:
        """The base's final norm; a model may have none."""
        base, made = self._family.base, opening.below(self._family.base.checkpoint).outline
        if made is None or not self._norm_tensors:
            return nn.Identity()
        owner = self._norm_tensors[0].rpartition(".")[0]
        norm: nn.Module = copy.deepcopy(made.module.get_submodule(owner))
        for tensor in self._norm_tensors:
            values = checkpoint.whole(base.checkpoint, base.names[tensor]).float()
            setattr(norm, tensor.rpartition(".")[2], nn.Parameter(values, requires_grad=False))
        return norm

    @cached_property
    def _norm_tensors(self) -> list[str]:
        """The tensors of the final norm: of the last norm that belongs to no layer."""
        width = self.width("write")
        norms = [
            p.tensor for p in self._family.pieces(None) if p.module == "norm" and p.size == width
        ]
        return [t for t in norms if t.rpartition(".")[0] == norms[-1].rpartition(".")[0]]


def _parts(rows: Tensor) -> tuple[Tensor, ...]:
    """A block of rows in parts that stay in the processor's cache; on a card as it is."""
    size = len(rows) if rows.device.type != "cpu" else max(1, _NEAR // rows.shape[1])
    parts: tuple[Tensor, ...] = rows.split(size)  # type: ignore[no-untyped-call]
    return parts


class _Gathered:
    """The sums of powers and the outermost tokens of one group of directions, block by block."""

    def __init__(self, columns: Tensor, ends: int) -> None:
        n = columns.shape[1]
        self.rows, self.ends = columns.T.contiguous(), ends
        device = columns.device
        self.sums = torch.zeros(4, n, dtype=torch.float64, device=device)
        self.waiting: list[Tensor] = []
        self.seen = self.summed = 0
        nothing = torch.zeros(n, 0, device=device)
        # The largest products, and the largest of their opposites.
        self.best = [(nothing, nothing.long()) for _ in range(2)]

    def see(self, block: Tensor, lengths: Tensor | None) -> None:
        """See the rows that follow, whose products are divided by their `lengths`."""
        products = self.rows @ block.T
        if lengths is not None:
            products /= lengths.clamp_min(1e-12)
        self.waiting.append(products)
        self.seen += products.shape[1]
        if self.seen - self.summed >= _GATHERED:
            self._sum()

    def _sum(self) -> None:
        """Add the products that wait."""
        products = torch.cat(self.waiting, 1)
        exact = products.double()
        squares = exact * exact
        powers = (exact, squares, squares * exact, squares * squares)
        self.sums += torch.stack([each.sum(1) for each in powers])
        self.best = [
            _outermost(held, sign * products, self.summed, self.ends)
            for held, sign in zip(self.best, (1, -1), strict=True)
        ]
        self.summed = self.seen
        self.waiting.clear()

    def readout(self) -> Readout:
        """The readout over all rows."""
        if self.waiting:
            self._sum()
        (highest, high), (lowest, low) = ([t.cpu() for t in side] for side in self.best)
        return Readout(
            _kurtosis(self.sums.cpu() / self.seen).numpy(),
            torch.stack([high, low], 1).numpy(),
            torch.stack([highest, -lowest], 1).numpy(),
        )


def _outermost(
    outermost: tuple[Tensor, Tensor], values: Tensor, start: int, ends: int
) -> tuple[Tensor, Tensor]:
    """The largest values of each row, of `outermost` and the tokens from `start`, with the
    numbers of their tokens."""
    top = torch.topk(values, min(ends, values.shape[1]), dim=1)
    both = torch.cat([outermost[0], top.values], 1)
    places = torch.cat([outermost[1], top.indices + start], 1)
    largest = torch.topk(both, min(ends, both.shape[1]), dim=1)
    return largest.values, places.gather(1, largest.indices)


def _kurtosis(means: Tensor) -> Tensor:
    """The kurtosis of each column, from the means [4, n] of its powers."""
    a, b, c, d = means
    variance = b - a**2
    fourth = d - 4 * a * c + 6 * a**2 * b - 3 * a**4
    real = variance > 1e-12 * b
    return torch.where(real, fourth / variance.where(real, torch.ones_like(b)) ** 2, torch.nan)
