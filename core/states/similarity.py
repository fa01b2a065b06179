"""How alike two models' states are at the same tokens: centred kernel alignment, and drift.

Owns the estimators on states [n, d] of one layer, in float64, and their values for unlike
documents. Knows no model and no analysis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import up

SHIFTS = 5
"""The most pairings of unlike documents that give the chance level of an alignment."""


@dataclass(frozen=True, slots=True)
class Alignment:
    """A linear CKA, None where it is undefined; its values without each document in turn, NaN where
    undefined; and its values for unlike documents paired."""

    value: float | None
    without: NDArray[np.float64]
    unlike: NDArray[np.float64]


def alignment(base: Tensor, tuned: Tensor, documents: NDArray[np.int64]) -> Alignment:
    """The debiased linear CKA (Kornblith et al. 2019, with the estimator of HSIC of Song et al.
    2012) of states [n, d] at n tokens; `documents` [n]: the document of each, in order."""
    first, second = _kernel(base), _kernel(tuned)
    n = len(documents)
    _, inverse = np.unique(documents, return_inverse=True)
    member = torch.zeros(n, int(inverse.max()) + 1, dtype=torch.float64, device=first.device)
    places = torch.arange(n), torch.from_numpy(inverse)
    member[tuple(up(each, first.device) for each in places)] = 1
    cross, of_first, of_second = (
        _hsic(a, b, member) for a, b in ((first, second), (first, first), (second, second))
    )
    values = _ratio(cross, of_first, of_second)
    shifts = [
        shift
        for shift in sorted({n * k // (SHIFTS + 1) for k in range(1, SHIFTS + 1)})
        if (documents != np.roll(documents, shift)).all()
    ]
    unlike = _ratio(_shifted(first, second, shifts), of_first[:1], of_second[:1])
    value = float(values[0])
    return Alignment(None if np.isnan(value) else value, values[1:], unlike)


def drift(
    base: Tensor, tuned: Tensor, documents: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """‖h_t − h_b‖ / ‖h_b‖ [n] at each token, and with the tuned model's state at another token,
    half of the tokens further; NaN for a base's state of zeros, and where the other token is of the
    same document. `documents` as in `alignment`."""
    size, apart = base.double().norm(dim=1), len(tuned) // 2

    def relative(other: Tensor) -> NDArray[np.float64]:
        drifts: NDArray[np.float64] = ((other.double() - base.double()).norm(dim=1) / size).numpy()
        return np.where(np.isfinite(drifts), drifts, np.nan)

    unlike = relative(tuned.roll(apart, 0))
    return relative(tuned), np.where(documents != np.roll(documents, apart), unlike, np.nan)


def _kernel(states: Tensor) -> Tensor:
    """The linear kernel [n, n] of centred states, with a diagonal of zeros."""
    centred = states.double()
    centred = centred - centred.mean(0)
    kernel = centred @ centred.T
    return kernel.fill_diagonal_(0)


def _hsic(first: Tensor, second: Tensor, member: Tensor) -> NDArray[np.float64]:
    """The unbiased HSIC of two kernels with diagonals of zeros, and without each document in turn:
    [1 + documents]; `member` [n, documents]. NaN for fewer than four tokens."""
    product = first * second
    rows = product.sum(1)
    k, m = first.sum(1), second.sum(1)
    whole = _unbiased(len(first), rows.sum(), k.sum(), m.sum(), k @ m)
    left = 1 - member
    inside = (member * (product @ member)).sum(0)
    traces = rows.sum() - 2 * (rows @ member) + inside
    ks, ms = (left * (s[:, None] - kernel @ member) for s, kernel in ((k, first), (m, second)))
    rest = _unbiased(left.sum(0), traces, ks.sum(0), ms.sum(0), (ks * ms).sum(0))
    values: NDArray[np.float64] = torch.cat((whole.reshape(1), rest)).cpu().numpy()
    return values


def _shifted(first: Tensor, second: Tensor, shifts: list[int]) -> NDArray[np.float64]:
    """The unbiased HSIC with the second kernel's tokens moved on by each shift."""
    n, terms = len(first), []
    k, m = first.sum(1), second.sum(1)
    for s in shifts:
        parts = ((slice(s, n), slice(n - s)), (slice(s), slice(n - s, n)))
        trace = sum((first[a, b] * second[c, d]).sum() for a, c in parts for b, d in parts)
        terms.append(_unbiased(n, torch.as_tensor(trace), k.sum(), m.sum(), k @ m.roll(s)))
    values: NDArray[np.float64] = torch.stack(terms).cpu().numpy() if terms else np.zeros(0)
    return values


def _unbiased(n: int | Tensor, trace: Tensor, k: Tensor, m: Tensor, both: Tensor) -> Tensor:
    """Song et al. 2012, equation 5, of the sums over two kernels."""
    size = torch.as_tensor(n, dtype=torch.float64, device=trace.device)
    estimate = trace + k * m / ((size - 1) * (size - 2)) - 2 / (size - 2) * both
    return torch.where(size > 3, estimate / (size * (size - 3)), torch.nan)


def _ratio(
    cross: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]
) -> NDArray[np.float64]:
    product = first * second
    safe = np.where(product > 0, product, np.nan)
    ratios: NDArray[np.float64] = cross / np.sqrt(safe)
    return ratios
