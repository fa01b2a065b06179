"""Amounts of memory and disk, and counts of things, in words."""

from __future__ import annotations

_UNITS = ("B", "KiB", "MiB", "GiB")


def size(count: float) -> str:
    """Bytes in the largest unit that leaves a number of 1 or more: `512 B`, `1.5 GiB`."""
    left = float(count)
    for unit in _UNITS:
        written = f"{left:.0f}" if unit == "B" else f"{left:.1f}"
        if float(written) < 1024:
            return f"{written} {unit}"
        left /= 1024
    return f"{left:.1f} TiB"


def counted(number: int, what: str, several: str = "") -> str:
    """A number of things, in the singular where there is one: `1 layer`, `2 layers`."""
    return f"{number} {what if number == 1 else several or what + 's'}"


def among(some: int, every: int, what: str, verb: str, verbs: str) -> str:
    """A part of a number of things, with its verb: `1 of 2 drops is`, `2 of 2 drops are`."""
    return f"{some} of {counted(every, what)} {verb if some == 1 else verbs}"
