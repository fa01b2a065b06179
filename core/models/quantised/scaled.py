"""Weights with codes in the weight's row order, and separate scales.

FP8 by tensors, rows or blocks (DeepSeek's `weight_scale_inv`, FBGEMM, ModelOpt), int8 and integers
packed into words (compressed-tensors), FP4 in bytes (NVFP4, MXFP4). The shapes of the stored
tensors decide the layout: each scale covers an equal block of rows and columns of the weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from core.models.quantised import grids
from core.models.quantised.grids import DequantisedRows, LevelGrid, rows_on_grid
from core.models.quantised.packing import from_bytes, from_words, words_needed
from core.models.quantised.parts import PartReader, Weight

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
_EXPONENTS = (torch.uint8, torch.float8_e8m0fnu)
"""Dtypes of scales that are powers of two, stored as the exponent plus 127."""


@dataclass(frozen=True, slots=True)
class ScaleLayout:
    """The region of a scale: `tall` rows, and in each row the columns that `groups` maps to it.

    `height`: the number of rows of one expert; a scale never spans two experts.
    """

    height: int
    tall: int
    groups: Tensor

    def entries(self, table: Tensor, start: int, stop: int) -> Tensor:
        """The entries of a table for the rows start:stop."""
        row = torch.arange(start, stop)
        each = -(-self.height // self.tall)
        return table[row // self.height * each + row % self.height // self.tall]


@dataclass(frozen=True, slots=True)
class Scaled:
    """Codes × scales. `scale` and `zero` compute their tables, float32 [rows, groups]."""

    parts: PartReader
    codes: str
    shape: tuple[int, ...]
    stored: tuple[str, ...]
    layout: ScaleLayout
    scale: Callable[[], Tensor]
    zero: Callable[[], Tensor] | None = None
    grid: LevelGrid | None = None
    unpack: Callable[[Tensor], Tensor] | None = None

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop of the weight."""
        raw = self.parts.rows(self.codes, start, stop)
        codes = raw if self.unpack is None else self.unpack(raw)
        scale = self.parts.cached((self.codes, "scale"), self.scale)
        zero = self.zero and self.parts.cached((self.codes, "zero"), self.zero)
        return rows_on_grid(
            codes.view(torch.uint8) if codes.dtype in FP8 else codes,
            self.layout.entries(scale, start, stop),
            None if zero is None else self.layout.entries(zero, start, stop),
            self.layout.groups,
            self.grid,
        )


def find(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The scaled weights among the stored tensors, by their names in the model."""
    weights: dict[str, Weight] = {}
    for name in parts.names:
        if name.endswith(("_scale", "_scale_inv", "_scale_2", "_zero_point", "SCB")):
            continue
        if name.endswith("_packed"):
            weights[name.removesuffix("_packed")] = _packed(parts, name, settings)
        elif parts.dtype(name) in (*FP8, torch.int8):
            weights[name] = _plain(parts, name, settings)
        elif parts.dtype(name) == torch.uint8 and f"{name}_scale_2" in parts:
            weights[name] = _nibbles(parts, name, name, f"{name}_scale_2", 1, settings)
    return weights


def _plain(parts: PartReader, name: str, settings: Mapping[str, Any]) -> Weight:
    """One code per element: FP8 or int8."""
    scale = next((s for s in (f"{name}_scale_inv", f"{name}_scale") if s in parts), None)
    dtype, shape = parts.dtype(name), parts.shape(name)
    if scale is None or dtype is None:
        raise parts.refuse(name, f"it is stored as {dtype} without a scale beside it.")
    layout, table = _laid_out(parts, name, shape, scale, settings)
    zero = f"{name}_zero_point" if f"{name}_zero_point" in parts else None
    return Scaled(
        parts, name, shape, (name, scale, *([zero] if zero else ())), layout, table,
        None if zero is None else partial(_table, parts, zero, layout),
        grids.fp8(dtype) if dtype in FP8 else None,
    )  # fmt: skip


def _packed(parts: PartReader, name: str, settings: Mapping[str, Any]) -> Weight:
    """Codes of compressed-tensors, packed into words or bytes."""
    whole = name.removesuffix("_packed")
    if parts.dtype(name) == torch.uint8:
        return _nibbles(parts, name, whole, f"{whole}_global_scale", -1, settings)
    shape = tuple(int(n) for n in parts.whole(f"{whole}_shape"))
    scale, zero = f"{whole}_scale", f"{whole}_zero_point"
    bits = _bits(parts, name, shape, settings)
    order = f"{whole}_g_idx" if f"{whole}_g_idx" in parts else None
    layout, table = _laid_out(parts, name, shape, scale, settings, order)
    optional = tuple(n for n in (zero, order, f"{whole}_shape") if n and n in parts)
    return Scaled(
        parts, name, shape, (name, scale, *optional), layout, table,
        partial(_packed_zero, parts, zero, bits, shape[0]) if zero in parts else None,
        unpack=lambda words: from_words(words, bits, shape[-1]) - 2 ** (bits - 1),
    )  # fmt: skip


def _nibbles(
    parts: PartReader, name: str, whole: str, factor: str, power: int, settings: Mapping[str, Any]
) -> Weight:
    """FP4, two elements per byte; scales times a power of one factor for the whole tensor."""
    *rows, columns = parts.shape(name)
    shape, scale = (*rows, 2 * columns), f"{whole}_scale"
    layout, table = _laid_out(parts, name, shape, scale, settings)
    factors = (factor,) if factor in parts else ()

    def make() -> Tensor:
        return table() * (parts.whole(factor).float() ** power if factors else 1.0)

    return Scaled(
        parts, name, shape, (name, scale, *factors), layout, make,
        grid=grids.fp4(), unpack=from_bytes,
    )  # fmt: skip


def _bits(parts: PartReader, name: str, shape: tuple[int, ...], settings: Mapping[str, Any]) -> int:
    """The bits of a number: the configured width that fits the number of words."""
    groups = settings.get("config_groups") or {}
    widths = {(g.get("weights") or {}).get("num_bits") for g in groups.values()}
    words = parts.shape(name)
    fit = [b for b in widths if isinstance(b, int) and 0 < b <= 8
           and (*shape[:-1], words_needed(shape[-1], b)) == words]  # fmt: skip
    if len(fit) != 1:
        raise parts.refuse(name, f"its packed shape {list(words)} fits no width in config.json.")
    return fit[0]


def _blocks(settings: Mapping[str, Any]) -> Iterator[tuple[int, int]]:
    """Rows and columns of the blocks that config.json gives."""
    groups = [g.get("weights") or {} for g in (settings.get("config_groups") or {}).values()]
    given = [settings.get("weight_block_size")]
    given += [g.get("block_structure") for g in groups] + [[1, g.get("group_size")] for g in groups]
    for block in given:
        if isinstance(block, list) and len(block) == 2:
            tall, wide = block
            if type(tall) is int and type(wide) is int and min(block) > 0:
                yield tall, wide


def _laid_out(
    parts: PartReader,
    name: str,
    shape: tuple[int, ...],
    scale: str,
    settings: Mapping[str, Any],
    order: str | None = None,
) -> tuple[ScaleLayout, Callable[[], Tensor]]:
    """The layout of the scales over a weight [experts…, height, columns], and a function that
    computes their table."""
    stored = parts.shape(scale)
    if len(shape) < 2:
        raise parts.refuse(name, f"its shape is {list(shape)}.")
    experts, height, columns = math.prod(shape[:-2]), shape[-2], shape[-1]
    full = stored if len(stored) == len(shape) else (*stored, 1)
    if math.prod(stored) in (1, experts):
        full = (math.prod(stored), 1, 1)
    elif settings.get("quant_method") == "fbgemm_fp8" and stored == (experts, columns, 1):
        full = (experts, 1, columns)  # for experts it stores one scale per column, as a column
    each, (down, across) = math.prod(full[:-2]), full[-2:]
    tall, wide = -(-height // max(down, 1)), -(-columns // max(across, 1))
    blocks = [
        (a, b) for a, b in _blocks(settings)
        if (-(-height // a), -(-columns // b)) == (down, across)
    ]  # fmt: skip
    if blocks:
        tall, wide = blocks[0]
    elif not down or not across or height % down or (columns % across and order is None):
        raise parts.refuse(name, f"scales {list(stored)} don't divide its shape {list(shape)}.")
    if each not in (1, experts) or (each < experts and down > 1):
        raise parts.refuse(name, f"scales {list(stored)} don't fit its shape {list(shape)}.")
    if each < experts:
        height, tall = height * experts, height * experts
    groups = torch.arange(columns) // wide if order is None else _order(parts, order, wide)
    if groups.shape != (columns,) or int(groups.max()) >= across:
        raise parts.refuse(name, "its g_idx names groups that do not exist.")
    return ScaleLayout(height, tall, groups), partial(_scales, parts, scale, across)


def _order(parts: PartReader, name: str, wide: int) -> Tensor:
    """The group of each column; all −1 means columns in order."""
    given = parts.whole(name).long()
    return torch.arange(len(given)) // wide if bool((given < 0).any()) else given


def _scales(parts: PartReader, scale: str, across: int) -> Tensor:
    return _floats(parts.whole(scale)).reshape(-1, across)


def _floats(scales: Tensor) -> Tensor:
    if scales.dtype in _EXPONENTS:
        exponents: Tensor = scales.view(torch.uint8).float() - 127
        return exponents.exp2()
    return scales.float()


def _table(parts: PartReader, name: str, layout: ScaleLayout) -> Tensor:
    return parts.whole(name).float().reshape(-1, int(layout.groups.max()) + 1)


def _packed_zero(parts: PartReader, name: str, bits: int, rows: int) -> Tensor:
    """Zero points: plain int8, or packed along the rows."""
    zero = parts.whole(name)
    if zero.dtype != torch.int32:
        return zero.float().reshape(rows, -1)
    codes: Tensor = from_words(zero.mT, bits, rows) - 2 ** (bits - 1)
    return codes.mT.float()
