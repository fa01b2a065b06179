"""bitsandbytes: NF4 and FP4 in runs of elements across rows, and int8 by rows.

A 4-bit weight has two codes per byte, the high one first, in the weight's order; each run of
`blocksize` elements shares a scale (`absmax`), which may itself be quantised in runs (double
quantisation). A JSON string stored as bytes gives the settings. An 8-bit weight is value · SCB[row]
/ 127.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.models.quantised.grids import DequantisedRows, LevelGrid, rows_on_grid
from core.models.quantised.packing import from_bytes
from core.models.quantised.parts import PartReader, Weight
from core.models.quantised.scaled import Scaled, ScaleLayout

_STATE = ".quant_state.bitsandbytes__"


@dataclass(frozen=True, slots=True)
class Runs:
    """A 4-bit weight. `state`: the settings in its JSON string."""

    parts: PartReader
    name: str
    shape: tuple[int, ...]
    stored: tuple[str, ...]
    state: Mapping[str, Any]

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop of the weight."""
        columns, run = self.shape[-1], int(self.state["blocksize"])
        first, last = start * columns, stop * columns
        packed = self.parts.rows(self.name, first // 2, -(-last // 2))
        codes = from_bytes(packed.reshape(1, -1), high_first=True)[0]
        codes = codes[first % 2 :][: last - first].reshape(stop - start, columns)
        scale = self.parts.cached((self.name, "absmax"), self._absmax)
        each = scale[torch.arange(first, last) // run].reshape(stop - start, columns)
        levels = self.parts.cached((self.name, "map"), lambda: self._part("quant_map"))
        return rows_on_grid(codes, each, grid=LevelGrid.of(levels))

    def _absmax(self) -> Tensor:
        """The scale of each run, float32."""
        stored = self.parts.whole(f"{self.name}.absmax")
        if f"{self.name}.nested_absmax" not in self.parts:
            return stored.float()
        outer, levels = self._part("nested_absmax"), self._part("nested_quant_map")
        run = torch.arange(len(stored)) // int(self.state["nested_blocksize"])
        return levels[stored.int()] * outer[run] + float(self.state["nested_offset"])

    def _part(self, key: str) -> Tensor:
        return self.parts.whole(f"{self.name}.{key}").float()


def find(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights of bitsandbytes among the stored tensors."""
    weights: dict[str, Weight] = {}
    for name in parts.names:
        if _STATE in name:
            weight = name.split(_STATE)[0]
            weights[weight] = _runs(parts, weight, name)
        elif name.endswith(".SCB"):
            weight = f"{name.removesuffix('.SCB')}.weight"
            weights[weight] = _rows_of_int8(parts, weight, name)
    return weights


def _runs(parts: PartReader, name: str, state: str) -> Weight:
    try:
        quant_state = json.loads(bytes(parts.whole(state).to(torch.uint8).tolist()))
        shape = tuple(int(n) for n in quant_state["shape"])
        run, nested = int(quant_state["blocksize"]), int(quant_state.get("nested_blocksize", 1))
        float(quant_state.get("nested_offset", 0))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise parts.refuse(name, f"{state} can't be understood.") from None
    count = math.prod(shape)
    held = parts.dtype(name) == torch.uint8 and math.prod(parts.shape(name)) == -(-count // 2)
    fits = len(shape) == 2 and run > 0 and nested > 0
    if not (held and fits and math.prod(parts.shape(f"{name}.absmax")) == -(-count // run)):
        raise parts.refuse(name, f"its parts don't give {list(shape)} elements.")
    suffixes = ("absmax", "quant_map", "nested_absmax", "nested_quant_map")
    stored = tuple(n for n in (f"{name}.{part}" for part in suffixes) if n in parts)
    if parts.shape(f"{name}.quant_map") != (16,):
        raise parts.refuse(name, "its map does not have 16 levels.")
    return Runs(parts, name, shape, (name, state, *stored), quant_state)


def _rows_of_int8(parts: PartReader, name: str, scale: str) -> Weight:
    shape = parts.shape(name)
    form = f"{scale.removesuffix('.SCB')}.weight_format"
    if form in parts and int(parts.whole(form)):
        raise parts.refuse(name, "it is stored in an order that only a GPU kernel reads.")
    if parts.dtype(name) != torch.int8 or len(shape) != 2 or parts.shape(scale) != shape[:1]:
        raise parts.refuse(name, f"its scales don't fit its shape {list(shape)}.")
    layout = ScaleLayout(shape[0], 1, torch.zeros(shape[1], dtype=torch.long))
    stored = (name, scale, *([form] if form in parts else ()))
    return Scaled(parts, name, shape, stored, layout, partial(_row_scales, parts, scale))


def _row_scales(parts: PartReader, scale: str) -> Tensor:
    return parts.whole(scale).float()[:, None] / 127
