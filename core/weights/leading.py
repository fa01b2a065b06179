"""The top eigenvectors of a large symmetric matrix on a card, by block iteration.

A whole decomposition takes a card much longer than a few hundred products with a narrow block. The
block is filtered by Chebyshev polynomials, with a Rayleigh-Ritz step after each (Zhou, Saad, Tiago
and Chelikowsky 2006, "Self-consistent-field calculations using Chebyshev-filtered subspace
iteration"). Owns the iteration and the check of its result; knows nothing of singular directions.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from core.models.transfers import up

MOST = 24
"""Most eigenvectors that are searched for in this way."""

LEAST = 512
"""Size of the largest matrix that is decomposed whole."""

WIDTH = 64
"""Columns of the block: more of them than wanted, since a filter parts the wanted eigenvalues from
the block's last one."""

FLOOR = 4
"""Once a filter no longer halves the residuals, they may be this many times as large as those of a
whole decomposition."""

ROUNDS = 12
DEGREE = 48
"""The highest degree of a filter."""

_RATIO = 1e3
"""How much more a filter may amplify the first column than the last wanted one: float32 loses a
direction that is 1e7 times weaker."""


def applies(product: Tensor, count: int) -> bool:
    """Is this one large matrix, and are few of its vectors wanted?"""
    return len(product) == 1 and product.shape[-1] > LEAST and count <= MOST


def top(product: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues of a positive semidefinite matrix [1, n, n], descending, and
    their vectors. Raises LinAlgError if they do not converge.

    Each residual ‖Av - λv‖ is at most √n/3 roundings of the largest eigenvalue, which is the size
    of a whole decomposition's residuals, or `FLOOR` times that if a filter no longer halves the
    largest. The host waits for the card once a round.
    """
    matrix = product[0]
    n, device = len(matrix), matrix.device
    limit = max(8, math.sqrt(n) / 3) * torch.finfo(matrix.dtype).eps
    image = matrix @ _start(n, min(n, WIDTH), matrix.dtype, device)
    for _ in range(3):
        values, block, image = _ritz(matrix, image)
    latest = math.inf
    for _ in range(ROUNDS):
        residuals = (image / values[0] - block * (values / values[0])).norm(dim=0)
        known = torch.cat([values, residuals]).tolist()
        ritz, rest = known[: len(values)], known[len(values) :]
        good = next((i for i in range(count) if not rest[i] <= limit), count)  # the first ones
        earlier, latest = latest, max(rest[:count])
        if good == count or ritz[0] == 0 or earlier / 2 < latest <= FLOOR * limit:
            return values[None, :count], block[None, :, :count]
        if not 0 < ritz[0] < math.inf:
            break
        locked = block[:, :good]
        cut = max(ritz[-1], 8 * limit * ritz[0])
        degree = _degree(ritz[good], max(ritz[count - 1], cut), cut)
        made = _filtered(matrix, block[:, good:], locked, values[:good], cut, ritz[good], degree)
        values, block, image = _ritz(matrix, torch.cat([locked, made], 1))
    raise torch.linalg.LinAlgError("the block iteration did not converge")  # type: ignore[attr-defined]


@lru_cache(maxsize=8)
def _start(n: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Random columns, cached on the card."""
    generator = torch.Generator().manual_seed(0)
    return up(torch.randn(n, width, generator=generator, dtype=dtype), device)


def _ritz(matrix: Tensor, block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The Ritz values of the block's span, descending, their vectors, and the matrix times them."""
    block = torch.linalg.qr(block).Q
    image = matrix @ block
    core = block.mT @ image
    values, turn = torch.linalg.eigh((core + core.mT) / 2)
    turn = turn.flip(-1)
    return values.flip(-1), block @ turn, image @ turn


def _degree(first: float, last: float, cut: float) -> int:
    """The degree at which a filter that damps eigenvalues below `cut` amplifies `first` up to
    `_RATIO` times as much as `last`."""
    apart = _growth(first, cut) - _growth(last, cut)
    if apart * DEGREE <= math.log(_RATIO):
        return DEGREE
    return max(1, int(math.log(_RATIO) / apart))


def _growth(value: float, cut: float) -> float:
    """The growth per degree of the Chebyshev polynomial of [0, cut] at a value above."""
    return math.acosh(max(1.0, 2 * value / cut - 1))


def _filtered(
    matrix: Tensor, block: Tensor, locked: Tensor, values: Tensor, cut: float, scale: float,
    degree: int,
) -> Tensor:  # fmt: skip
    """The Chebyshev polynomial of [0, cut], 1 at `scale`, of the matrix without its `locked`
    eigenvectors, times the block."""

    def applied(columns: Tensor) -> Tensor:
        """(2/cut · A - 1) times the columns."""
        seen = matrix @ columns
        seen -= locked @ (values[:, None] * (locked.mT @ columns))
        return seen.mul_(2 / cut).sub_(columns)

    place = max(1.0, 2 * scale / cut - 1)
    ratio = 1 / place
    before, now = block, applied(block).mul_(ratio)
    for _ in range(degree - 1):
        following = 1 / (2 * place - ratio)
        before, now = now, applied(now).mul_(2 * following).sub_(before, alpha=ratio * following)
        ratio = following
    return now - locked @ (locked.mT @ now)
