"""Codes to values, and the energy that rounding to a grid has.

A quantised element is value = (level − zero) · scale, where the level is the code itself (a uniform
grid) or what a table says for the code (FP8, FP4, NF4). A number that rounds to a level lies within
half the distance to the levels beside it, h₁ below and h₂ above. If it lies anywhere there with
equal chance, its mean square distance from the level is (h₁³ + h₂³) / (3 (h₁ + h₂)), the level's
cell. On a uniform grid that is step²/12. The outermost cells are taken to be symmetric. The energy
of rounding is Σ cell · scale² over the elements: an estimate, as Σ ulp²/12 is for a dtype.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

UNIFORM_CELL = 1 / 12
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


class DequantisedRows(NamedTuple):
    """Rows of a weight: `values` float32 [rows, columns], `energy` of rounding float64 [rows]."""

    values: Tensor
    energy: Tensor


@dataclass(frozen=True, slots=True)
class LevelGrid:
    """A table of levels by code, float32 [codes], and their cells."""

    levels: Tensor
    cells: Tensor

    @classmethod
    def of(cls, levels: Tensor) -> LevelGrid:
        """The grid with these levels; several codes may have the same one."""
        return cls(levels.float(), _cells(levels.double()).float())


@cache
def fp8(dtype: torch.dtype) -> LevelGrid:
    """The 256 levels of an 8-bit floating-point dtype."""
    return LevelGrid.of(torch.arange(256).to(torch.uint8).view(dtype).float())


@cache
def fp4() -> LevelGrid:
    """The 16 levels of E2M1 (Open Compute Project, Microscaling Formats, section 5.3.3)."""
    positive = torch.tensor(_E2M1)
    return LevelGrid.of(torch.cat((positive, -positive)))


def rows_on_grid(
    codes: Tensor,
    scale: Tensor,
    zero: Tensor | None = None,
    groups: Tensor | None = None,
    grid: LevelGrid | None = None,
) -> DequantisedRows:
    """Rows out of codes [rows, columns] (unsigned where a grid is given).

    `scale` and `zero` are float32 [rows, g]. The column j takes entry groups[j]; without `groups`
    they have one entry a row or one a column.
    """
    columns = codes.shape[1]
    spread = scale if groups is None else scale[:, groups]
    values = codes.float() if grid is None else grid.levels[codes.int()]
    if zero is not None:
        values = values - (zero if groups is None else zero[:, groups])
    squares = spread.double().square()
    if grid is None:
        energy = squares.sum(1) * (UNIFORM_CELL * columns / squares.shape[1])
    else:
        energy = (grid.cells[codes.int()].double() * squares).sum(1)
    return DequantisedRows(values * spread, energy)


def _cells(levels: Tensor) -> Tensor:
    known = levels[levels.isfinite()].sort().values
    known = known[torch.cat((torch.tensor([True]), known.diff() > 0))]
    half = known.diff() / 2
    below, above = torch.cat((half[:1], half)), torch.cat((half, half[-1:]))
    cells = (below**3 + above**3) / (3 * (below + above))
    place = torch.searchsorted(known, levels.nan_to_num()).clamp_max(len(known) - 1)
    return torch.where(levels.isfinite(), cells[place], torch.nan)
