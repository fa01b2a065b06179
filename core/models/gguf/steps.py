"""The energy Σ step²/12 of rounding to each type of GGUF blocks.

Owns the places of the scales within a block (ggml-org, ggml-common.h). On a uniform grid the step
is the scale; for a table of levels, `core.models.quantised.grids` replaces step²/12. The IQ1, IQ2
and IQ3 types choose several elements at once out of a codebook: they have no step, and their energy
is not estimated (`NOT_ESTIMATED`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core.models.quantised.grids import UNIFORM_CELL, LevelGrid

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float64]

NOT_ESTIMATED = frozenset(
    {"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"}
)  # fmt: skip


class _Table(NamedTuple):
    """A type with 4-bit codes of levels: the codes' offset in a block, the elements per scale, the
    levels, and a code of a nonzero level."""

    codes: int
    group: int
    levels: tuple[float, ...]
    probe: int


_IQ4 = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
_E2M1 = (0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)
_TABLES: Mapping[str, _Table] = {
    "IQ4_NL": _Table(2, 32, _IQ4, 8),
    "IQ4_XS": _Table(8, 32, _IQ4, 8),
    "MXFP4": _Table(1, 32, _E2M1, 1),
    "NVFP4": _Table(4, 16, _E2M1, 1),
}


def energy(kind: str, blocks: Bytes, dequantise: Callable[[Bytes], Any]) -> Floats:
    """The rounding energy of each block, float64 [count]. `blocks`: [count, bytes] of type `kind`;
    `dequantise` returns the elements of blocks, [count, elements]."""
    if kind in NOT_ESTIMATED:
        return np.zeros(len(blocks))
    if kind in _TABLES:
        return _by_table(_TABLES[kind], blocks, dequantise)
    scales, elements = _SCALES[kind](blocks)
    energies: Floats = np.square(scales).sum(-1) * (UNIFORM_CELL * elements)
    return energies


def _by_table(table: _Table, blocks: Bytes, dequantise: Callable[[Bytes], Any]) -> Floats:
    """The scales follow from dequantising blocks of one known code."""
    grid = LevelGrid.of(torch.tensor(table.levels))
    cells = grid.cells.double().numpy()
    known = blocks.copy()
    known[:, table.codes :] = table.probe * 0x11
    values: Any = dequantise(known)
    scales = values[:, :: table.group].astype(np.float64) / table.levels[table.probe]
    codes = blocks[:, table.codes :].reshape(len(blocks), -1, table.group // 2)
    shares = (cells[codes & 15] + cells[codes >> 4]).sum(-1)
    energies: Floats = (shares * np.square(scales)).sum(-1)
    return energies


def _half(blocks: Bytes, offset: int) -> Floats:
    """The float16 at byte `offset` of each block, [count, 1]."""
    values: Floats = blocks[:, offset : offset + 2].copy().view(np.float16).astype(np.float64)
    return values


def _one(offset: int, elements: int) -> Callable[[Bytes], tuple[Floats, int]]:
    """One scale for the whole block."""
    return lambda blocks: (_half(blocks, offset), elements)


def _q2(blocks: Bytes) -> tuple[Floats, int]:
    return _half(blocks, 80) * (blocks[:, :16] & 15), 16


def _q3(blocks: Bytes) -> tuple[Floats, int]:
    """6-bit scales: the low four bits in eight bytes, the high two bits in four."""
    low, high = blocks[:, 96:104], blocks[:, 104:108]
    fours = np.concatenate((low & 15, low >> 4), axis=1)
    twos = np.concatenate([high >> shift & 3 for shift in (0, 2, 4, 6)], axis=1)
    return _half(blocks, 108) * ((fours | twos << 4).astype(np.float64) - 32), 16


def _q45(blocks: Bytes) -> tuple[Floats, int]:
    """6-bit scales: four whole ones, with the high bits of the other four above them."""
    whole, rest = blocks[:, 4:8], blocks[:, 12:16]
    scales = np.concatenate((whole & 63, rest & 15 | (whole >> 6) << 4), axis=1)
    return _half(blocks, 0) * scales, 32


def _q6(blocks: Bytes) -> tuple[Floats, int]:
    return _half(blocks, 208) * blocks[:, 192:208].copy().view(np.int8), 16


_SCALES: Mapping[str, Callable[[Bytes], tuple[Floats, int]]] = {
    "Q4_0": _one(0, 32), "Q4_1": _one(0, 32), "Q5_0": _one(0, 32), "Q5_1": _one(0, 32),
    "Q8_0": _one(0, 32), "Q2_K": _q2, "Q3_K": _q3, "Q4_K": _q45, "Q5_K": _q45, "Q6_K": _q6,
    "TQ1_0": _one(52, 256), "TQ2_0": _one(64, 256),
}  # fmt: skip
"""By type: the scales of each block, [count, scales], and the elements per scale."""
