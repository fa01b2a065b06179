"""Spectra behind one value of a matrix: singular values, and the part of each update in them.

Owns the curves over rank, made of stored arrays. Computes nothing but shares and sums; draws
nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.figures.figure import BASE, Cell, Lines, Panel, Series
from core.figures.views import Tabulation

HELD = "energy held"
"""The title of the panel of the energy in the first k directions."""

MOST_RANKS = 160
"""Evenly spaced ranks of a curve's points: as many as a wide screen has columns."""

_SHARES = {
    "two_sided": "share of Δ, two-sided", "write": "share of Δ, write", "read": "share of Δ, read",
}  # fmt: skip
_SIDES = {"write": (0,), "read": (1,), "two_sided": (0, 1)}
"""The sides of a matrix [d_out, d_in] that a share's first k directions are chosen of."""

Arrays = Mapping[str, NDArray[Any]]


def of_matrix(asked: Tabulation) -> Lines:
    """One matrix by rank: the spectra of W and of every model's Δ, and the shares of each Δ within
    the first k directions of W, beside those of a random update: method, section 6.

    A matrix's shape is not known of results from before it was stored: they have no chance level.
    """
    aligned = _by_model(asked, "alignment", "alignment_curves")
    updates = _by_model(asked, "tuning_vectors", "update_spectra")
    spectra = {m: _of_module(arrays, asked.choice.module, "") for m, arrays in updates.items()}
    stored = (
        _of_module(each, asked.choice.module, ".singular_values") for each in aligned.values()
    )
    spectra = {BASE: next((values for values in stored if values is not None), None), **spectra}
    panels = [
        *(_shares(asked, key, title, aligned) for key, title in _SHARES.items()),
        _panel(asked, "σ / σ₁", spectra, _relative),
        _panel(asked, HELD, spectra, _energy),
    ]
    return _figure(asked, panels)


def of_update(asked: Tabulation) -> Lines:
    """The spectra of one matrix's updates, and of the matrix where the run has measured it."""
    figure = of_matrix(asked)
    shares = set(_SHARES.values())
    return _figure(asked, (panel for panel in figure.panels if panel.title not in shares))


def _figure(asked: Tabulation, panels: Iterable[Panel]) -> Lines:
    choice = asked.choice
    where = ["" if choice.layer is None else f"layer {choice.layer}", choice.module]
    return Lines(
        title=" · ".join(["By rank", *filter(None, where)]),
        measure="share",
        unit="",
        x_label="rank",
        series_name="model",
        order=asked.catalogue.models,
        panel_name="of",
        panels=tuple(panel for panel in panels if panel.series),
        chosen={"layer": str(choice.layer), "module": choice.module},
    )


def _panel(
    asked: Tabulation,
    title: str,
    spectra: Mapping[str, NDArray[Any] | None],
    made: Callable[[NDArray[Any]], NDArray[Any]],
) -> Panel:
    """A curve of each model's array that is more than zeros, with the ranks at which the curves of
    energy reach one half."""
    known = {m: made(v) for m, v in spectra.items() if v is not None and len(v) and v[0] > 0}
    halves = {int(np.searchsorted(values, 0.5)) + 1 for values in known.values()}
    series = (
        _series(asked, model, values, halves if title == HELD else ())
        for model, values in known.items()
    )
    return Panel(title, tuple(series))


def _relative(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values / values[0])


def _energy(values: NDArray[Any]) -> NDArray[Any]:
    energy = np.cumsum(np.square(values, dtype=np.float64))
    return np.asarray(energy / energy[-1])


def _shares(asked: Tabulation, key: str, title: str, aligned: Mapping[str, Arrays]) -> Panel:
    """Shares of energy by rank, and those that k of so many directions hold by chance: k/d of one
    side, k²/(d_out·d_in) of both."""
    series: list[Series] = []
    chance: dict[int, float] = {}
    for model, arrays in aligned.items():
        values = _of_module(arrays, asked.choice.module, f".{key}")
        shape = _of_module(arrays, asked.choice.module, ".shape")
        if values is None or not len(values):
            continue
        sides = [] if shape is None else [int(shape[side]) for side in _SIDES[key]]
        line = _series(asked, model, values)
        levels = [math.prod(min(1.0, k / d) for d in sides) if sides else None for k in line.xs]
        pairs = zip(line.cells, levels, strict=True)
        cells = tuple(Cell(c.shown, c.value, chance=level) for c, level in pairs)
        series.append(Series(model, line.xs, cells, line.control))
        chance |= {k: share for k, share in zip(line.xs, levels, strict=True) if share is not None}
    ranks = tuple(sorted(chance))
    level = tuple(Cell(chance[k], chance[k]) for k in ranks)
    beside = (Series("chance", ranks, level, companion=True),) if ranks else ()
    return Panel(title, (*beside, *series))


def _series(asked: Tabulation, name: str, values: NDArray[Any], also: Iterable[int] = ()) -> Series:
    """Values by rank, which counts from 1; of many, evenly spaced ones with both ends, and those at
    the ranks `also`."""
    spaced = np.linspace(1, len(values), min(len(values), MOST_RANKS)).round().astype(int)
    ranks = np.union1d(spaced, [rank for rank in also if rank <= len(values)]).astype(int)
    cells = tuple(Cell(value, value) for value in map(float, values[ranks - 1]))
    return Series(name, tuple(map(int, ranks)), cells, name in asked.catalogue.controls)


def _by_model(asked: Tabulation, analysis: str, name: str) -> dict[str, Arrays]:
    """The arrays of each tuned model at the chosen layer."""
    models = (model for model in asked.catalogue.values("model") if model != BASE)
    layer = asked.choice.layer
    by_model = {m: asked.arrays(name, model=m, layer=layer, analysis=analysis) for m in models}
    return {model: arrays for model, arrays in by_model.items() if arrays is not None}


def _of_module(arrays: Arrays, module: str, kind: str) -> NDArray[Any] | None:
    """The module's array; of a module with experts that of the first."""
    names = (f"{module}{kind}", f"{module}.0{kind}")
    return next((arrays[name] for name in names if name in arrays), None)
