"""A cache of the singular bases of a base model's matrices, for later runs.

Owns the key of a matrix's basis and its stored form. Knows no file: the memory is the run's sink.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine.measurement import content_key
from core.models.pieces import Piece
from core.weights import linalg

LEAST = linalg.EXACT_ELEMENTS
"""Elements of the largest matrix whose basis is not cached.

Its basis takes a tenth of a second in double precision, which 16 bits would lose."""

_FORM = 1
_STEPS = 32767
_STRIPE = 64


class BasisMemory(Protocol):
    """Part of `core.engine.measurement.ResultSink`."""

    def find_basis(self, key: str) -> Mapping[str, NDArray[Any]] | None: ...

    def keep_basis(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None: ...


def solve(
    matrix: Tensor, *, memory: BasisMemory, base: str, piece: Piece, terms: int = 0
) -> linalg.Singular:
    """`linalg.singular` of a matrix [1, d_out, d_in], from the memory if it has it.

    `base`: the fingerprint of the piece's model.
    """
    side = min(matrix.shape[-2:])
    if matrix.numel() <= LEAST or matrix.device.type != "cpu":  # a card solves it sooner
        return linalg.singular(matrix, terms)
    key = content_key(
        {
            "form": _FORM, "base": base, "tensor": piece.tensor, "shape": piece.shape,
            "rows": piece.rows, "columns": piece.columns, "expert": piece.expert,
            "transposed": piece.transposed,
        }
    )  # fmt: skip
    stored = memory.find_basis(key)
    known = None if stored is None else unpacked(stored, side)
    if known is not None:
        return linalg.Singular(known.energy.to(matrix), known.vectors.to(matrix))
    made = linalg.singular(matrix)
    memory.keep_basis(key, packed(made))
    return made


def packed(singular: linalg.Singular) -> dict[str, NDArray[Any]]:
    """The arrays of the basis of one matrix, with vectors as 16-bit multiples of steps.

    Every `_STRIPE` elements of a vector share a step, so that a few large elements do not coarsen
    the others.
    """
    vectors = singular.vectors[0].float()
    stripes = [vectors[start : start + _STRIPE] for start in range(0, len(vectors), _STRIPE)]
    steps = torch.stack([stripe.abs().amax(0) for stripe in stripes]) / _STEPS
    each = steps.clamp_min(torch.finfo(steps.dtype).tiny)
    rounded = [
        (stripe / step).round_().to(torch.int16) for stripe, step in zip(stripes, each, strict=True)
    ]
    return {
        "energy": singular.energy[0].float().cpu().numpy(),
        "steps": steps.cpu().numpy(),
        "vectors": torch.cat(rounded).cpu().numpy(),
    }


def unpacked(arrays: Mapping[str, NDArray[Any]], side: int) -> linalg.Singular | None:
    """The inverse of `packed`; None if the arrays have other names, dtypes or shapes."""
    forms = {name: (array.dtype.name, array.shape) for name, array in arrays.items()}
    if forms != {
        "energy": ("float32", (side,)), "steps": ("float32", (-(-side // _STRIPE), side)),
        "vectors": ("int16", (side, side)),
    }:  # fmt: skip
        return None
    vectors = torch.from_numpy(arrays["vectors"]).float()
    for i, step in enumerate(torch.from_numpy(arrays["steps"])):
        vectors[i * _STRIPE : (i + 1) * _STRIPE] *= step
    return linalg.Singular(torch.from_numpy(arrays["energy"])[None], vectors[None])
