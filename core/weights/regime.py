"""What an update does to a matrix's spectrum, top directions and single weights.

Owns the formulas and the random update of the same size beside them. Knows no model and no layer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.weights import linalg

_STRIPE = 64
"""Rows that are compared at once."""

MEASURES = ("write_rotation", "read_rotation", "spectrum_change", "visible_share")


def measure(
    matrix: Tensor,
    update: Tensor,
    *,
    rank: int,
    threshold: float,
    draws: int,
    known: linalg.Basis | None = None,
) -> dict[str, tuple[float | None, list[float | None]]]:
    """Each of `MEASURES` of the update Δ of a matrix W, both [d_out, d_in], and of `draws` Gaussian
    updates with the Frobenius norm of Δ.

    `write_rotation`, `read_rotation`: the mean principal angle, in degrees, of the top `rank` left
    and right singular directions of W and of W + Δ; None where these fill the space.
    `spectrum_change`: ‖σ⁺ − σ‖/‖σ‖. `visible_share`: the share of weights with |w⁺ − w| >
    threshold·max(|w|, |w⁺|). `known`: the basis of W, if it is known.
    """
    whole = linalg.working(matrix[None])
    if known is not None:
        top, sigma = known.directions(rank), known.energy[0].sqrt()
    else:
        product = linalg.gram(whole)
        top = linalg.directions(whole, product, rank=rank)
        sigma = linalg.spectrum_of_gram(product).energy[0].sqrt()
    own = [side[0][:, top.real[0]] for side in (top.left, top.right)]
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float | None]] = {name: [] for name in MEASURES}
    size = update.norm(dtype=torch.float64)
    for draw in range(draws + 1):
        change = linalg.working(update[None])
        if draw:
            change = torch.randn(change.shape, generator=generator, dtype=change.dtype).to(change)
            change *= (size / change.norm(dtype=torch.float64)).to(change)
        tuned = whole + change
        after = linalg.gram(tuned)
        turned = linalg.directions(tuned, after, rank=own[0].shape[1])
        sides = turned.left, turned.right
        for name, before, now in zip(MEASURES, own, sides, strict=False):
            found[name].append(_rotation(before, now[0]))
        moved = linalg.spectrum_of_gram(after).energy[0].sqrt() - sigma
        found["spectrum_change"].append(float(moved.norm() / sigma.norm()))
        found["visible_share"].append(_visible(whole[0], tuned[0], threshold) / whole.numel())
    return {name: (values[0], values[1:]) for name, values in found.items()}


def _visible(before: Tensor, after: Tensor, threshold: float) -> int:
    """The number of weights whose relative change exceeds the threshold; by stripes that stay in
    the cache."""
    count = 0
    for start in range(0, len(before), _STRIPE):
        w, t = before[start : start + _STRIPE], after[start : start + _STRIPE]
        least = torch.maximum(w.abs(), t.abs()).mul_(threshold)
        count += int(((t - w).abs_() > least).sum())
    return count


def _rotation(before: Tensor, after: Tensor) -> float | None:
    """The mean principal angle of two orthonormal frames [d, k], in degrees; from sines and
    cosines together, since a cosine alone loses small angles to rounding."""
    if before.shape[1] >= before.shape[0]:
        return None
    common = before.mT @ after
    cosines = torch.linalg.svdvals(common)
    sines = torch.linalg.svdvals(after - before @ common).flip(0)
    return float(torch.rad2deg(torch.atan2(sines, cosines)).mean())
