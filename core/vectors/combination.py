"""The weights of a point of task arithmetic, computed block by block.

Arithmetic is in float32 for any stored dtype, starts from the base for every point, and rounds
once. Knows neither files nor models: both provide rows of tensors (`WeightSource`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from core.errors import RunError
from core.models.naming import GROUP_OF
from core.models.pieces import Piece
from core.vectors import matrices
from core.vectors.arithmetic import ArithmeticPoint
from core.vectors.blocks import Block, WeightSource, Workspace
from core.vectors.fused import Form, Kernels
from core.vectors.selection import NO_MARKS, Marks, bounds_of, select, thin
from core.weights import loops


@dataclass(frozen=True, slots=True)
class Rounding:
    """Sums of squares over elements: of the rounding error, and of the exact change."""

    lost: float = 0.0
    changed: float = 0.0

    def __add__(self, other: Rounding) -> Rounding:
        return Rounding(self.lost + other.lost, self.changed + other.changed)

    @property
    def share(self) -> float | None:
        """‖rounded − exact‖ / ‖exact − base‖; None when nothing changes."""
        return math.sqrt(self.lost / self.changed) if self.changed else None


class VectorCombination:
    """A point with the marks that its method needs.

    `pieces` are the logical matrices of the tensors: Iso-C and TSV-M merge them whole. For these
    methods `prepare` comes before `write`, one of `turns` at a time. `finite`: every value is
    finite, so that blocks that are not measured need no look for others, and `kernels` may write
    them.
    """

    def __init__(
        self,
        point: ArithmeticPoint,
        marks: Marks = NO_MARKS,
        pieces: Iterable[Piece] = (),
        *,
        finite: bool = False,
        kernels: Kernels | None = None,
    ) -> None:
        self.point = point
        self._marks = marks
        self._pieces: dict[str, list[Piece]] = {}
        elements = 0
        for piece in pieces:
            self._pieces.setdefault(piece.tensor, []).append(piece)
            elements += math.prod(piece.shape)
        self._made: dict[str, Tensor] = {}
        # Properties of the point, computed once for all blocks.
        self._terms, self._elects = point.terms, point.elects
        self._thins = point.drops or point.trims
        self._exact = not self._thins and not point.decomposes
        plain = self._exact and not self._elects
        self._compiled = loops.compiled(elements) if plain else None
        fusing = not (point.drops or point.decomposes or point.method == "sce")
        self._finite, self._kernels = finite, kernels if finite and fusing else None
        self._numbers: dict[object, Tensor] = {}

    @property
    def form(self) -> Form | None:
        """The form of the kernel for blocks of all vectors; None if kernels don't write them."""
        return None if self._kernels is None else self._form(len(self._terms))

    def turns(self, blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
        """The blocks to write between two calls of `prepare`: all, or one tensor's."""
        if not self.point.decomposes:
            yield blocks
            return
        for _, same_tensor in groupby(blocks, key=lambda block: block.tensor):
            yield list(same_tensor)

    def prepare(self, blocks: Sequence[Block], source: WeightSource) -> None:
        """Merge the matrices of these blocks' tensor, if the method merges matrices."""
        if self.point.decomposes and blocks:
            tensor = blocks[0].tensor
            pieces = [p for p in self._pieces.get(tensor, ()) if p.module in GROUP_OF]
            self._made = {}
            if blocks[0].vectors and any(piece.is_matrix for piece in pieces):
                self._made[tensor] = matrices.merged(self.point, blocks, pieces, source)

    def write(
        self, block: Block, source: WeightSource, out: Tensor, space: Workspace,
        *, measured: bool = True,
    ) -> Rounding:  # fmt: skip
        """Fill `out` (flat, of any floating dtype, on any device) with a block of the point.

        Without vectors this is the base, and with one whole vector the tuned model, bit for bit if
        `out` has the stored dtype. Not `measured`, it takes fewer passes and the rounding is zero.
        Raises RunError, naming tensor and point, if a value is not finite.
        """
        terms = [term for term in self._terms if term[0] in block.vectors]
        stored = source.base(block, space)
        if not terms and stored.dtype == out.dtype:
            out.copy_(stored)
            return Rounding()
        rounding = self._run_compiled(terms, block, source, stored, out, space)
        if rounding is None:
            rounding = self._run(terms, block, source, stored, out, space, measured=measured)
        if not (math.isfinite(rounding.lost) and math.isfinite(rounding.changed)):
            raise self._not_finite(block, out.dtype)
        return rounding

    def _run_compiled(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        stored: Tensor,
        out: Tensor,
        space: Workspace,
    ) -> Rounding | None:
        """As `_run` by the compiled loops; None if they do not apply, or a sum overflows."""
        if self._compiled is None or not terms or out.dtype == torch.float16:
            return None
        tuned = [source.tuned(vector, block, space) for vector, _ in terms]
        if not self._compiled.fits(stored, *tuned, out):
            return None
        scales = [value for _, value in terms]
        whole = len(terms) == 1 and scales[0] == 1
        rounding = Rounding(*self._compiled.point(stored, tuned, scales, out, whole=whole))
        return rounding if math.isfinite(rounding.lost + rounding.changed) else None

    def _run(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        stored: Tensor,
        out: Tensor,
        space: Workspace,
        *,
        measured: bool,
    ) -> Rounding:
        if not measured:
            if self._run_fused(terms, block, source, stored, out, space):
                return Rounding()
            self._fill(terms, block, source, stored, out, space)
            finite = self._finite or math.isfinite(float(torch.linalg.vector_norm(out, math.inf)))
            return Rounding() if finite else Rounding(math.nan, math.nan)
        size, device = out.numel(), out.device
        base, update, exact = (
            space.numbers(name, size, device=device) for name in ("base", "update", "exact")
        )
        base.copy_(stored)
        tuned = self._update(terms, block, source, base, update, space)
        whole = tuned if self._is_whole(terms) else None
        if whole is None:
            torch.add(base, update, out=exact)
        else:
            exact.copy_(whole)
        # Existing weights are copied without float32, since they may be float64.
        out.copy_(exact if whole is None else whole)
        base.copy_(out).sub_(exact)
        return Rounding(_energy(base), _energy(update))

    def _form(self, vectors: int) -> Form:
        return Form(vectors, trims=self._thins, elects=self._elects)

    def _run_fused(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        stored: Tensor,
        out: Tensor,
        space: Workspace,
    ) -> bool:
        """Fill `out` by one kernel; False if there is none for this block."""
        elsewhere = self._kernels is None or stored.device.type != self._kernels.device
        if self._kernels is None or elsewhere or not terms or self._is_whole(terms):
            return False
        tuned = [source.tuned(vector, block, space) for vector, _ in terms]
        bounds = [bounds_of(vector, block, self.point, self._marks) for vector, _ in terms]
        rows = (tuple(value for _, value in terms), *zip(*bounds, strict=True))
        if (rows, out.device) not in self._numbers:
            numbers = torch.tensor(rows, dtype=torch.float32, device=out.device)
            self._numbers[rows, out.device] = numbers
        numbers = self._numbers[rows, out.device]
        return self._kernels.write(self._form(len(terms)), stored, tuned, numbers, out)

    def _fill(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        stored: Tensor,
        out: Tensor,
        space: Workspace,
    ) -> None:
        """Fill `out` in few passes: the sum is rounded as it is added."""
        if self._is_whole(terms):
            out.copy_(source.tuned(terms[0][0], block, space))
            return
        size, device = out.numel(), out.device
        base, update = (space.numbers(n, size, device=device) for n in ("base", "update"))
        base.copy_(stored)
        self._update(terms, block, source, base, update, space, fused=True)
        torch.add(base, update, out=out)

    def _is_whole(self, terms: Sequence[tuple[str, float]]) -> bool:
        """Does the result equal the tuned weights? base + (tuned − base) need not be the tuned
        number itself, not even in float32."""
        return len(terms) == 1 and terms[0][1] == 1 and self._exact

    def _update(
        self,
        terms: Sequence[tuple[str, float]],
        block: Block,
        source: WeightSource,
        base: Tensor,
        update: Tensor,
        space: Workspace,
        *,
        fused: bool = False,
    ) -> Tensor | None:
        """Fill `update` with the change of the base; returns the last vector's stored weights.
        `fused`: one operation reads two dtypes, which saves a pass on a GPU and takes longer on a
        CPU."""
        if not terms:
            update.zero_()
            return None
        if block.tensor in self._made:
            update.copy_(self._made[block.tensor][block.elements])
            return None
        stored, votes = None, []
        for i, (vector, value) in enumerate(terms):
            term = update
            if i or self._elects:
                name = f"vote{i}" if self._elects else "another"
                term = space.numbers(name, len(base), device=base.device)
            stored = source.tuned(vector, block, space)
            if fused and stored.dtype != torch.float64 and stored.device == base.device:
                torch.sub(stored, base, out=term)
            else:
                term.copy_(stored).sub_(base)
            scale = thin(term, vector, block, self.point, self._marks) if self._thins else 1.0
            if value * scale != 1:
                term.mul_(value * scale)
            if self._elects:
                votes.append(term)
            elif i:
                update.add_(term)
        if self.point.method == "sce" and len(votes) > 1:
            select(votes, block, self._marks)
            weights = (self._marks.weight[vector, block.stream] for vector, _ in terms)
            _elect(votes, update, list(weights))
        elif votes:
            _elect(votes, update)
        elif self.point.decomposes:
            update.div_(len(terms))
        return stored

    def _not_finite(self, block: Block, dtype: torch.dtype) -> RunError:
        stored = str(dtype).removeprefix("torch.")
        return RunError(
            f"{self.point.setting}: tensor {block.tensor} has values that are not finite in "
            f"{stored}.",
            hint=f"{stored} ends at {torch.finfo(dtype).max:.3g}: lower the coefficients, or store "
            "the weights in a wider dtype.",
        )


def _energy(values: Tensor) -> float:
    """Σ of squares, in float64 if float32 overflows."""
    energy = float(torch.dot(values, values))
    return energy if math.isfinite(energy) else float(values.double().square().sum())


def _elect(votes: Sequence[Tensor], out: Tensor, weights: Sequence[float] = ()) -> None:
    """The mean of the votes with the sign of their sum, by their weights if they have any; zero
    where they cancel.

    Yadav et al. 2023, section 4. Summed one by one, so the last bits do not depend on the cut into
    blocks.
    """
    out.copy_(votes[0])
    for vote in votes[1:]:
        out.add_(vote)
    sign = out.sign()
    out.zero_()
    agreeing = torch.zeros_like(out)
    for vote, weight in zip(votes, weights or [1.0] * len(votes), strict=True):
        size = vote.mul_(sign).clamp_min_(0)  # 0 where it has another sign
        out.add_(size, alpha=weight)
        agreeing.add_(size.sign(), alpha=weight)
    out.mul_(sign).div_(agreeing.masked_fill_(agreeing == 0, 1))
