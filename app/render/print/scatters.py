"""Points in a plane for print: one sign per group, guides, intervals, and chance levels."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D

from app.render.print.sheet import (
    BAND,
    COLUMN,
    FAINT,
    INK,
    MARKERS,
    SMALL,
    Samples,
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
)
from core.figures.plots.scatters import PlotPoint, PointsPlot

LONGEST = 48
"""Characters of the name of an axis."""
HIGH = 2.9
"""Inches: a picture that is nearly square, with its legend."""


def draw(plot: PointsPlot) -> Sheet:
    """The plot at the width of a column."""
    drawn = sheet(COLUMN, HIGH)
    axes = drawn.subplots()
    title = plot.title + (f" ({plot.aside})" if plot.aside else "")
    axes.set_title(folded(title, COLUMN, SMALL + 1), pad=10)
    note = folded(plot.note, COLUMN) if plot.note else ""
    axes.set_xlabel(f"{named(plot.x_label, LONGEST)}\n{note}".rstrip())
    axes.set_ylabel(named(plot.y_label, LONGEST))
    across, up = plot.x_axis_whole.ticks(6), plot.y_axis_whole.ticks(6)
    axes.set_xticks([tick.at for tick in across], [number(tick.label) for tick in across])
    axes.set_yticks([tick.at for tick in up], [number(tick.label) for tick in up])
    ends = (across[0].at, across[-1].at), (up[0].at, up[-1].at)
    axes.set_xlim(*ends[0])
    axes.set_ylim(*ends[1])
    for guide in plot.x_guides:
        axes.axvline(guide, color=FAINT, linewidth=0.7, linestyle=":")
    for guide in plot.y_guides:
        axes.axhline(guide, color=FAINT, linewidth=0.7, linestyle=":")
    _chance(plot, axes)
    beside = plot.names_beside(*ends)
    for point in plot.upwards:
        _point(point, axes)
        if point in beside:
            _name(point, axes, left=beside[point])
    legend(drawn, plot.legend(), _SAMPLES, 3)
    return drawn


def _chance(plot: PointsPlot, axes: Axes) -> None:
    for level, line, span in (
        (plot.x_chance, axes.axvline, axes.axvspan),
        (plot.y_chance, axes.axhline, axes.axhspan),
    ):
        if level is not None:
            span(level.low, level.high, color=BAND, linewidth=0, zorder=0.5)
            line(level.level, **_DASHES, zorder=0.6)


def _point(point: PlotPoint, axes: Axes) -> None:
    assert point.place is not None
    x, y = point.place
    if point.x.interval is not None:
        axes.plot(point.x.interval, [y, y], **_THIN, zorder=2)
    if point.y.interval is not None:
        axes.plot([x, x], point.y.interval, **_THIN, zorder=2)
    axes.plot([x], [y], **_look(point.index, point.control))
    if point.marked:
        axes.plot([x], [y], **_STAR)


def _name(point: PlotPoint, axes: Axes, *, left: bool) -> None:
    assert point.place is not None
    axes.annotate(
        named(point.name), point.place, xytext=(-4 if left else 4, 3), textcoords="offset points",
        size=SMALL - 1.5, color=FAINT, zorder=4, ha="right" if left else "left",
    ).set_in_layout(False)  # fmt: skip


_STAR: dict[str, Any] = {
    "linestyle": "", "clip_on": False, "marker": "*", "markersize": 8, "markerfacecolor": "none",
    "markeredgecolor": INK, "markeredgewidth": 0.7, "zorder": 5,
}  # fmt: skip


def _look(index: int, control: bool) -> dict[str, Any]:
    shape, filled = MARKERS[index % len(MARKERS)]
    shade = colour(index, control)
    return {
        "linestyle": "", "clip_on": False, "marker": "." if control else shape, "markersize": 4,
        "markeredgewidth": 0.8, "color": shade, "zorder": 3,
        "markerfacecolor": shade if filled or control else "white",
    }  # fmt: skip


_THIN: dict[str, Any] = {"color": FAINT, "linewidth": 0.6}
_DASHES: dict[str, Any] = {"color": FAINT, "linewidth": 0.8, "linestyle": "--"}
_SAMPLES: Samples = {
    "series": lambda entry: Line2D([], [], **_look(entry.index, entry.control)),
    "star": lambda _: Line2D([], [], **_STAR),
    "interval": lambda _: Line2D([], [], **_THIN),
    "chance": lambda _: Line2D([], [], **_DASHES),
    "undefined": lambda _: Line2D([], [], linestyle=""),
}
