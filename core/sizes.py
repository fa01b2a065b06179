"""Amounts of memory and disk in words."""

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
