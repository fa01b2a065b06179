"""Lines by layer for print: panels side by side on one scale, chance and intervals as bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D

from app.render.print.sheet import (
    BAND,
    COLUMN,
    FAINT,
    MARKERS,
    PAGE,
    SMALL,
    across,
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
    written,
)
from app.render.terminal.axes import x_range
from app.render.terminal.curves import places_of
from app.render.terminal.legends import series_of
from app.render.terminal.levels import levels, value_ticks
from app.render.terminal.scales import shows_interval, tick_labels, whole_ticks
from core.figures.figure import Lines, Panel, Series

HIGH = 2.0
"""Inches: a panel with its axis."""
SIDE_BY_SIDE = 3
MARKED = 12
"""About how many points of a line have a sign."""


def draw(figure: Lines) -> Sheet:
    """The figure at the width of a column for one panel, of the page for several."""
    panels = [panel for panel in figure.panels if panel.series]
    columns = min(SIDE_BY_SIDE, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    width = COLUMN if columns == 1 else PAGE
    look = places_of(figure)
    across_legend = max(1, int(width / (across(max(look, key=len, default="")[:28]) + 0.45)))
    lines = math.ceil(len(look) / across_legend)
    drawn = sheet(width, rows * HIGH + lines * 0.15 + 0.1)
    axes = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    _measure(figure, axes[0][0], width / columns)
    for place, panel in zip(axes.flat, panels, strict=False):
        _panel(panel, figure, place, look)
    for place in axes.flat[len(panels) :]:
        place.set_axis_off()
    measure, _, of = figure.title.partition(" · ")
    for place in axes[:, 0]:
        place.set_ylabel(folded(measure + (f" ({figure.unit})" if figure.unit else ""), 0.8 * HIGH))
    if of:
        drawn.suptitle(folded(of, width, SMALL + 1), x=0.02, ha="left", fontsize=SMALL + 1)
    for place in axes[-1]:
        place.set_xlabel(written(figure.x_label))
    _legend(figure, drawn, look, across_legend)
    return drawn


def _measure(figure: Lines, axes: Axes, width: float) -> None:
    """Ranges and ticks, which all panels share."""
    at = value_ticks(figure, 6)
    axes.set_yticks(at, [number(label) for label in tick_labels(at)])
    axes.set_ylim(at[0], at[-1])
    low, high = x_range(figure)
    if figure.x_names:
        names = [named(name) for name in figure.x_names]
        axes.set_xticks(range(len(names)), names)
        if sum(map(across, names)) > width * 0.8:
            axes.tick_params(axis="x", labelrotation=40)
    else:
        layers = whole_ticks(low, high, int(width * 4))
        axes.set_xticks(layers, [str(layer) for layer in layers])
    pad = (high - low) * 0.03
    axes.set_xlim(low - pad, high + pad)


def _panel(panel: Panel, figure: Lines, axes: Axes, look: dict[str, int]) -> None:
    axes.set_title(written(panel.title))
    if figure.signed:
        axes.axhline(0, color=FAINT, linewidth=0.5)
    chance = levels(panel)
    xs = [level.x for level in chance]
    lows, highs = [level.low for level in chance], [level.high for level in chance]
    axes.fill_between(xs, lows, highs, color=BAND, linewidth=0, zorder=1)
    axes.plot(xs, [level.level for level in chance], "--", color=FAINT, linewidth=0.8, zorder=1.5)
    for series in sorted(panel.series, key=lambda series: not series.faint):
        _line(series, axes, look[series.name])


def _line(series: Series, axes: Axes, index: int) -> None:
    """A line, broken where a value is undefined, with its intervals as a band."""
    ys = [cell.shown if cell.shown is not None else math.nan for cell in series.cells]
    bounded = [shows_interval(cell) for cell in series.cells]
    if any(bounded):
        lows = [c.low if b else math.nan for c, b in zip(series.cells, bounded, strict=True)]
        highs = [c.high if b else math.nan for c, b in zip(series.cells, bounded, strict=True)]
        shade = colour(index, series.faint)
        xs = np.asarray(series.xs, dtype=float)
        axes.fill_between(
            xs, np.array(lows, float), np.array(highs, float), color=shade, alpha=0.18, linewidth=0
        )
    every = max(1, math.ceil(len(series.xs) / MARKED))
    axes.plot(series.xs, ys, markevery=every, **_look(index, series.faint))


def _look(index: int, faint: bool) -> dict[str, Any]:
    shade = colour(index, faint)
    shape, filled = MARKERS[index % len(MARKERS)]
    return {
        "color": shade,
        "linewidth": 1.0,
        "linestyle": (0, (1, 1.2)) if faint else "-",
        "marker": "." if faint else shape,
        "markersize": 3.2,
        "markerfacecolor": shade if filled or faint else "white",
        "markeredgewidth": 0.8,
        "zorder": 2 if faint else 3,
    }


def _legend(figure: Lines, drawn: Sheet, look: dict[str, int], columns: int) -> None:
    entries = [
        (
            Line2D([], [], **_look(look[s.name], s.faint)),
            named(s.name) + (" (control)" if s.control else ""),
        )
        for s in series_of(figure)
    ]
    found = [level for panel in figure.panels for level in levels(panel)]
    if found:
        spread = any(level.high > level.low for level in found)
        dashes = Line2D([], [], color=FAINT, linestyle="--", linewidth=0.8)
        entries.append((dashes, "chance ± 2 sd" if spread else "chance"))
    legend(drawn, entries, columns)
