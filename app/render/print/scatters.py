"""Points in a plane for print: a sign a group, guides, intervals, and what chance alone gives."""

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
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
)
from app.render.terminal.labels import named_beside
from app.render.terminal.levels import axis_ticks, common_level
from app.render.terminal.scales import shows_interval, tick_labels
from app.render.terminal.scatters import drawable, groups, upwards
from core.figures.figure import Cell, Point, Scatter

HIGH = 2.9
"""Inches: a picture that is nearly square, with its legend."""
NAMED = 12
"""The most points that have their names beside them."""


def draw(figure: Scatter) -> Sheet:
    """The figure at the width of a column."""
    drawn = sheet(COLUMN, HIGH)
    axes = drawn.subplots()
    points = drawable(figure)
    axes.set_title(folded(figure.title, COLUMN, SMALL + 1), pad=10)
    axes.set_xlabel(named(figure.x_name))
    axes.set_ylabel(named(figure.y_name))
    across = axis_ticks((p.x for p in points), figure.x_guides, 6)
    up = axis_ticks((p.y for p in points), figure.y_guides, 6)
    axes.set_xticks(across, [number(label) for label in tick_labels(across)])
    axes.set_yticks(up, [number(label) for label in tick_labels(up)])
    axes.set_xlim(across[0], across[-1])
    axes.set_ylim(up[0], up[-1])
    for at in figure.x_guides:
        axes.axvline(at, color=FAINT, linewidth=0.7, linestyle=":")
    for at in figure.y_guides:
        axes.axhline(at, color=FAINT, linewidth=0.7, linestyle=":")
    _chance(axes, [p.x for p in points], [p.y for p in points])
    known = groups(figure)
    beside = named_beside(points, (across[0], across[-1]), (up[0], up[-1]))
    for at in upwards(points):
        point = points[at]
        _point(point, axes, known.index(point.group))
        if at in beside and (point.mark or len(points) <= NAMED):
            _name(point, axes, left=beside[at])
    _legend(figure, drawn)
    return drawn


def _chance(axes: Axes, xs: list[Cell], ys: list[Cell]) -> None:
    for found, line, span in (
        (common_level(xs), axes.axvline, axes.axvspan),
        (common_level(ys), axes.axhline, axes.axhspan),
    ):
        if found is not None:
            level, low, high = found
            span(low, high, color=BAND, linewidth=0, zorder=0.5)
            line(level, color=FAINT, linewidth=0.8, linestyle="--", zorder=0.6)


def _point(point: Point, axes: Axes, index: int) -> None:
    assert point.place is not None
    x, y = point.place
    ends: dict[str, Any] = {"color": FAINT, "linewidth": 0.6, "zorder": 2}
    for cell, across in ((point.x, True), (point.y, False)):
        if shows_interval(cell) and cell.low is not None and cell.high is not None:
            span, still = [cell.low, cell.high], [y, y] if across else [x, x]
            axes.plot(*((span, still) if across else (still, span)), **ends)
    axes.plot([x], [y], **_look(index))
    if point.mark:
        axes.plot([x], [y], **_STAR)


def _name(point: Point, axes: Axes, *, left: bool) -> None:
    assert point.place is not None
    axes.annotate(
        named(point.name), point.place, xytext=(-4 if left else 4, 3), textcoords="offset points",
        size=SMALL - 1.5, color=FAINT, zorder=4, ha="right" if left else "left",
    ).set_in_layout(False)  # fmt: skip


_STAR: dict[str, Any] = {
    "linestyle": "", "clip_on": False, "marker": "*", "markersize": 8, "markerfacecolor": "none",
    "markeredgecolor": INK, "markeredgewidth": 0.7, "zorder": 5,
}  # fmt: skip


def _look(index: int) -> dict[str, Any]:
    shape, filled = MARKERS[index % len(MARKERS)]
    shade = colour(index, False)
    return {
        "linestyle": "", "clip_on": False, "marker": shape, "markersize": 4,
        "markeredgewidth": 0.8, "color": shade, "zorder": 3,
        "markerfacecolor": shade if filled else "white",
    }  # fmt: skip


def _legend(figure: Scatter, drawn: Sheet) -> None:
    entries = [
        (Line2D([], [], **_look(at)), named(group))
        for at, group in enumerate(groups(figure))
        if group
    ]
    points = drawable(figure)
    if any(point.mark for point in points):
        entries.append((Line2D([], [], **_STAR), named(figure.mark_name)))
    if any(shows_interval(cell) for p in points for cell in (p.x, p.y)):
        entries.append((Line2D([], [], color=FAINT, linewidth=0.6), "95 % interval"))
    if common_level(p.x for p in points) or common_level(p.y for p in points):
        entries.append((Line2D([], [], color=FAINT, linewidth=0.8, linestyle="--"), "chance"))
    legend(drawn, entries, 3)
