"""Lines by layer for print: panels side by side on one scale, chance and intervals as bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from app.render.print.sheet import (
    BAND,
    COLUMN,
    FAINT,
    MARKERS,
    PAGE,
    SMALL,
    Samples,
    across,
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
    written,
)
from core.figures.plots.curves import Curve, CurvePanel, CurvesPlot

HIGH = 2.0
"""Inches: a panel with its axis."""
SIDE_BY_SIDE = 3
MARKED = 12
"""The approximate number of points with a sign on a line."""


def draw(plot: CurvesPlot) -> Sheet:
    """The plot at the width of a column for one panel, of the page for several."""
    panels = [panel for panel in plot.panels if panel.curves]
    columns = min(SIDE_BY_SIDE, max(1, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    width = COLUMN if columns == 1 else PAGE
    longest = max((curve.name for curve in plot.curves), key=len, default="")[:28]
    across_legend = max(1, int(width / (across(longest) + 0.45)))
    lines = math.ceil(len(plot.curves) / across_legend)
    drawn = sheet(width, rows * HIGH + lines * 0.15 + 0.1)
    axes = drawn.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    _measure(plot, axes[0][0], width / columns)
    for place, panel in zip(axes.flat, panels, strict=False):
        _panel(plot, panel, place)
    for place in axes.flat[len(panels) :]:
        place.set_axis_off()
    measure, _, of = plot.title.partition(" · ")
    for place in axes[:, 0]:
        place.set_ylabel(folded(measure + (f" ({plot.aside})" if plot.aside else ""), 0.8 * HIGH))
    if of:
        drawn.suptitle(folded(of, width, SMALL + 1), x=0.02, ha="left", fontsize=SMALL + 1)
    for place in axes[-1]:
        place.set_xlabel(written(plot.x_title))
    legend(drawn, plot.legend(), _SAMPLES, across_legend)
    return drawn


def _measure(plot: CurvesPlot, axes: Axes, width: float) -> None:
    """Ranges and ticks, which all panels share."""
    ticks = plot.y_axis_whole.ticks(6)
    axes.set_yticks([tick.at for tick in ticks], [number(tick.label) for tick in ticks])
    axes.set_ylim(ticks[0].at, ticks[-1].at)
    names = plot.x_ticks(int(width * 4))
    axes.set_xticks([name.at for name in names], [named(name.label) for name in names])
    if plot.x_names and sum(across(named(name.label)) for name in names) > width * 0.8:
        axes.tick_params(axis="x", labelrotation=40)
    low, high = plot.x_axis.low, plot.x_axis.high
    pad = (high - low) * 0.03
    axes.set_xlim(low - pad, high + pad)


def _panel(plot: CurvesPlot, panel: CurvePanel, axes: Axes) -> None:
    axes.set_title(written(panel.title))
    if plot.signed:
        axes.axhline(0, color=FAINT, linewidth=0.5)
    xs = [x for x, _ in panel.chance]
    lows, highs = (
        [level.low for _, level in panel.chance],
        [level.high for _, level in panel.chance],
    )
    axes.fill_between(xs, lows, highs, color=BAND, linewidth=0, zorder=1)
    axes.plot(xs, [level.level for _, level in panel.chance], **_DASHES, zorder=1.5)
    for curve in panel.upwards:
        _line(curve, axes)


def _line(curve: Curve, axes: Axes) -> None:
    """A line, broken where a value is undefined, with its intervals as a band."""
    nothing = math.nan, math.nan
    ys = [value.number if value.number is not None else math.nan for value in curve.values]
    ends = [value.interval or nothing for value in curve.values]
    if any(value.interval for value in curve.values):
        lows, highs = np.array(ends, float).T
        shade = colour(curve.index, curve.faint)
        xs = np.asarray(curve.xs, dtype=float)
        axes.fill_between(xs, lows, highs, color=shade, alpha=0.18, linewidth=0)
    every = max(1, math.ceil(len(curve.xs) / MARKED))
    axes.plot(curve.xs, ys, markevery=every, **_look(curve.index, curve.faint))


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


_DASHES: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": "--"}
_SAMPLES: Samples = {
    "series": lambda entry: Line2D([], [], **_look(entry.index, entry.faint)),
    "chance": lambda _: Line2D([], [], **_DASHES),
    "band": lambda _: Patch(facecolor=BAND),
    "interval": lambda _: Patch(facecolor=colour(0, False), alpha=0.18),
}
