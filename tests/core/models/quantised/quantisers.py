"""Quantisers in plain numpy, one for each format, written from the formats' descriptions.

Each rounds a weight to its grid and returns what a checkpoint stores for it, with the exact values
and the energy of rounding in float64. None of it uses the code under test.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

E2M1 = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
NF4 = np.array([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
])  # fmt: skip


class Made(NamedTuple):
    """What is stored for a weight, by names that follow its module's, and what it stands for."""

    stored: dict[str, torch.Tensor]
    values: Floats
    energy: Floats


def e4m3() -> Floats:
    """The value of each of the 256 codes: a sign, four bits of exponent, three of mantissa."""
    values = []
    for code in range(256):
        sign, exponent, mantissa = -1.0 if code & 128 else 1.0, code >> 3 & 15, code & 7
        size = mantissa / 8 * 2**-6 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
        values.append(np.nan if code & 127 == 127 else sign * size)
    return np.array(values)


def cells(levels: Floats) -> Floats:
    """The cell of each level; 0 for codes that are no number."""
    known = tuple(levels[np.isfinite(levels)])
    return np.array([cell(known, level) if np.isfinite(level) else 0 for level in levels])


@functools.cache
def cell(levels: tuple[float, ...], level: float) -> float:
    """The mean square distance from a level of the numbers that round to it, by adding many up."""
    known = sorted(set(levels))
    index = known.index(level)
    below = known[index] - known[index - 1] if index else known[1] - known[0]
    above = known[index + 1] - known[index] if index + 1 < len(known) else below
    steps = (np.arange(2_000) + 0.5) / 2_000
    spread = known[index] - below / 2 + (below + above) / 2 * steps
    return float(np.mean((spread - known[index]) ** 2))


def nearest(values: Floats, levels: Floats) -> NDArray[np.uint8]:
    """The code of the level that is nearest to each value."""
    distance = np.abs(values[..., None] - np.nan_to_num(levels, nan=np.inf))
    codes: NDArray[np.uint8] = distance.argmin(-1).astype(np.uint8)
    return codes


def spread(scales: Floats, shape: tuple[int, int], tall: int, wide: int) -> Floats:
    """Scales of blocks as one scale an element."""
    return scales.repeat(tall, 0).repeat(wide, 1)[: shape[0], : shape[1]]


def blocks_of(weight: Floats, tall: int, wide: int) -> Floats:
    """The largest size in each block."""
    rows, columns = weight.shape
    return np.array([
        [np.abs(weight[i : i + tall, j : j + wide]).max() for j in range(0, columns, wide)]
        for i in range(0, rows, tall)
    ])  # fmt: skip


def on_levels(weight: Floats, levels: Floats, scale: Floats) -> tuple[Any, Floats, Floats]:
    """Codes, values and energy of a weight on a table of levels times one scale an element."""
    codes = nearest(weight / np.where(scale == 0, 1, scale), levels)
    return codes, levels[codes] * scale, cells(levels)[codes] * scale**2


def float32(values: Floats) -> Floats:
    return values.astype(np.float32).astype(np.float64)


def tensor(values: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(dtype)


def pack(numbers: NDArray[Any], bits: int) -> torch.Tensor:
    """Each row of numbers as one run of bits, lowest first, in 32-bit words."""
    rows, count = numbers.shape
    run = (numbers[..., None].astype(np.int64) >> np.arange(bits) & 1).reshape(rows, count * bits)
    run = np.pad(run, ((0, 0), (0, -run.shape[1] % 32)))
    raw = np.packbits(run.astype(np.uint8), axis=1, bitorder="little")
    return torch.from_numpy(raw.view("<i4").copy())


def fp8(tall: int, wide: int, suffix: str, shaped: Callable[[Floats], Floats]) -> Any:
    """FP8 by blocks of tall × wide; `shaped` turns the scales into their stored shape."""

    def make(weight: Floats) -> Made:
        scales = float32(blocks_of(weight, tall, wide) / 448)
        each = spread(scales, weight.shape, tall, wide)
        codes, values, energy = on_levels(weight, e4m3(), each)
        stored = torch.from_numpy(codes).view(torch.float8_e4m3fn)
        return Made({"weight": stored, suffix: tensor(shaped(scales))}, values, energy)

    return make


def integers(weight: Floats, bits: int, index: NDArray[Any], symmetric: bool) -> Any:
    """Unsigned numbers, scales and zero points [rows, groups]; `index` is each column's group."""
    groups = index.max() + 1
    low = np.stack([weight[:, index == g].min(1) for g in range(groups)], 1)
    high = np.stack([weight[:, index == g].max(1) for g in range(groups)], 1)
    top = 2**bits - 1
    if symmetric:
        scale = float32(2 * np.maximum(-low, high) / top)
        zero = np.full(scale.shape, 2 ** (bits - 1))
    else:
        scale = float32((high - low) / top)
        zero = np.clip(np.round(-low / scale), 0, top).astype(np.int64)
    numbers = np.clip(np.round(weight / scale[:, index]) + zero[:, index], 0, top).astype(np.int64)
    values = (numbers - zero[:, index]) * scale[:, index]
    return numbers, scale, zero, values, (scale**2 / 12)[:, index]


def compressed(bits: int, group: int, *, symmetric: bool, shuffled: bool = False) -> Any:
    """compressed-tensors' pack-quantized."""

    def make(weight: Floats) -> Made:
        index = np.arange(weight.shape[1]) // (group or weight.shape[1])
        if shuffled:
            index = np.random.default_rng(5).permutation(index)
        numbers, scale, zero, values, energy = integers(weight, bits, index, symmetric)
        stored = {
            "weight_packed": pack(numbers, bits), "weight_scale": tensor(scale),
            "weight_shape": torch.tensor(weight.shape),
        }  # fmt: skip
        if shuffled:
            stored["weight_g_idx"] = tensor(index, torch.int32)
        if not symmetric:
            stored["weight_zero_point"] = pack(zero.T, bits).T.contiguous()
        return Made(stored, values, energy)

    return make


def int8(weight: Floats) -> Made:
    """compressed-tensors' int-quantized, a scale a row."""
    scale = float32(np.abs(weight).max(1, keepdims=True) / 127)
    codes = np.round(weight / scale)
    stored = {"weight": tensor(codes, torch.int8), "weight_scale": tensor(scale)}
    return Made(stored, codes * scale, np.broadcast_to(scale**2 / 12, weight.shape))


def nvfp4(weight: Floats) -> Made:
    """compressed-tensors' nvfp4-pack-quantized: FP8 scales of 16, less a factor over all."""
    factor = float32(np.array([448 * 6 / np.abs(weight).max()]))
    wanted = blocks_of(weight, 1, 16) / 6 * factor
    scale_codes = nearest(wanted, e4m3())
    each = spread(e4m3()[scale_codes] / factor, weight.shape, 1, 16)
    codes, values, energy = on_levels(weight, E2M1, each)
    stored = {
        "weight_packed": torch.from_numpy(codes[:, 0::2] | codes[:, 1::2] << 4),
        "weight_scale": torch.from_numpy(scale_codes).view(torch.float8_e4m3fn),
        "weight_global_scale": tensor(factor),
    }
    return Made(stored, values, energy)


def gptq(
    bits: int, group: int, *, version: int, shuffled: bool = False, indexed: bool = True
) -> Any:
    """GPTQ: packed along the inputs; version 1 stores zero points less one."""

    def make(weight: Floats) -> Made:
        index = np.arange(weight.shape[1]) // group
        if shuffled:
            index = np.random.default_rng(5).permutation(index)
        numbers, scale, zero, values, energy = integers(weight, bits, index, False)
        behind = (zero - 1) % 2**bits if version == 1 else zero
        stored = {
            "qweight": pack(numbers, bits).T.contiguous(), "scales": tensor(scale.T),
            "qzeros": pack(behind.T, bits),
        }  # fmt: skip
        if indexed:
            stored["g_idx"] = tensor(index, torch.int32)
        return Made(stored, values, energy)

    return make


def awq(weight: Floats) -> Made:
    """AWQ in groups of 8: eight outputs a word, nibble by nibble in the order 0 2 4 6 1 3 5 7."""
    index = np.arange(weight.shape[1]) // 8
    numbers, scale, zero, values, energy = integers(weight, 4, index, False)

    def ordered(across: NDArray[Any]) -> torch.Tensor:
        words = np.zeros((across.shape[0], across.shape[1] // 8), np.uint32)
        for nibble, output in enumerate((0, 2, 4, 6, 1, 3, 5, 7)):
            words |= across[:, output::8].astype(np.uint32) << np.uint32(4 * nibble)
        return torch.from_numpy(words.view(np.int32).copy())

    stored = {
        "qweight": ordered(numbers.T), "scales": tensor(scale.T), "qzeros": ordered(zero.T),
    }  # fmt: skip
    return Made(stored, values, energy)


def _runs(values: Floats, run: int, levels: Floats) -> tuple[Any, Floats]:
    padded = np.pad(values, (0, -len(values) % run)).reshape(-1, run)
    absmax = float32(np.abs(padded).max(1))
    each = absmax.repeat(run)[: len(values)]
    return nearest(values / np.where(each == 0, 1, each), levels), absmax


def bnb4(kind: str, levels: Floats, *, nested: bool) -> Any:
    """bitsandbytes in 4 bits, runs of 64 elements, scales in runs of 256 where nested."""

    def make(weight: Floats) -> Made:
        flat = weight.reshape(-1)
        codes, absmax = _runs(flat, 64, levels)
        state: dict[str, Any] = {
            "quant_type": kind, "blocksize": 64, "dtype": "bfloat16", "shape": weight.shape,
        }  # fmt: skip
        stored = {"weight.quant_map": tensor(levels)}
        if nested:
            offset = float(np.float32(absmax.mean()))
            outer_levels = float32(np.linspace(-1, 1, 256))
            scale_codes, outer = _runs(absmax - offset, 256, outer_levels)
            absmax = outer_levels[scale_codes] * outer.repeat(256)[: len(absmax)] + offset
            state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset}
            stored["weight.nested_absmax"] = tensor(outer)
            stored["weight.nested_quant_map"] = tensor(outer_levels)
            stored["weight.absmax"] = torch.from_numpy(scale_codes)
            codes = nearest(flat / absmax.repeat(64)[: len(flat)], levels)
        else:
            stored["weight.absmax"] = tensor(absmax)
        each = absmax.repeat(64)[: len(flat)]
        pairs = np.pad(codes, (0, len(codes) % 2)).reshape(-1, 2)
        stored["weight"] = torch.from_numpy(pairs[:, :1] << 4 | pairs[:, 1:])
        text = np.frombuffer(json.dumps(state).encode(), np.uint8).copy()
        stored[f"weight.quant_state.bitsandbytes__{kind}"] = torch.from_numpy(text)
        return Made(
            stored, (levels[codes] * each).reshape(weight.shape),
            (cells(levels)[codes] * each**2).reshape(weight.shape),
        )  # fmt: skip

    return make


def bnb8(weight: Floats) -> Made:
    """bitsandbytes in 8 bits: SCB is the largest size of each row."""
    scb = float32(np.abs(weight).max(1))
    codes = np.round(weight * 127 / scb[:, None])
    stored = {
        "weight": tensor(codes, torch.int8), "SCB": tensor(scb),
        "weight_format": torch.zeros((), dtype=torch.uint8),
    }  # fmt: skip
    step = scb[:, None] / 127
    return Made(stored, codes * step, np.broadcast_to(step**2 / 12, weight.shape))


def mxfp4(weight: Floats) -> Made:
    """gpt-oss' experts [experts, inputs, outputs]: stored with blocks of 32 inputs, by outputs."""
    experts, inputs, outputs = weight.shape
    turned = weight.swapaxes(1, 2).reshape(experts, outputs, inputs // 32, 32)
    exponent = np.ceil(np.log2(np.abs(turned).max(-1) / 6))
    each = np.broadcast_to(2.0 ** exponent[..., None], turned.shape)
    codes, values, energy = on_levels(turned, E2M1, each)
    stored = {
        "_blocks": torch.from_numpy(codes[..., 0::2] | codes[..., 1::2] << 4),
        "_scales": tensor(exponent + 127, torch.uint8),
    }
    back = (experts, outputs, inputs)
    return Made(
        stored, values.reshape(back).swapaxes(1, 2), energy.reshape(back).swapaxes(1, 2)
    )  # fmt: skip
