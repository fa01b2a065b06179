"""LoRA, AdaLoRA and VeRA as factors: Δ = left · right, in the orientation of the stored tensor.

Owns how these kinds scale and share their factors. Facts from PEFT 0.21: LoRA scales by alpha / r,
rank-stabilised by alpha / √r; AdaLoRA by alpha / (initial rank + 1e-5); VeRA's projections are
uniform, drawn from a seed where they are not saved. Knows no files.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.models.adapters.updates import LowRank

Factors = tuple[Tensor, Tensor]
"""left [d_out, r] with the scale in it, right [r, d_in]; float32."""


def lora(settings: Mapping[str, Any], module: str, a: Tensor, b: Tensor) -> Factors:
    """The factors of A [r, d_in] and B [d_out, r]; `module` names the module or parameter."""
    return scale(settings, module, a.shape[0]) * b.float(), a.float()


def adalora(settings: Mapping[str, Any], stored: Mapping[str, Tensor]) -> Factors:
    """The factors of A [r, d_in], E [r, 1] (singular values) and B [d_out, r]."""
    alpha, rank = settings.get("lora_alpha", 8), settings.get("init_r", 12)
    scaled = (float(alpha) if alpha > 0 else float(rank)) / (float(rank) + 1e-5)
    return scaled * stored["lora_B"].float(), stored["lora_A"].float() * stored["lora_E"].float()


def vera(stored: Mapping[str, Tensor], a: Tensor, b: Tensor, columns: int) -> Factors:
    """The factors of a module with `columns` inputs; a [r, ≥ columns], b [≥ d_out, r] are shared.

    The module's own tensors are λ_b [d_out], which scales rows, and λ_d [r], which scales the inner
    axis.
    """
    outer, inner = stored["vera_lambda_b"].float(), stored["vera_lambda_d"].float()
    left = outer[:, None] * b[: len(outer)].float()
    return left, inner[:, None] * a[:, :columns].float()


def drawn(settings: Mapping[str, Any], rows: int, columns: int) -> Factors:
    """VeRA's shared projections A [r, columns] and B [rows, r], drawn from the adapter's seed."""
    rank = int(settings.get("r", 256))
    generator = torch.Generator().manual_seed(int(settings.get("projection_prng_key", 0)))

    def uniform(shape: tuple[int, int]) -> Tensor:
        bound = math.sqrt(6 / shape[1])
        return torch.empty(shape).uniform_(-bound, bound, generator=generator)

    a = uniform((rank, columns))
    return a, uniform((rows, rank))


def experts(settings: Mapping[str, Any], name: str, a: Tensor, b: Tensor, count: int
) -> list[Factors]:  # fmt: skip
    """The factors of each of `count` experts: A [count · r, d_in], experts one after another;
    B [d_out, r · count], the experts of one rank beside each other."""
    rank = a.shape[0] // count
    scaled = scale(settings, name, rank)
    lefts = b.float().reshape(b.shape[0], rank, count).permute(2, 0, 1) * scaled
    rights = a.float().reshape(count, rank, a.shape[1])
    return list(zip(lefts, rights, strict=True))


def scale(settings: Mapping[str, Any], module: str, rank: int) -> float:
    """alpha / r, or alpha / √r where the rank is stabilised, with the patterns of PEFT."""
    alpha = settings.get("lora_alpha", 8)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = value
            break
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def oriented(
    factors: Factors, shape: tuple[int, int], *, turned: bool | None = None
) -> LowRank | None:
    """The factors as the model stores the tensor; None where they don't fit it.

    `turned`: stored as [d_in, d_out]; None: decided by the shape alone.
    """
    left, right = factors
    if left.shape[1] != right.shape[0]:
        return None
    straight, across = (left.shape[0], right.shape[1]), (right.shape[1], left.shape[0])
    if turned is None:
        turned = straight != shape
    if (across if turned else straight) != shape:
        return None
    if turned:
        left, right = right.T, left.T
    return LowRank(left.contiguous(), right.contiguous())
