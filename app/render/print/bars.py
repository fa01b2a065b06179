"""Groups of horizontal bars or boxes for print, with whiskers and chance levels.

A bar stands beside its name, in its model's colour; bars of controls are grey.
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
from core.figures.plots.grids import BarsPlot, BoxesPlot
from core.figures.plots.plot import Name
from core.figures.plots.values import Value

BAR = 0.13
"""Inches: the room of a bar."""
THICK, GAP = 0.86, 0.6
"""Parts of that room: the thickness of a bar, and the gap between groups."""
NAMES = 5.5
"""Points: the text of a bar's name."""


def draw(plot: BarsPlot) -> Sheet:
    """The plot at the width of a column."""
    groups = list(plot.groups(GAP))
    bars = [bar for group in groups for bar in group]
    high = len(bars) + GAP * len(groups)
    drawn = sheet(COLUMN, max(1.0, high) * BAR + 0.95)
    axes = drawn.subplots()
    ticks = plot.x_axis_whole.ticks(6)
    axes.set_xlim(ticks[0].at, ticks[-1].at)
    axes.set_xticks([tick.at for tick in ticks], [number(tick.label) for tick in ticks])
    axes.set_ylim(max(1.0, high), 0)
    rows = [plot.rows[group[0][0]] for group in groups]
    names = [named(plot.columns[j].text) for _, j, _ in bars]
    middles = [(group[0][2] + group[-1][2] + 1) / 2 for group in groups]
    axes.yaxis.remove_overlapping_locs = False  # the name of a group may stand level with a bar's
    axes.set_yticks(middles, list(map(_signed, rows)))
    axes.set_yticks([top + 0.5 for *_, top in bars], names, minor=True, fontsize=NAMES, color=FAINT)
    beside = max((across(name, NAMES) for name in names), default=0)
    left = beside + max((across(_signed(row)) for row in rows), default=0)
    axes.set_xlabel(folded(plot.title + (f" ({plot.aside})" if plot.aside else ""), COLUMN - left))
    axes.tick_params(axis="y", which="both", length=0)
    axes.tick_params(axis="y", which="major", pad=72 * beside + 6)
    axes.spines["left"].set_visible(False)
    draw_one = _box if isinstance(plot, BoxesPlot) else _bar
    if ticks[0].at <= 0 <= ticks[-1].at:
        axes.axvline(0, color=FAINT, linewidth=0.6, zorder=4)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        shade = INK if row.index is None else colour(row.index, False)
        label.set_color(FAINT if row.control else shade)
    for i, j, top in bars:
        value = plot.cells[i][j]
        if value is not None:
            draw_one(value, axes, top + 0.5, colour(plot.index(i, j), plot.faint(i, j)))
    entries = plot.legend()
    drawn_entries = sum(entry.symbol in _SAMPLES for entry in entries)
    legend(drawn, entries, _SAMPLES, 2 if drawn_entries == 4 else 3)
    return drawn


def _bar(value: Value, axes: Axes, middle: float, fill: str) -> None:
    if value.number is None:
        axes.text(0, middle, f" {value.text}", va="center", color=FAINT)
        return
    level = value.chance
    if level is not None:
        place, size = (level.low, middle - 0.5), (level.high - level.low, 1.0)
        axes.add_patch(Rectangle(place, *size, facecolor=BAND, edgecolor="none", zorder=1))
        ends = middle - 0.5, middle + 0.5
        axes.plot([level.level] * 2, ends, **_DASHES, zorder=5)
    axes.barh(middle, value.number, height=THICK, zorder=3, color=fill)
    if value.interval is not None:
        axes.plot(value.interval, [middle] * 2, **_WHISKER, markeredgewidth=0.8, zorder=6)


def _box(value: Value, axes: Axes, middle: float, fill: str) -> None:
    spread = value.cell.spread
    if spread is not None:
        if spread.least is not None and spread.most is not None:
            axes.plot((spread.least, spread.most), [middle] * 2, **_WHISKER, zorder=2)
        axes.barh(middle, spread.upper - spread.lower, left=spread.lower, height=THICK,
                  zorder=3, color=fill)  # fmt: skip
        ends = middle - THICK / 2, middle + THICK / 2
        axes.plot([spread.median] * 2, ends, **_MEDIAN, zorder=5)
    if value.number is not None:
        axes.plot([value.number], [middle], **_OWN, zorder=6)


def _signed(row: Name) -> str:
    """The name of a group after its model's sign."""
    name = named(row.text)
    return name if row.index is None else f"{sign(row.index, row.control)} {name}"


_DASHES: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": (0, (1.5, 1))}
_MEDIAN: dict[str, Any] = {"color": INK, "linewidth": 1.0}
_OWN: dict[str, Any] = {"color": INK, "marker": "D", "markersize": 3.2, "markeredgecolor": "white",
                        "markeredgewidth": 0.5, "linestyle": "none"}  # fmt: skip
_WHISKER: dict[str, Any] = {"color": INK, "linewidth": 0.8, "marker": "|", "markersize": 3.5}
_SAMPLES: Samples = {
    "interval": lambda _: Line2D([], [], **_WHISKER),
    "whiskers": lambda _: Line2D([], [], **_WHISKER),
    "box": lambda _: Patch(facecolor=colour(0, True)),
    "median": lambda _: Line2D([], [], **_MEDIAN),
    "value": lambda _: Line2D([], [], **_OWN),
    "chance": lambda _: Line2D([], [], **_DASHES),
    "band": lambda _: Patch(facecolor=BAND),
    "control": lambda _: Patch(facecolor=colour(0, True)),
}
