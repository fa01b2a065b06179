"""Groups of horizontal bars for print, with whiskers and what chance alone gives.

A bar stands beside its name, in its model's colour; those of controls are grey.
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
    FAINT,
    INK,
    Samples,
    across,
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
)
from app.render.terminal.palette import sign
from core.figures.plots.grids import BarsPlot
from core.figures.plots.plot import Name
from core.figures.plots.values import Value

BAR = 0.13
"""Inches: the thickness of a bar."""
GROUP = 0.8
"""The part of a group's room that its bars take."""
NAMES = 5.5
"""Points: the text of a bar's name."""


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
    middles = [(j - (columns - 1) / 2) * GROUP / columns for j in range(columns)]
    names = [named(column.text) for column in plot.columns]
    axes.set_yticks(range(len(plot.rows)), [_signed(row) for row in plot.rows])
    axes.set_yticks(
        [i + middle for i in range(len(plot.rows)) for middle in middles],
        names * len(plot.rows), minor=True, fontsize=NAMES, color=FAINT,
    )  # fmt: skip
    beside = 72 * max((across(name, NAMES) for name in names), default=0)
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="y", which="major", pad=beside + 6)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=4)
    for i, (row, cells) in enumerate(zip(plot.rows, plot.cells, strict=True)):
        shade = INK if row.index is None else colour(row.index, False)
        axes.get_yticklabels()[i].set_color(FAINT if row.control else shade)
        for j, value in enumerate(cells):
            if value is not None:
                fill = colour(plot.index(i, j), plot.faint(i, j))
                _bar(value, axes, i + middles[j], GROUP / columns, fill)
    entries = plot.legend()
    drawn_entries = sum(entry.symbol in _SAMPLES for entry in entries)
    legend(drawn, entries, _SAMPLES, 2 if drawn_entries == 4 else 3)
    return drawn


def _bar(value: Value, axes: Axes, middle: float, thick: float, fill: str) -> None:
    if value.number is None:
        axes.text(0, middle, f" {value.text}", va="center", color=FAINT)
        return
    level = value.chance
    if level is not None:
        place, size = (level.low, middle - thick / 2), (level.high - level.low, thick)
        axes.add_patch(Rectangle(place, *size, facecolor=BAND, edgecolor="none", zorder=1))
        ends = middle - thick / 2, middle + thick / 2
        axes.plot([level.level] * 2, ends, **_DASHES, zorder=5)
    axes.barh(middle, value.number, height=thick * 0.86, zorder=3, color=fill)
    if value.interval is not None:
        axes.plot(value.interval, [middle] * 2, **_WHISKER, markeredgewidth=0.8, zorder=6)


def _signed(row: Name) -> str:
    """The name of a group after its model's sign."""
    name = named(row.text)
    return name if row.index is None else f"{sign(row.index, row.control)} {name}"


_DASHES: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1.5, 1))}
_WHISKER: dict[str, Any] = {"color": INK, "linewidth": 0.8, "marker": "|", "markersize": 3.5}
_SAMPLES: Samples = {
    "interval": lambda _: Line2D([], [], **_WHISKER),
    "chance": lambda _: Line2D([], [], **_DASHES),
    "band": lambda _: Patch(facecolor=BAND),
    "control": lambda _: Patch(facecolor=colour(0, True)),
}
