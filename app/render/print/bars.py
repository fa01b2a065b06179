"""Groups of horizontal bars for print, with whiskers and what chance alone gives.

The bars of a group differ by colour and by hatching; those of controls are grey.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from app.render.print.sheet import (
    BAND,
    COLUMN,
    CONTROL_FILLS,
    FAINT,
    HATCHES,
    INK,
    Samples,
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
)
from core.figures.plots.grids import BarsPlot
from core.figures.plots.values import Value

BAR = 0.13
"""Inches: the thickness of a bar."""
GROUP = 0.8
"""The part of a group's room that its bars take."""


def draw(plot: BarsPlot) -> Sheet:
    """The plot at the width of a column."""
    columns = max(1, len(plot.columns))
    drawn = sheet(COLUMN, len(plot.rows) * columns * BAR / GROUP + 0.95)
    axes = drawn.subplots()
    ticks = plot.x_axis_whole.ticks(6)
    axes.set_xlim(ticks[0].at, ticks[-1].at)
    axes.set_xticks([tick.at for tick in ticks], [number(tick.label) for tick in ticks])
    axes.set_xlabel(folded(plot.title + (f" ({plot.aside})" if plot.aside else ""), COLUMN))
    axes.set_ylim(max(1, len(plot.rows)) - 0.5, -0.5)
    axes.set_yticks(range(len(plot.rows)), [named(row.text) for row in plot.rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=4)
    for i, (row, cells) in enumerate(zip(plot.rows, plot.cells, strict=True)):
        axes.get_yticklabels()[i].set_color(FAINT if row.control else INK)
        for j, value in enumerate(cells):
            if value is not None:
                middle = i + (j - (columns - 1) / 2) * GROUP / columns
                _bar(value, axes, middle, GROUP / columns, _fill(j, row.control))
    entries = plot.legend()
    drawn_entries = sum(entry.symbol in _SAMPLES for entry in entries)
    legend(drawn, entries, _SAMPLES, 2 if drawn_entries == 4 else 3)
    return drawn


def _bar(value: Value, axes: Axes, middle: float, thick: float, fill: dict[str, Any]) -> None:
    if value.number is None:
        axes.text(0, middle, f" {value.text}", va="center", color=FAINT)
        return
    level = value.chance
    if level is not None:
        place, size = (level.low, middle - thick / 2), (level.high - level.low, thick)
        axes.add_patch(Rectangle(place, *size, facecolor=BAND, edgecolor="none", zorder=1))
        ends = middle - thick / 2, middle + thick / 2
        axes.plot([level.level] * 2, ends, **_DASHES, zorder=5)
    axes.barh(middle, value.number, height=thick * 0.86, zorder=3, **fill)
    if value.interval is not None:
        axes.plot(value.interval, [middle] * 2, **_WHISKER, markeredgewidth=0.8, zorder=6)


def _fill(column: int, control: bool) -> dict[str, Any]:
    shade = CONTROL_FILLS[column % len(CONTROL_FILLS)] if control else colour(column, False)
    hatch = HATCHES[column % len(HATCHES)]
    return {"facecolor": shade, "hatch": hatch, "edgecolor": "white", "linewidth": 0.0}


_DASHES: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1.5, 1))}
_WHISKER: dict[str, Any] = {"color": INK, "linewidth": 0.8, "marker": "|", "markersize": 3.5}
_SAMPLES: Samples = {
    "series": lambda entry: Patch(**_fill(entry.index, False)),
    "interval": lambda _: Line2D([], [], **_WHISKER),
    "chance": lambda _: Line2D([], [], **_DASHES),
    "band": lambda _: Patch(facecolor=BAND),
    "control": lambda _: Patch(facecolor=CONTROL_FILLS[0]),
}
