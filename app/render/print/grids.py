"""Matrices and heat maps for print: coloured cells, with numbers where they are readable.

Values within chance have no colour, or are grey without room for the sign; undefined cells have a
dot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure as Sheet

from app.render.print.sheet import (
    COLUMN,
    FAINT,
    INK,
    PAGE,
    PALETTE,
    SMALL,
    SMALLEST,
    across,
    folded,
    hushed,
    named,
    number,
    sheet,
    written,
)
from app.render.terminal.palette import STEPS, ink, step
from core.figures.plots.grids import GridPlot
from core.figures.plots.ranges import axis
from core.figures.plots.values import Value

ROW, LEAST_ROW, STACKED = 0.2, 0.06, 0.3
"""Inches: a row with room for its number, one of many, and one for a difference below it too."""
MOST = 5.0
"""Inches: the height of all rows of a tall heat map."""
BARE = 0.12
"""Inches: the narrowest cell without a number that a column of a paper may have."""
BAR = 0.55
"""Inches: the colour bar with its numbers."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes in inches, and the size of the numbers in points: 0 where they would be too small."""

    width: float
    cell: float
    row: float
    digits: float


def draw(plot: GridPlot) -> Sheet:
    """The plot at the width of a column, or of a page if a column is too narrow."""
    size = layout(plot)
    turned = _longest_column(plot) > 0.92 * size.cell
    names = _longest_column(plot)
    drawn = sheet(size.width, len(plot.rows) * size.row + (0.7 * names if turned else 0.2) + 0.85)
    axes = drawn.subplots()
    hushed(axes)
    axes.set_title(folded(plot.title, size.width - _longest_row(plot) - 0.2, SMALL + 1))
    axes.set_xlim(0, max(1, len(plot.columns)))
    axes.set_ylim(max(1, len(plot.rows)), 0)
    _names(plot, axes, size, turned)
    _fill(plot, axes, size)
    _numbers(plot, axes, size)
    remarks = ", ".join(plot.remarks(dense=not size.digits))
    below = folded(remarks, size.width - 0.3).splitlines()
    if plot.axis_names:
        axes.set_ylabel(written(plot.row_name))
        below.insert(0, plot.column_name)
    axes.set_xlabel("\n".join(written(line) for line in below if line))
    return drawn


def layout(plot: GridPlot) -> Layout:
    """The sizes with which a grid fits a column, or else a page."""
    label = _longest_row(plot) or 0.2
    longest = (plot.longest or 1) + max(1, plot.room - plot.longest)
    whole = STACKED if plot.stacked else ROW
    row = whole if len(plot.rows) * whole <= MOST else max(LEAST_ROW, MOST / len(plot.rows))
    columns = max(1, len(plot.columns))
    for width in (COLUMN, PAGE):
        cell = (width - label - BAR - 0.3) / columns
        if width == COLUMN:
            cell = min(cell, 0.6)
        size = min(6.0, cell * 72 / (longest * 0.64), row * 72 * (0.36 if plot.stacked else 0.6))
        if size >= SMALLEST:
            return Layout(width, cell, row, size)
    bare = min(0.6, (COLUMN - label - BAR - 0.3) / columns)
    return Layout(COLUMN, bare, row, 0.0) if bare >= BARE else Layout(PAGE, cell, row, 0.0)


def _longest_row(plot: GridPlot) -> float:
    return max((across(named(row.text)) for row in plot.rows), default=0.0)


def _longest_column(plot: GridPlot) -> float:
    return max((across(named(column.text)) for column in plot.columns), default=0.0)


def _names(plot: GridPlot, axes: Axes, size: Layout, turned: bool) -> None:
    every = max(1, math.ceil(0.12 / size.row))
    rows = list(enumerate(plot.rows))[::every]
    axes.set_yticks([i + 0.5 for i, _ in rows], [named(row.text) for _, row in rows])
    columns = [named(f"{c.text} {c.words[:1]}".rstrip()) for c in plot.columns]
    axes.set_xticks([j + 0.5 for j in range(len(columns))], columns)
    if turned:
        for label in axes.get_xticklabels():
            label.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
    for (_, row), label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_color(FAINT if row.control else INK)
    for column, label in zip(plot.columns, axes.get_xticklabels(), strict=True):
        label.set_color(FAINT if column.control else INK)


def _fill(plot: GridPlot, axes: Axes, size: Layout) -> None:
    """Coloured cells and the bar with the values of the colours."""
    colours, scale = PALETTE.ramp(plot.scale.ramp), plot.scale
    shades = [colours[step(tone)] for tone in scale.tones(STEPS)]
    ramp = ListedColormap([tuple(c / 255 for c in each) for each in shades])
    low, high = scale.low, scale.high
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    values = np.full((max(1, len(plot.rows)), max(1, len(plot.columns))), math.nan)
    null = np.zeros_like(values, dtype=bool)
    for i, row in enumerate(plot.cells):
        for j, value in enumerate(row):
            if value is not None and value.tone is not None and value.number is not None:
                values[i, j] = 2 * value.tone - 1 if scale.relative else value.number
            null[i, j] = value is not None and value.is_null and not size.digits
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=ramp, norm=Normalize(low, high),
        edgecolors="white", linewidth=0.6 if size.row >= ROW else 0.0,
    )  # fmt: skip
    if null.any():
        grey = ListedColormap([tuple(c / 255 for c in PALETTE.null)])
        axes.pcolormesh(np.ma.masked_array(np.ones(null.shape), ~null), cmap=grey)
    bar = axes.figure.colorbar(mesh, ax=axes, aspect=25, pad=0.02)
    ticks = [tick for tick in axis([low, high]).ticks(5) if low <= tick.at <= high]
    bar.set_ticks([tick.at for tick in ticks], labels=[number(tick.label) for tick in ticks])
    if scale.relative:
        bar.set_ticks([low, high], labels=scale.ends)
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
    if plot.unit:
        bar.set_label(written(plot.unit))


def _written(value: Value) -> str:
    """A value as text, with its difference below it."""
    if value.below is None:
        return number(value.text) + value.signs
    return f"{value.text}{value.marks_of_place}\n{number(value.below.text)}{value.below.signs}"


def _numbers(plot: GridPlot, axes: Axes, size: Layout) -> None:
    ramp = PALETTE.ramp(plot.scale.ramp)
    for i, row in enumerate(plot.cells):
        for j, value in enumerate(row):
            if value is None or not (size.digits or value.cell.shown is None or value.marked):
                continue
            words, tone = value.text, value.tone
            if value.cell.shown is not None:
                words = _written(value) if size.digits else value.signs[-1]
            shade = INK if tone is None else ink(ramp[step(tone)])
            if value.is_null or value.number is None:
                shade = FAINT
            axes.text(
                j + 0.5, i + 0.5, words, color=shade, size=size.digits or SMALLEST,
                ha="center", va="center_baseline" if size.digits else "center",
            ).set_in_layout(False)  # fmt: skip
