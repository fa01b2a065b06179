"""gpt-oss: the experts' matrices in MXFP4, blocks of 32 numbers with a power of two as scale.

Stored [experts, outputs, inputs/32, 16 bytes]; the model holds them transposed, [experts, inputs,
outputs] (transformers' GptOssExperts). A row of the model's matrix lies across all of an expert's
blocks, so an expert is dequantised as a whole and cached while its rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.models.quantised import grids
from core.models.quantised.grids import DequantisedRows, rows_on_grid
from core.models.quantised.packing import from_bytes
from core.models.quantised.parts import PartReader, Weight

_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Experts:
    """All experts' matrices of one kind in a layer."""

    parts: PartReader
    name: str
    shape: tuple[int, int, int]
    stored: tuple[str, ...]

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop, expert after expert."""
        inputs = self.shape[1]
        dequantised = []
        for expert in range(start // inputs, -(-stop // inputs)):
            first, last = max(start - expert * inputs, 0), min(stop - expert * inputs, inputs)
            codes, scale = self._codes(expert)[first:last], self._scale(expert)
            blocks = torch.arange(first, last) // _BLOCK
            dequantised.append(rows_on_grid(codes, scale[blocks], grid=grids.fp4()))
        values, energy = zip(*dequantised, strict=True)
        return DequantisedRows(torch.cat(values), torch.cat(energy))

    def _codes(self, expert: int) -> Tensor:
        """uint8 [inputs, outputs]."""
        _, inputs, outputs = self.shape
        each = outputs * inputs // _BLOCK
        return self.parts.cached(
            (self.name, expert, "codes"),
            lambda: (
                from_bytes(self.parts.rows(self.stored[0], expert * each, (expert + 1) * each))
                .reshape(outputs, inputs)
                .mT.contiguous()
            ),
        )

    def _scale(self, expert: int) -> Tensor:
        """float32 [blocks, outputs]."""
        outputs = self.shape[2]
        return self.parts.cached(
            (self.name, expert, "scale"),
            lambda: torch.exp2(
                self.parts.rows(self.stored[1], expert * outputs, (expert + 1) * outputs).float()
                - 127
            ).mT.contiguous(),
        )


def find(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The experts of gpt-oss among the stored tensors."""
    weights: dict[str, Weight] = {}
    for blocks in parts.names:
        if not blocks.endswith("_blocks"):
            continue
        name = blocks.removesuffix("_blocks")
        shape, scales = parts.shape(blocks), f"{name}_scales"
        if len(shape) != 4 or shape[3] != _BLOCK // 2 or parts.shape(scales) != shape[:3]:
            raise parts.refuse(blocks, f"its shape {list(shape)} doesn't fit its scales.")
        if {parts.dtype(blocks), parts.dtype(scales)} != {torch.uint8}:
            raise parts.refuse(blocks, "MXFP4 is stored as bytes.")
        experts, outputs, count, _ = shape
        weights[name] = Experts(parts, name, (experts, count * _BLOCK, outputs), (blocks, scales))
    return weights
