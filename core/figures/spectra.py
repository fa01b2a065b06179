"""Spectra behind one value of a matrix: its singular values, and the update's part in them.

Owns the curves over rank, made of stored arrays. Computes nothing but shares and sums; draws
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.figures.figure import Cell, Lines, Panel, Series
from core.figures.views import Tabulation

BASE_MATRIX = "base matrix"
"""What the panel of W is called."""

MOST_RANKS = 160
"""Ranks that a curve has points at: as many as a wide screen has columns to draw them in."""

_HELD = {"write": "write", "read": "read", "two_sided": "two-sided"}
_SIDES = {"write": (0,), "read": (1,), "two_sided": (0, 1)}
"""The sides of a matrix [d_out, d_in] that a share's first k directions are chosen of."""


def of_alignment(asked: Tabulation) -> Lines:
    """The spectrum of a base matrix, and the shares of the update within its first k directions,
    beside what a random update would have there: method, section 6. Its shape is not known of
    results from before it was kept."""
    found = _arrays(asked, "alignment_curves")
    values = _of_module(found, asked.choice.module, ".singular_values")
    shares = {key: _of_module(found, asked.choice.module, f".{key}") for key in _HELD}
    shape = _of_module(found, asked.choice.module, ".shape")
    update = tuple(
        series
        for key, name in _HELD.items()
        if (each := shares[key]) is not None
        for series in _held(name, each, None if shape is None else shape[list(_SIDES[key])])
    )
    return _figure(
        asked, "Spectrum of W and shares of Δ", (BASE_MATRIX, _spectrum(values)), ("Δ", update)
    )


def of_update(asked: Tabulation) -> Lines:
    """The spectrum of an update."""
    found = _arrays(asked, "update_spectra")
    values = _of_module(found, asked.choice.module, "")
    return _figure(asked, "Spectrum of Δ", ("", _spectrum(values)))


def _figure(asked: Tabulation, what: str, *panels: tuple[str, tuple[Series, ...]]) -> Lines:
    choice = asked.choice
    where = [choice.model, "" if choice.layer is None else f"layer {choice.layer}", choice.module]
    return Lines(
        title=" · ".join([what, *filter(None, where)]),
        measure="share",
        unit="",
        x_label="rank",
        series_name="curve",
        panel_name="of",
        panels=tuple(Panel(title, series) for title, series in panels),
        chosen={"model": choice.model, "layer": str(choice.layer), "module": choice.module},
    )


def _spectrum(values: NDArray[Any] | None) -> tuple[Series, ...]:
    """Each singular value against the first, and the share of the energy up to it."""
    if values is None or not len(values) or not values[0] > 0:
        return ()
    energy = np.cumsum(np.square(values, dtype=np.float64))
    return _series("σ / σ₁", values / values[0]), _series("energy held", energy / energy[-1])


def _held(name: str, values: NDArray[Any], sides: NDArray[Any] | None) -> Iterator[Series]:
    """Shares of energy by rank, and those that k of so many directions hold by chance: k/d of one
    side, k²/(d_out·d_in) of both."""
    own = _series(name, values)
    if sides is None:
        yield own
        return
    levels = [math.prod(min(1.0, k / int(d)) for d in sides) for k in own.xs]
    cells = zip(own.cells, levels, strict=True)
    yield replace(own, cells=tuple(replace(cell, chance=level) for cell, level in cells))
    chance = tuple(Cell(level, level) for level in levels)
    yield Series(f"{name} by chance", own.xs, chance, companion=True)


def _series(name: str, values: NDArray[Any]) -> Series:
    """Values by rank, which counts from 1; of many, evenly spaced ones with both ends."""
    ranks = np.unique(np.linspace(1, len(values), min(len(values), MOST_RANKS)).round().astype(int))
    cells = tuple(Cell(value, value) for value in map(float, values[ranks - 1]))
    return Series(name, tuple(map(int, ranks)), cells)


def _arrays(asked: Tabulation, name: str) -> Mapping[str, NDArray[Any]]:
    return asked.arrays(name, model=asked.choice.model, layer=asked.choice.layer) or {}


def _of_module(found: Mapping[str, NDArray[Any]], module: str, kind: str) -> NDArray[Any] | None:
    """The module's array; of a module with experts that of the first."""
    names = (f"{module}{kind}", f"{module}.0{kind}")
    return next((found[name] for name in names if name in found), None)
