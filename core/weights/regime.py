"""What an update does to a matrix's spectrum, top directions and single weights.

Owns the formulas and the random update of the same size beside them. Knows no model and no layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor

from core.models.transfers import down, pinned_copy, up
from core.weights import linalg
from core.weights.narrow import TERMS

_STRIPE, _ON_CARD = 64, 4096
"""Rows that are compared at once, on the processor and on a card."""

MEASURES = ("write_rotation", "read_rotation", "spectrum_change", "visible_share")


Measured = dict[str, tuple[float | None, list[float | None]]]


@dataclass(frozen=True, slots=True)
class Before:
    """A matrix W before any update: as a batch of one in working precision, its top left and right
    singular directions [d, k] and its singular values [n]."""

    whole: Tensor
    sides: tuple[Tensor, Tensor]
    sigma: Tensor

    @classmethod
    def of(
        cls, matrix: Tensor, rank: int, known: linalg.Basis | None = None, terms: int = 0
    ) -> Before:
        """Of W [d_out, d_in], and its basis where it is `known`; k is the rank of W where it is
        lower than `rank`, 0 for zeros. `terms`: see `linalg.gram`."""
        whole = linalg.working(matrix[None])
        if known is not None:
            top, energy = known.directions(rank), known.energy
        else:
            product = linalg.gram(whole, terms)
            top = linalg.directions(whole, product, rank=rank)
            energy = linalg.spectrum_of_gram(product).energy
        real = slice(int(top.real[0].sum()))  # the first ones
        sides = top.left[0][:, real].contiguous(), top.right[0][:, real].contiguous()
        return cls(whole, sides, energy[0].sqrt())


def measure(
    before: Before, update: Tensor, *, threshold: float, draws: int, narrow: bool = False
) -> Callable[[], Measured]:
    """Each of `MEASURES` of the update Δ of a matrix W, both [d_out, d_in], and of `draws` Gaussian
    updates with the Frobenius norm of Δ, from what went `down` until the result is called.

    `write_rotation`, `read_rotation`: the mean principal angle, in degrees, of the top left and
    right singular directions of W and of W + Δ; None where these fill the space.
    `spectrum_change`: ‖σ⁺ − σ‖/‖σ‖. `visible_share`: the share of weights with |w⁺ − w| >
    threshold·max(|w|, |w⁺|). `narrow`: W and W + Δ are bfloat16 matrices.
    """
    whole, device = before.whole, update.device
    generator = torch.Generator().manual_seed(0)
    measures: dict[str, list[Callable[[], float | None]]] = {name: [] for name in MEASURES}
    size = _norm(update)
    for draw in range(draws + 1):
        change = linalg.working(update[None])
        if draw:
            if device.type == "cuda" and draws == 1:
                drawn = _only_draw(change.shape, change.dtype)
            else:
                drawn = torch.randn(change.shape, generator=generator, dtype=change.dtype)
            change = up(drawn, device)
            change *= (size / _norm(change[0])).to(change)
        tuned = whole + change
        after = linalg.gram(tuned, (TERMS if draw else 1) if narrow else 0)
        turned = linalg.directions(tuned, after, rank=before.sides[0].shape[1])
        sides = turned.left, turned.right
        for name, side, now in zip(MEASURES, before.sides, sides, strict=False):
            measures[name].append(_rotation(side, now[0]))
        moved = linalg.spectrum_of_gram(after).energy[0].sqrt() - before.sigma
        relative = down(moved.norm() / before.sigma.norm())
        measures["spectrum_change"].append(partial(float, relative))
        visible = _visible(whole[0], tuned[0], threshold).double() / whole.numel()
        measures["visible_share"].append(partial(float, down(visible)))

    def measured() -> Measured:
        return {
            name: (values[0](), [value() for value in values[1:]])
            for name, values in measures.items()
        }

    return measured


@lru_cache(maxsize=4)
def _only_draw(shape: torch.Size, dtype: torch.dtype) -> Tensor:
    """The first numbers of the generator, which takes longer to draw them than a card to use them.
    A layer has matrices of about four shapes."""
    generator = torch.Generator().manual_seed(0)
    return pinned_copy(torch.randn(shape, generator=generator, dtype=dtype))


def _norm(matrix: Tensor) -> Tensor:
    """‖M‖_F of [d_out, d_in], float64."""
    if matrix.device.type != "cpu":
        length: Tensor = matrix.norm(dtype=torch.float64)
        return length
    rows: tuple[Tensor, ...] = matrix.split(_STRIPE)  # type: ignore[no-untyped-call]
    squares = [torch.dot(stripe.flatten(), stripe.flatten()) for stripe in rows]
    return torch.stack(squares).sum(dtype=torch.float64).sqrt()


def _visible(before: Tensor, after: Tensor, threshold: float) -> Tensor:
    """The number of weights whose relative change exceeds the threshold; on the processor by
    stripes that stay in the cache."""
    counts, rows = [], _STRIPE if before.device.type == "cpu" else _ON_CARD
    for start in range(0, len(before), rows):
        w, t = before[start : start + rows], after[start : start + rows]
        least = torch.maximum(w.abs(), t.abs()).mul_(threshold)
        counts.append(((t - w).abs_() > least).sum())
    return torch.stack(counts).sum()


def _rotation(before: Tensor, after: Tensor) -> Callable[[], float | None]:
    """The mean principal angle of two orthonormal frames [d, k], in degrees; from sines and
    cosines together, since a cosine alone loses small angles to rounding."""
    if before.shape[1] >= before.shape[0]:
        return lambda: None
    common = before.mT @ after
    outside = after - before @ common
    if outside.device.type != "cpu":
        outside = torch.linalg.qr(outside, mode="r").R  # has the same singular values
    return partial(_mean_angle, down(common), down(outside))


def _mean_angle(common: Tensor, outside: Tensor) -> float:
    cosines, sines = torch.linalg.svdvals(common), torch.linalg.svdvals(outside).flip(0)
    return float(torch.rad2deg(torch.atan2(sines, cosines)).mean())
