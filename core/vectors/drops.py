"""The elements of a tuning vector that DARE and DELLA drop at random.

Owns the random numbers, the probabilities, and the cache of drops. The numbers are numpy's Philox
on every device: a card computes them itself, with operations on integers.
"""

from __future__ import annotations

import hashlib
import math
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.models import memory
from core.vectors.arithmetic import ArithmeticPoint
from core.vectors.blocks import Block

_ROUNDS = 10
_FACTORS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_LOW, _WHOLE = (1 << 32) - 1, (1 << 64) - 1

_SHARE = 0.25
"""Share of a device's free memory that cached drops may take."""

Setting = tuple[Any, ...]
"""The parts of a point that its drops depend on."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """The drops of a block of a vector: `bits` uint8 [⌈size / 8⌉], and for DELLA the elements that
    stay, scaled up, float32."""

    bits: Tensor
    stay: Tensor | None = None

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + (0 if self.stay is None else self.stay.nbytes)


class Drops:
    """Drops of a point, while their devices have room. They serve the next points that differ in
    their coefficients alone. Used by several threads."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._known: dict[tuple[str, Block], Dropped] = {}
        self._room: dict[torch.device, float] = {}
        self._lock = threading.Lock()

    def of(self, vector: str, block: Block) -> Dropped | None:
        """The drops of a block of a vector, or None."""
        return self._known.get((vector, block))

    def put(self, vector: str, block: Block, dropped: Dropped) -> None:
        """Cache a block's drops if there is room."""
        device = dropped.bits.device
        with self._lock:
            room = self._room.get(device)
            if room is None:
                room = _SHARE * memory.free(device)
            if dropped.nbytes <= room:
                self._known[vector, block] = dropped
                room -= dropped.nbytes
            self._room[device] = room


def setting(point: ArithmeticPoint) -> Setting:
    """The parts of a point that its drops depend on, beside the vectors themselves."""
    return point.density, point.epsilon, point.seed


def drop(
    term: Tensor, vector: str, block: Block, point: ArithmeticPoint, known: Drops | None
) -> float:
    """Set to zero the elements of τ that the point drops; returns the factor that scales up the
    others, 1 if it has scaled them itself."""
    cached = None if known is None else known.of(vector, block)
    if cached is not None and cached.stay is not None:
        term.zero_().masked_scatter_(~unpacked(cached.bits, len(term)), cached.stay)
        return 1.0
    on_card = term.device.type == "cuda"
    share: Any = (_shares_on_card if on_card else _shares)(term, block, point)
    stream = f"{point.seed}|{vector}|{block.stream}"
    if cached is not None:
        dropped = unpacked(cached.bits, len(term))
    elif on_card:
        dropped = numbers(stream, block.drawn, len(term), term.device) >= _limit(share)
    else:
        drawn = draws(stream, block.drawn, len(term))
        dropped = torch.from_numpy(drawn >= np.maximum(1, np.round(share * 2**32))).to(term.device)
    term.masked_fill_(dropped, 0)
    uneven = not isinstance(share, float)
    if uneven:
        term.div_((share if on_card else torch.from_numpy(share)).to(term))
    # The host draws as fast as it would read bits; only DELLA's sort is worth their memory there.
    if known is not None and cached is None and (on_card or uneven):
        known.put(vector, block, Dropped(packed(dropped), term[~dropped] if uneven else None))
    return 1.0 if uneven else 1 / share


def _limit(share: Any) -> Any:
    """The least number of a dropped element, whose probability to stay is `share`."""
    if isinstance(share, float):
        return max(1, round(share * 2**32))
    return (share * 2**32).round_().clamp_min_(1)


def _shares(term: Tensor, block: Block, point: ArithmeticPoint) -> Any:
    """The probability of each element to stay, float64: DARE's `density`, or DELLA's, which rises
    with the rank of |τ| in its row from density − ε to density + ε. A vector is one row."""
    density, width = point.density or 1.0, _width(term, block)
    if not point.epsilon:
        return density
    sizes = term.abs().view(-1, width).cpu().numpy()
    ranks = np.argsort(np.argsort(sizes, axis=1, kind="stable"), axis=1, kind="stable")
    rise = 2 * ranks / max(width - 1, 1) - (1 if width > 1 else 0)
    return (density + point.epsilon * rise).reshape(-1)


def _shares_on_card(term: Tensor, block: Block, point: ArithmeticPoint) -> Any:
    """As `_shares`, equal to the last bit: a tensor divides, since a card multiplies by the rounded
    inverse of a number."""
    density, width = point.density or 1.0, _width(term, block)
    if not point.epsilon:
        return density
    order = term.abs().view(-1, width).argsort(dim=1, stable=True)
    places = torch.arange(width, device=term.device).expand_as(order)
    ranks = torch.empty_like(order).scatter_(1, order, places).mul_(2).double()
    last = torch.full((), max(width - 1, 1), dtype=torch.float64, device=term.device)
    rise = ranks.div_(last).sub_(1 if width > 1 else 0)
    return rise.mul_(point.epsilon).add_(density).view(-1)


def _width(term: Tensor, block: Block) -> int:
    return block.columns if block.columns > 1 else len(term)


# --- random numbers -----------------------------------------------------------------------------


def draws(stream: str, first: int, size: int) -> Any:
    """Uniform uint32 [size] on the host: the numbers of a stream from `first` on.

    Philox is counter-based (Salmon et al. 2011), with eight numbers per count, so the numbers do
    not depend on blocks.
    """
    counter, skipped = divmod(first, 8)
    generator = np.random.Philox(counter=counter, key=_key(stream))
    words = generator.random_raw((skipped + size + 1) // 2)
    return words.astype("<u8", copy=False).view("<u4")[skipped : skipped + size]


def numbers(stream: str, first: int, size: int, device: torch.device) -> Tensor:
    """The numbers of `draws`, int64 [size], computed on a device.

    Philox4x64-10 (Salmon et al. 2011, section 3.3) on signed integers, whose sums and products are
    exact modulo 2⁶⁴.
    """
    counter, skipped = divmod(first, 8)
    key = _key(stream)
    keys = [key & _WHOLE, key >> 64]
    # numpy counts before it computes.
    counts = torch.arange(counter + 1, counter + 1 + -(-(skipped + size) // 8), device=device)
    a, b, c, d = counts, *(torch.zeros_like(counts) for _ in range(3))
    for _ in range(_ROUNDS):
        high_a, low_a = _product(a, _FACTORS[0])
        high_c, low_c = _product(c, _FACTORS[1])
        a, c = high_c.bitwise_xor_(b), high_a.bitwise_xor_(d)
        a, c = a.bitwise_xor_(_signed(keys[0])), c.bitwise_xor_(_signed(keys[1]))
        b, d = low_c, low_a
        keys = [(key + step) & _WHOLE for key, step in zip(keys, _STEPS, strict=True)]
    words = torch.stack((a, b, c, d), 1)
    halves = torch.stack((words & _LOW, (words >> 32) & _LOW), 2)
    return halves.view(-1)[skipped : skipped + size]


def _product(values: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """The high and the low 64 bits of products of unsigned integers, from products of halves."""
    high, low = factor >> 32, factor & _LOW
    upper, lower = (values >> 32).bitwise_and_(_LOW), values & _LOW
    middle = (lower * low >> 32).bitwise_and_(_LOW).add_(upper * low)
    other = (middle & _LOW).add_(lower * high)
    top = (upper * high).add_((middle >> 32).bitwise_and_(_LOW))
    return top.add_((other >> 32).bitwise_and_(_LOW)), values * _signed(factor)


def _signed(value: int) -> int:
    """The signed integer with the bits of an unsigned one."""
    return value - (1 << 64) if value >> 63 else value


def _key(stream: str) -> int:
    return int.from_bytes(hashlib.sha256(stream.encode()).digest()[:16], "little")


# --- bits ---------------------------------------------------------------------------------------


def packed(flags: Tensor) -> Tensor:
    """Flags [size] as bits, uint8 [⌈size / 8⌉]."""
    rows = torch.zeros(8 * math.ceil(len(flags) / 8), dtype=torch.uint8, device=flags.device)
    rows[: len(flags)] = flags
    shifted = rows.view(-1, 8).bitwise_left_shift_(_places(flags.device))
    return shifted.sum(1, dtype=torch.uint8)


def unpacked(bits: Tensor, size: int) -> Tensor:
    """The flags [size] of bits."""
    return (
        bits[:, None]
        .bitwise_right_shift(_places(bits.device))
        .bitwise_and_(1)
        .view(-1)[:size]
        .bool()
    )


def _places(device: torch.device) -> Tensor:
    return torch.arange(8, dtype=torch.uint8, device=device)
