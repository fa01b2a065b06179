"""Loops over elements that numba compiles (the extra `fast`): one pass over a block of weights
instead of one for each operation.

Owns the widening of stored numbers to float32 and the loops. Takes addresses; knows no model and no
file. Importing it imports numba: see `core.weights.loops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numba
import numpy as np
import torch
from llvmlite import ir
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from core.weights.pairs import last_of_the_largest

_TILE = 2048
"""Elements of a step: a row of float32 for each of a few models stays in the nearest cache."""

_BF16, _F16, _F32 = range(3)
_KINDS = {torch.bfloat16: _BF16, torch.float16: _F16, torch.float32: _F32}

_SIGN, _MAGNITUDE, _INFINITE = np.uint32(0x8000), np.uint32(0x7FFF), np.uint32(0x7C00)
_HALF = np.uint32(0x7FFF)  # just below half of bfloat16's last place
_EXPONENT, _UNSIGNED = np.uint32(0x7F800000), np.uint32(0x7FFFFFFF)
_TO_SINGLE = np.float32(2.0**112)  # float16 has 112 fewer powers of two below 1
_TINY = np.float32(np.finfo(np.float32).tiny)
_SUMS = {"reassoc", "contract", "nsz"}
"""Optimisations allowed in a sum: any order. NaN and infinity are kept, so that they are found."""

_Loop = TypeVar("_Loop", bound=Callable[..., Any])


def _compiled(fastmath: bool | set[str] = False) -> Callable[[_Loop], _Loop]:
    """Compile at the first call, without the interpreter's lock; the machine code is cached."""

    def compiled(loop: _Loop) -> _Loop:
        try:
            made = numba.njit(nogil=True, fastmath=fastmath, cache=True)(loop)
        except RuntimeError:  # no folder for a cache can be written
            made = numba.njit(nogil=True, fastmath=fastmath)(loop)
        return made  # type: ignore[no-any-return]

    return compiled


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(context: Any, address: Any) -> Any:
    """An address as a pointer."""

    def made(_: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.inttoptr(given[0], ir.IntType(8).as_pointer())

    return numba.types.voidptr(numba.types.int64), made


@intrinsic  # type: ignore[untyped-decorator]
def _as_float(context: Any, bits: Any) -> Any:
    """The float32 with these bits."""

    def made(_: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.FloatType())

    return numba.types.float32(numba.types.uint32), made


@intrinsic  # type: ignore[untyped-decorator]
def _as_bits(context: Any, number: Any) -> Any:
    """The bits of a float32."""

    def made(_: Any, builder: Any, signature: Any, given: Any) -> Any:
        return builder.bitcast(given[0], ir.IntType(32))

    return numba.types.uint32(numba.types.float32), made


def sums(
    stored: Sequence[Tensor], updates: Sequence[bool], relative: Sequence[tuple[int, int]],
    gram: NDArray[np.float64], changed: NDArray[np.int64], largest: NDArray[np.float64],
    deltas: Tensor | None = None,
) -> float:  # fmt: skip
    """Add a block of elements to the sums of `core.weights.moments.Moments`; returns Σ of the
    squares of the largest power of two ≤ |w|.

    `stored`: the block of the base and of each model, of equal size and any floating dtype.
    `updates`: which models store their update. `relative`: pairs of rows with a row of their own.
    `deltas` [rows but the base's, size], float32, is filled with the updates.
    """
    flat = [_flat(tensor) for tensor in stored]
    tops = np.zeros(len(updates), np.uint32)
    octaves: float = _sums(
        *_addresses(flat), np.array(updates, np.bool_),
        np.array(relative, np.int64).reshape(-1, 2), flat[0].numel(), gram, changed, tops,
        0 if deltas is None else deltas.data_ptr(),
    )  # fmt: skip
    peaks = largest[: len(tops)]
    np.maximum(peaks, tops.view(np.float32), out=peaks)
    return octaves


def overlaps(
    updates: Tensor, top: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Σ|ab|, Σ(ab)² and the number of common elements among the largest `top`, [N, N] each, of
    updates [N, size], float32."""
    rows = updates.numpy()
    count = len(rows)
    magnitudes, squares = np.zeros((count, count)), np.zeros((count, count))
    both = np.zeros((count, count), np.int64)
    _overlaps(rows, last_of_the_largest(rows.shape[1], top), magnitudes, squares, both)
    return magnitudes, squares, both


def fits(*tensors: Tensor) -> bool:
    """Can `point` read the tensors as they are?"""
    return all(t.device.type == "cpu" and t.dtype in _KINDS for t in tensors)


def point(
    base: Tensor, tuned: Sequence[Tensor], scales: Sequence[float], out: Tensor, *, whole: bool
) -> tuple[float, float]:
    """Fill `out` with base + Σ scale·(tuned − base), or with the only tuned model if `whole`.

    All are flat, of equal size, and `fits` is true of them; `out` is not float16. Each number
    equals the result of torch's same operations in float32. Returns Σ of squares of the rounding
    error and of the change.
    """
    addresses, kinds = _addresses([base, *tuned, out])
    lost, changed = _point(addresses, kinds, np.array(scales, np.float32), out.numel(), whole)
    return float(lost), float(changed)


def _flat(tensor: Tensor) -> Tensor:
    """A tensor that a loop can read."""
    return (tensor if tensor.dtype in _KINDS else tensor.float()).contiguous()


def _addresses(tensors: Sequence[Tensor]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The addresses of the tensors, and their dtypes."""
    return (
        np.array([t.data_ptr() for t in tensors], np.int64),
        np.array([_KINDS[t.dtype] for t in tensors], np.int64),
    )


@_compiled()
def _sums(
    addresses: Any, kinds: Any, updates: Any, relative: Any, size: Any, gram: Any, changed: Any,
    tops: Any, deltas: Any,
) -> Any:  # fmt: skip
    models = len(updates)
    rows = 1 + models + len(relative)
    tile = np.empty((rows, _TILE), np.float32)
    octaves = 0.0
    for start in range(0, size, _TILE):
        n = min(_TILE, size - start)
        base = tile[0, :n]
        if kinds[0] == _BF16:
            square, powers = _first_short(_stored(addresses[0], start, n), base)
        else:
            _widen(addresses[0], kinds[0], start, base)
            square, powers = _first(base)
        octaves += powers
        gram[0, 0] += square
        for i in range(models):
            row = tile[1 + i, :n]
            if kinds[1 + i] == _BF16 and not updates[i]:
                stored = _stored(addresses[1 + i], start, n)
                square, cross, count, top = _next_short(stored, base, row)
            else:
                _widen(addresses[1 + i], kinds[1 + i], start, row)
                if not updates[i]:
                    _take(row, base)
                square, cross, count, top = _next(row, base)
            gram[1 + i, 1 + i] += square
            gram[0, 1 + i] += cross
            changed[i] += count
            tops[i] = max(tops[i], top)
        for i in range(len(relative)):
            _subtract(tile[relative[i, 0], :n], tile[relative[i, 1], :n], tile[1 + models + i, :n])
        for j in range(1, rows):
            if deltas:
                place = deltas + 4 * ((j - 1) * size + start)
                numba.carray(_pointer(place), n, np.float32)[:] = tile[j, :n]
            if j > models:
                gram[j, j] += _dot(tile[j, :n], tile[j, :n])
                gram[0, j] += _dot(base, tile[j, :n])
            for i in range(1, j):
                gram[i, j] += _dot(tile[i, :n], tile[j, :n])
    for i in range(rows):
        for j in range(i):
            gram[i, j] = gram[j, i]
    return octaves


@_compiled()
def _stored(address: Any, start: Any, n: Any) -> Any:
    """Numbers of 16 bits from `start` on, as they are stored."""
    return numba.carray(_pointer(address + 2 * start), n, np.uint16)


@_compiled(_SUMS)
def _first_short(stored: Any, out: Any) -> Any:
    """Widen bfloat16 to `out`. Returns Σ of squares, and of squares of the powers of two."""
    square = octaves = np.float32(0)
    for i in range(len(out)):
        number = _as_float(np.uint32(np.uint32(stored[i]) << np.uint32(16)))
        power = _as_float(np.uint32(_as_bits(number) & _EXPONENT))
        out[i] = number
        square += number * number
        octaves += power * power
    return square, octaves


@_compiled(_SUMS)
def _first(row: Any) -> Any:
    """As `_first_short`, of a row that is wide."""
    square = octaves = np.float32(0)
    for i in range(len(row)):
        power = _as_float(np.uint32(_as_bits(row[i]) & _EXPONENT))
        square += row[i] * row[i]
        octaves += power * power
    return square, octaves


@_compiled(_SUMS)
def _next_short(stored: Any, base: Any, out: Any) -> Any:
    """Write stored − base to `out`, `stored` being bfloat16. Returns Σ of squares, Σ of products
    with the base, the number of elements that are not 0, and the largest magnitude's bits: as
    integers they have the order of the numbers."""
    square = cross = np.float32(0)
    count = top = np.uint32(0)
    for i in range(len(out)):
        number = _as_float(np.uint32(np.uint32(stored[i]) << np.uint32(16))) - base[i]
        bits = np.uint32(_as_bits(number) & _UNSIGNED)
        out[i] = number
        square += number * number
        cross += number * base[i]
        count = np.uint32(count + np.uint32(bits != 0))
        top = max(top, bits)
    return square, cross, np.int64(count), top


@_compiled(_SUMS)
def _next(row: Any, base: Any) -> Any:
    """As `_next_short`, of a row that holds the update."""
    square = cross = np.float32(0)
    count = top = np.uint32(0)
    for i in range(len(row)):
        bits = np.uint32(_as_bits(row[i]) & _UNSIGNED)
        square += row[i] * row[i]
        cross += row[i] * base[i]
        count = np.uint32(count + np.uint32(bits != 0))
        top = max(top, bits)
    return square, cross, np.int64(count), top


@_compiled()
def _widen(address: Any, kind: Any, start: Any, out: Any) -> None:
    """The stored numbers from `start` on as float32."""
    n = len(out)
    if kind == _F32:
        out[:] = numba.carray(_pointer(address + 4 * start), n, np.float32)
        return
    stored = _stored(address, start, n)
    if kind == _BF16:
        for i in range(n):
            out[i] = _as_float(np.uint32(np.uint32(stored[i]) << np.uint32(16)))
        return
    for i in range(n):
        half = np.uint32(stored[i])
        size = np.uint32(np.uint32(half & _MAGNITUDE) << np.uint32(13))
        if half & _INFINITE == _INFINITE:
            wide = np.uint32(size | _EXPONENT)
        else:
            wide = _as_bits(_as_float(size) * _TO_SINGLE)
        out[i] = _as_float(np.uint32(wide | np.uint32(np.uint32(half & _SIGN) << np.uint32(16))))


@_compiled()
def _overlaps(rows: Any, place: Any, magnitudes: Any, squares: Any, both: Any) -> None:
    count, size = rows.shape
    least, peaks = np.empty(count, np.uint32), np.empty(count, np.float32)
    for i in range(count):
        least[i] = max(_smallest_large(rows[i], place), np.uint32(1))
        peaks[i] = max(_peak(rows[i]), _TINY)
    scaled = np.empty((count, _TILE), np.float32)
    large = np.empty((count, _TILE), np.float32)
    for start in range(0, size, _TILE):
        n = min(_TILE, size - start)
        for i in range(count):
            _scaled(rows[i, start : start + n], least[i], peaks[i], scaled[i, :n], large[i, :n])
            for j in range(i + 1):
                sums = _common(scaled[i, :n], scaled[j, :n], large[i, :n], large[j, :n])
                magnitudes[i, j] += sums[0]
                squares[i, j] += sums[1]
                both[i, j] += np.int64(sums[2])
    for i in range(count):
        for j in range(i + 1):
            scale = np.float64(peaks[i]) * np.float64(peaks[j])
            magnitudes[i, j] *= scale
            squares[i, j] *= scale * scale
            magnitudes[j, i], squares[j, i] = magnitudes[i, j], squares[i, j]
            both[j, i] = both[i, j]


@_compiled()
def _smallest_large(row: Any, place: Any) -> Any:
    """The bits of the magnitude at a place in ascending order: counted by their upper half, then
    by the lower half within that."""
    counts = np.zeros(1 << 15, np.int64)
    for i in range(len(row)):
        counts[(_as_bits(row[i]) & _UNSIGNED) >> np.uint32(16)] += 1
    upper = 0
    while place >= counts[upper]:
        place -= counts[upper]
        upper += 1
    counts = np.zeros(1 << 16, np.int64)
    for i in range(len(row)):
        bits = np.uint32(_as_bits(row[i]) & _UNSIGNED)
        if np.uint32(bits >> np.uint32(16)) == np.uint32(upper):
            counts[bits & np.uint32(0xFFFF)] += 1
    lower = 0
    while place >= counts[lower]:
        place -= counts[lower]
        lower += 1
    return np.uint32((upper << 16) | lower)


@_compiled()
def _peak(row: Any) -> Any:
    """The largest magnitude."""
    top = np.uint32(0)
    for i in range(len(row)):
        top = max(top, np.uint32(_as_bits(row[i]) & _UNSIGNED))
    return _as_float(top)


@_compiled()
def _scaled(row: Any, least: Any, peak: Any, scaled: Any, large: Any) -> None:
    """Magnitudes over the largest one, and 1 for each that is large."""
    for i in range(len(row)):
        bits = np.uint32(_as_bits(row[i]) & _UNSIGNED)
        scaled[i] = _as_float(bits) / peak
        large[i] = np.float32(1) if bits >= least else np.float32(0)


@_compiled(_SUMS)
def _common(a: Any, b: Any, large: Any, other: Any) -> Any:
    product = square = both = np.float32(0)
    for i in range(len(a)):
        each = a[i] * b[i]
        product += each
        square += each * each
        both += large[i] * other[i]
    return product, square, both


@_compiled()
def _point(addresses: Any, kinds: Any, scales: Any, size: Any, whole: Any) -> Any:
    tile = np.empty((3, _TILE), np.float32)
    short = (kinds == _BF16).all()
    lost = changed = 0.0
    for start in range(0, size, _TILE):
        n = min(_TILE, size - start)
        base, update, term = tile[0, :n], tile[1, :n], tile[2, :n]
        if short:
            first = _stored(addresses[1], start, n)
            _change_short(_stored(addresses[0], start, n), first, scales[0], base, update)
        else:
            _widen(addresses[0], kinds[0], start, base)
            _widen(addresses[1], kinds[1], start, update)
            if whole:
                term[:] = update
            _change(update, base, scales[0])
        for i in range(1, len(scales)):
            _widen(addresses[1 + i], kinds[1 + i], start, term)
            _change(term, base, scales[i])
            _put(update, term)
        if short and whole:
            _stored(addresses[-1], start, n)[:] = first
        elif short:
            _finish_short(base, update, _stored(addresses[-1], start, n), term)
            lost += _dot(term, term)
        else:
            if not whole:
                _add(base, update, term)
            _narrow(term, addresses[-1], kinds[-1], start, base)
            lost += _dot(base, base)
        changed += _dot(update, update)
    return lost, changed


@_compiled()
def _change_short(stored: Any, tuned: Any, scale: Any, base: Any, update: Any) -> None:
    """Widen bfloat16 to `base`, and write the first term to `update`."""
    for i in range(len(base)):
        number = _as_float(np.uint32(np.uint32(stored[i]) << np.uint32(16)))
        base[i] = number
        update[i] = (_as_float(np.uint32(np.uint32(tuned[i]) << np.uint32(16))) - number) * scale


@_compiled()
def _finish_short(base: Any, update: Any, out: Any, error: Any) -> None:
    """Store base + update in bfloat16, and the rounding `error`."""
    for i in range(len(base)):
        number = base[i] + update[i]
        bits = _as_bits(number)
        even = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        short = np.uint32(np.uint32(bits + _HALF + even) >> np.uint32(16))
        out[i] = short
        error[i] = _as_float(np.uint32(short << np.uint32(16))) - number


@_compiled()
def _change(row: Any, base: Any, scale: Any) -> None:
    for i in range(len(row)):
        row[i] = (row[i] - base[i]) * scale


@_compiled()
def _put(row: Any, more: Any) -> None:
    """Add in place. A loop that is given one row twice, to read and to write, runs element by
    element."""
    for i in range(len(row)):
        row[i] += more[i]


@_compiled()
def _take(row: Any, less: Any) -> None:
    for i in range(len(row)):
        row[i] -= less[i]


@_compiled()
def _add(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = a[i] + b[i]


@_compiled()
def _narrow(row: Any, address: Any, kind: Any, start: Any, error: Any) -> None:
    """Store numbers from `start` on, in float32 or rounded to the nearest bfloat16 (ties to even),
    and their rounding `error`."""
    n = len(row)
    if kind == _F32:
        numba.carray(_pointer(address + 4 * start), n, np.float32)[:] = row
        for i in range(n):
            error[i] = row[i] - row[i]  # 0, or NaN if the value is not finite
        return
    stored = numba.carray(_pointer(address + 2 * start), n, np.uint16)
    for i in range(n):
        bits = _as_bits(row[i])
        even = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
        short = np.uint32(np.uint32(bits + _HALF + even) >> np.uint32(16))
        stored[i] = short
        error[i] = _as_float(np.uint32(short << np.uint32(16))) - row[i]


@_compiled()
def _subtract(a: Any, b: Any, out: Any) -> None:
    for i in range(len(out)):
        out[i] = a[i] - b[i]


@_compiled(_SUMS)
def _dot(a: Any, b: Any) -> Any:
    total = np.float32(0)
    for i in range(len(a)):
        total += a[i] * b[i]
    return total
