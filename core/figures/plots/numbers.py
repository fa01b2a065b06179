"""Numbers as short text. Knows no figure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

Write = Callable[[float], str]


def formatter(values: Iterable[float], signed: bool = False) -> Write:
    """One short form for all numbers of a figure, so that they line up and compare. Counts, ranks
    and places are whole. A tiny number among large ones is written 4e-5 where this is as short."""
    known = [v for v in values if math.isfinite(v)]
    reach = max(map(abs, known), default=0.0)
    sign = "+" if signed else ""
    if 1 < reach < 100_000 and all(float(v).is_integer() for v in known):
        return lambda v: format(v, f"{sign}z.0f")
    if reach == 0 or 0.01 <= reach < 100_000:
        places = 3 if reach < 10 else 2 if reach < 100 else 1 if reach < 10_000 else 0
        return lambda v: _fixed(v, sign, places)
    return lambda v: _scientific(v, sign)


def significant(values: Iterable[float], signed: bool = False) -> Write:
    """One form for numbers that take little room: three digits of the largest."""
    reach = max((abs(v) for v in values if math.isfinite(v)), default=0.0)
    places = 3 if reach < 1 else 2 if reach < 10 else 1 if reach < 100 else 0
    if reach and not 0.01 <= reach < 100_000:
        return formatter([reach], signed)
    return lambda v: _fixed(v, "+" if signed else "", places)


def exact(value: float | None) -> str:
    """Six significant digits."""
    return "undefined" if value is None else format(value, ".6g")


def tick_labels(values: Sequence[float]) -> list[str]:
    """The shortest form in which neighbouring ticks differ."""
    reach = max((abs(v) for v in values), default=0.0)
    if reach and not 1e-3 <= reach < 1e6:
        for places in range(1, 7):
            labels = ["0" if v == 0 else _scientific(v, "", places) for v in values]
            if len(set(labels)) == len(values):
                return labels
    for places in range(7):
        labels = [format(v, f".{places}f") for v in values]
        if all(abs(float(t) - v) <= reach * 1e-6 for t, v in zip(labels, values, strict=True)):
            return [t.lstrip("-") if float(t) == 0 else t for t in labels]
    for digits in range(3, 17):
        labels = [format(v, f".{digits}g") for v in values]
        if len(set(labels)) == len(set(values)):
            break
    return labels


def _fixed(value: float, sign: str, places: int) -> str:
    """That many decimals; zero has no minus, and no other number reads as zero if there is room."""
    text = format(value, f"{sign}z.{places}f")
    short = _scientific(value, sign, 0) if value and float(text) == 0 else text
    return short if len(short) <= len(format(value, f"{sign}.{places}f")) else text


def _scientific(value: float, sign: str, places: int = 1) -> str:
    """1.2e-4, without the padding of the exponent."""
    mantissa, exponent = format(value, f"{sign}.{places}e").split("e")
    return f"{mantissa}e{int(exponent)}"
