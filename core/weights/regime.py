"""What an update does to a matrix's spectrum, top directions and single weights.

Owns the formulas and the random update of the same size beside them. Knows no model and no layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.models.transfers import down, up
from core.weights import linalg
from core.weights.narrow import TERMS

_STRIPE = 64
"""Rows that are compared at once."""

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
    measures: dict[str, list[Tensor | None]] = {name: [] for name in MEASURES}
    size = update.norm(dtype=torch.float64)
    for draw in range(draws + 1):
        change = linalg.working(update[None])
        if draw:
            drawn = torch.randn(change.shape, generator=generator, dtype=change.dtype)
            change = up(drawn, device)
            change *= (size / change.norm(dtype=torch.float64)).to(change)
        tuned = whole + change
        after = linalg.gram(tuned, (TERMS if draw else 1) if narrow else 0)
        turned = linalg.directions(tuned, after, rank=before.sides[0].shape[1])
        sides = turned.left, turned.right
        for name, side, now in zip(MEASURES, before.sides, sides, strict=False):
            measures[name].append(_rotation(side, now[0]))
        moved = linalg.spectrum_of_gram(after).energy[0].sqrt() - before.sigma
        measures["spectrum_change"].append(down(moved.norm() / before.sigma.norm()))
        visible = _visible(whole[0], tuned[0], threshold).double() / whole.numel()
        measures["visible_share"].append(down(visible))

    def measured() -> Measured:
        return {
            name: (_number(values[0]), [_number(value) for value in values[1:]])
            for name, values in measures.items()
        }

    return measured


def _number(value: Tensor | None) -> float | None:
    return None if value is None else float(value)


def _visible(before: Tensor, after: Tensor, threshold: float) -> Tensor:
    """The number of weights whose relative change exceeds the threshold; by stripes that stay in
    the cache."""
    counts = []
    for start in range(0, len(before), _STRIPE):
        w, t = before[start : start + _STRIPE], after[start : start + _STRIPE]
        least = torch.maximum(w.abs(), t.abs()).mul_(threshold)
        counts.append(((t - w).abs_() > least).sum())
    return torch.stack(counts).sum()


def _rotation(before: Tensor, after: Tensor) -> Tensor | None:
    """The mean principal angle of two orthonormal frames [d, k], in degrees; from sines and
    cosines together, since a cosine alone loses small angles to rounding."""
    if before.shape[1] >= before.shape[0]:
        return None
    common = before.mT @ after
    cosines = torch.linalg.svdvals(common)
    sines = torch.linalg.svdvals(after - before @ common).flip(0)
    return down(torch.rad2deg(torch.atan2(sines, cosines)).mean())
