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
from core.models.family import Family, Member
from core.models.pieces import Piece
from core.neurons.readout import texts_of
from core.texts import encoding

Side = Literal["write", "read"]

BLOCK = 1 << 22
"""Elements of a block of rows, and of its products."""

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

    def read_out(self, side: Side, directions: Tensor, ends: int) -> Readout:
        """The tokens of directions [n, d] of length 1.

        `write`: the logits that a state gains, as in `core.neurons.readout`: the direction, scaled
        to a mean square of 1, goes through the final norm and the head, whose biases are left out.
        `read`: the cosine of each token's embedding with the direction.
        """
        piece = self._pieces[side]
        assert piece is not None
        columns = directions.float()
        if side == "write":
            columns = self._normed(columns * columns.shape[1] ** 0.5)
        columns = columns.T.to(self._device)
        n, count = columns.shape[1], self.count(piece)
        ends = min(ends, count // 2)
        sums = torch.zeros(4, n, dtype=torch.float64)
        best = [(torch.zeros(0, n), torch.zeros(0, n, dtype=torch.int64)) for _ in range(2)]
        for start, rows in self.rows(self._family.base, piece, count, n):
            block = nn.functional.normalize(rows) if side == "read" else rows
            products = block @ columns
            exact = products.double()
            squares = exact * exact
            powers = (exact, squares, squares * exact, squares * squares)
            sums += torch.stack([each.sum(0) for each in powers]).cpu()
            best = [
                _outermost(kept, sign * products, start, ends)
                for kept, sign in zip(best, (1, -1), strict=True)
            ]
        (highest, high), (lowest, low) = best
        return Readout(
            _kurtosis(sums / count).numpy(),
            torch.stack([high.T, low.T], 1).numpy(),
            torch.stack([highest.T, -lowest.T], 1).numpy(),
        )

    def rows(
        self, member: Member, piece: Piece, count: int, beside: int = 1
    ) -> Iterator[tuple[int, Tensor]]:
        """The first `count` rows of a member's embedding or head by blocks, float32 on the device,
        each with the number of its first row. `beside`: values computed for each row."""
        size = max(1, BLOCK // max(piece.shape[-1], beside))
        for start in range(0, count, size):
            stop = min(count, start + size)
            stored = member.checkpoint.read(member.names[piece.tensor], start, stop)
            yield start, stored.to(self._device).float()

    def texts(self, ids: Sequence[int]) -> list[str]:
        """The texts of tokens as they stand within a text; their numbers without a tokeniser."""
        if self.tokenizer is None:
            return [f"#{token}" for token in ids]
        return texts_of(self.tokenizer, ids, after=encoding.ids(self.tokenizer, "a")[-1])

    @cached_property
    def _pieces(self) -> dict[str, Piece | None]:
        made = opening.below(self._family.base.checkpoint).outline
        named = () if made is None else (*made.body.embeddings, *made.body.heads)
        own: dict[str, Piece] = {}
        for piece in sorted(self._family.pieces(None), key=lambda p: p.shape[0]):
            if piece.is_matrix and (not named or piece.tensor.rpartition(".")[0] in named):
                own[piece.module] = piece  # the one with most rows, if no class says which
        return {
            side: next((own[m] for m in modules if m in own), None)
            for side, modules in _PIECE.items()
        }

    def _normed(self, columns: Tensor) -> Tensor:
        """States [n, d] behind the base's final norm, less what it makes of zeros."""
        with torch.inference_mode():
            made: Tensor = self._norm(columns) - self._norm(torch.zeros_like(columns[:1]))
        return made

    @cached_property
    def _norm(self) -> nn.Module:
        """The base's final norm: the last that belongs to no layer; a model may have none."""
        base = self._family.base
        made, width = opening.below(base.checkpoint).outline, self.width("write")
        norms = [
            p for p in self._family.pieces(None) if p.module == "norm" and p.size == width
        ]  # fmt: skip
        if made is None or not norms:
            return nn.Identity()
        name = norms[-1].tensor.rpartition(".")[0]
        norm: nn.Module = copy.deepcopy(made.module.get_submodule(name))
        for tensor in (p.tensor for p in norms):
            owner, _, parameter = tensor.rpartition(".")
            if owner == name:
                values = checkpoint.whole(base.checkpoint, base.names[tensor]).float()
                setattr(norm, parameter, nn.Parameter(values, requires_grad=False))
        return norm


def _outermost(
    kept: tuple[Tensor, Tensor], values: Tensor, start: int, ends: int
) -> tuple[Tensor, Tensor]:
    """The largest values of each column among those kept and those of the rows from `start`, and
    the numbers of their rows."""
    top = torch.topk(values, min(ends, len(values)), dim=0)
    both = torch.cat([kept[0], top.values.cpu()])
    places = torch.cat([kept[1], top.indices.cpu() + start])
    found = torch.topk(both, min(ends, len(both)), dim=0)
    return found.values, places.gather(0, found.indices)


def _kurtosis(means: Tensor) -> Tensor:
    """The kurtosis of each column, from the means [4, n] of its powers."""
    a, b, c, d = means
    variance = b - a**2
    fourth = d - 4 * a * c + 6 * a**2 * b - 3 * a**4
    real = variance > 1e-12 * b
    return torch.where(real, fourth / variance.where(real, torch.ones_like(b)) ** 2, torch.nan)
