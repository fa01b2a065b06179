"""Groups of horizontal bars for print, with whiskers and what chance alone gives.

The bars of a group differ by colour and by hatching; those of controls are grey.
"""

from __future__ import annotations

import math
from typing import Any

from matplotlib.artist import Artist
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
    colour,
    folded,
    legend,
    named,
    number,
    sheet,
)
from app.render.terminal.levels import extent, level_of
from app.render.terminal.names import CONTROL_WORDS, has_controls, is_control_row, row_names
from app.render.terminal.scales import UNDEFINED, shows_interval, tick_labels, ticks
from core.figures.figure import Cell, Grid

BAR = 0.13
"""Inches: the thickness of a bar."""
GROUP = 0.8
"""The part of a group's room that its bars take."""


def draw(figure: Grid) -> Sheet:
    """The figure at the width of a column."""
    columns = max(1, len(figure.columns))
    drawn = sheet(COLUMN, len(figure.rows) * columns * BAR / GROUP + 0.95)
    axes = drawn.subplots()
    low, high = extent(figure)
    at = ticks(min(0.0, low), max(0.0, high), 6)
    axes.set_xlim(at[0], at[-1])
    axes.set_xticks(at, [number(label) for label in tick_labels(at)])
    axes.set_xlabel(folded(figure.title + (f" ({figure.unit})" if figure.unit else ""), COLUMN))
    axes.set_ylim(max(1, len(figure.rows)) - 0.5, -0.5)
    axes.set_yticks(range(len(figure.rows)), [named(name) for name in row_names(figure)])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.6, zorder=4)
    for i, row in enumerate(figure.cells):
        axes.get_yticklabels()[i].set_color(FAINT if is_control_row(figure, i) else INK)
        for j, cell in enumerate(row):
            if cell is not None:
                middle = i + (j - (columns - 1) / 2) * GROUP / columns
                _bar(cell, axes, middle, GROUP / columns, _fill(j, is_control_row(figure, i)))
    _legend(figure, drawn)
    return drawn


def _bar(cell: Cell, axes: Axes, middle: float, thick: float, fill: dict[str, Any]) -> None:
    if cell.shown is None or not math.isfinite(cell.shown):
        axes.text(0, middle, f" {UNDEFINED}", va="center", color=FAINT)
        return
    level = level_of(cell)
    if level is not None:
        chance, low, high = level
        place, size = (low, middle - thick / 2), (high - low, thick)
        axes.add_patch(Rectangle(place, *size, facecolor=BAND, edgecolor="none", zorder=1))
        ends = middle - thick / 2, middle + thick / 2
        axes.plot([chance] * 2, ends, color=INK, linewidth=0.8, linestyle=(0, (1.5, 1)), zorder=5)
    axes.barh(middle, cell.shown, height=thick * 0.86, zorder=3, **fill)
    if shows_interval(cell) and cell.low is not None and cell.high is not None:
        axes.plot(
            [cell.low, cell.high], [middle] * 2, color=INK, linewidth=0.8, marker="|",
            markersize=3.5, markeredgewidth=0.8, zorder=6,
        )  # fmt: skip


def _fill(column: int, control: bool) -> dict[str, Any]:
    shade = CONTROL_FILLS[column % len(CONTROL_FILLS)] if control else colour(column, False)
    hatch = HATCHES[column % len(HATCHES)]
    return {"facecolor": shade, "hatch": hatch, "edgecolor": "white", "linewidth": 0.0}


def _legend(figure: Grid, drawn: Sheet) -> None:
    entries: list[tuple[Artist, str]] = [
        (Patch(**_fill(j, False)), named(name)) for j, name in enumerate(figure.columns)
    ]
    found = list(figure.measured())
    if any(map(shows_interval, found)):
        whisker = Line2D([], [], color=INK, linewidth=0.8, marker="|", markersize=3.5)
        entries.append((whisker, "95 % interval"))
    known = [level for cell in found if (level := level_of(cell)) is not None]
    if known:
        spread = any(high > low for _, low, high in known)
        dashes = Line2D([], [], color=INK, linewidth=0.8, linestyle=(0, (1.5, 1)))
        entries.append((dashes, "chance"))
        if spread:
            entries.append((Patch(facecolor=BAND), "chance ± 2 sd"))
    if has_controls(figure):
        entries.append((Patch(facecolor=CONTROL_FILLS[0]), CONTROL_WORDS))
    legend(drawn, entries, 2 if len(entries) == 4 else 3)
