"""Products of float32 matrices on the units of a card that multiply bfloat16, at float32 accuracy.

A float32 number is the sum of three bfloat16 numbers, a product of two of them is exact in float32,
and the units add in float32. Owns the terms and the order of the sums; knows no matrix's meaning.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TERMS = 3
"""Terms of a float32 number: 8 bits each of its 24."""

LEVEL = 2
"""Products of terms of these levels and below count: term i is 2⁻⁸ⁱ of the first one."""

DEPTH = 2048
"""Inner dimension of one product. The units cut sums off instead of rounding them (Khattak and
Mikaitis 2025, arXiv 2512.07004), which adds up; parts of this length are added with rounding."""

CARDS = ((8, 0), (9, 0), (10, 0), (10, 3))
"""Compute capabilities of cards that multiply bfloat16 at least 15 times as fast as float32: A100,
H100 and H200, B200, B300. Others do so two to four times as fast."""

UNITS_FROM = 8, 0
"""The compute capability from which cards multiply bfloat16 at all; torch emulates it before."""

READY = torch.version.hip is None and torch.__version__ >= "2.8"
"""Does this torch give a product of bfloat16 matrices in float32?"""

LEAST = 256
"""Rows and columns of the smallest product for which splitting the matrices pays."""


def pays(a: Tensor, b: Tensor) -> bool:
    """Is this product of float32 matrices faster in this way?"""
    return (
        READY
        and a.device.type == "cuda"
        and a.dtype == torch.float32
        and min(a.shape[-2], b.shape[-1]) >= LEAST
        and torch.cuda.get_device_capability(a.device) in CARDS
    )


def split(matrix: Tensor, terms: int = TERMS) -> tuple[Tensor, ...]:
    """Terms of a float32 matrix, bfloat16, by falling size. One is exact if the matrix was stored
    as bfloat16, two for a difference of such matrices, three always above 1e-33."""
    made, rest = [], matrix
    for i in range(terms):
        made.append(rest.bfloat16())
        if i + 1 < terms:
            rest = rest - made[-1]
    return tuple(made)


def times(a: Sequence[Tensor], b: Sequence[Tensor]) -> Tensor:
    """The product of two matrices [B, n, d] and [B, d, m] given as terms, float32."""
    pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if i + j <= LEVEL]
    total = None
    for i, j in sorted(pairs, key=sum, reverse=True):  # the small ones first
        total = _added(total, a[i], b[j])
    assert total is not None
    return total


def gram(terms: Sequence[Tensor]) -> Tensor:
    """M Mᵀ [B, n, n] of a matrix [B, n, d] given as terms, float32. A product and its transpose
    are computed once."""
    total = None
    for level in range(min(LEVEL, 2 * len(terms) - 2), -1, -1):
        for i in range(level // 2 + 1):
            j = level - i
            if j >= len(terms):
                continue
            if i == j:
                total = _added(total, terms[i], terms[i].mT)
            else:
                half = _added(None, terms[i], terms[j].mT)
                half = half + half.mT
                total = half if total is None else total.add_(half)
    assert total is not None
    return total


def _added(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """The sum so far, in place, and a product of bfloat16 matrices."""
    for start in range(0, a.shape[-1], DEPTH):
        part = _product(a[..., start : start + DEPTH], b[..., start : start + DEPTH, :])
        total = part if total is None else total.add_(part)
    assert total is not None
    return total


def _product(a: Tensor, b: Tensor) -> Tensor:
    """a · b of bfloat16 matrices, with float32 sums and results; on the processor the same from
    float32 matrices."""
    if a.device.type == "cpu":
        return a.float() @ b.float()
    return torch.bmm(a, b, out_dtype=torch.float32)
