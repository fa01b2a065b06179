"""Matrices and heat maps for print: coloured cells, with numbers where they can be read.

What lies within chance has no colour; undefined cells have a dot.
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
from app.render.terminal.legends import grid_notes
from app.render.terminal.names import column_names, is_control_column, is_control_row, row_names
from app.render.terminal.palette import MARK, RGB, centred, ink
from app.render.terminal.scales import (
    NULL_MARK,
    UNDEFINED,
    Scale,
    formatter,
    shown,
    tick_labels,
    ticks,
)
from core.figures.figure import Cell, Grid
from core.figures.significance import is_null

ROW, LEAST_ROW = 0.2, 0.06
"""Inches: a row with room for its number, and one of many."""
MOST = 5.0
"""Inches: what the rows of a tall heat map take together."""
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


def draw(figure: Grid, scale: Scale) -> Sheet:
    """The figure on a common scale, at the width of a column or, where that is narrow, a page."""
    size = layout(figure)
    turned = _turned(figure, size)
    names = max((across(name) for name in map(named, column_names(figure))), default=0.0)
    label = max((across(name) for name in map(named, row_names(figure))), default=0.0)
    drawn = sheet(size.width, len(figure.rows) * size.row + (0.7 * names if turned else 0.2) + 0.85)
    axes = drawn.subplots()
    hushed(axes)
    axes.set_title(folded(figure.title, size.width - label - 0.2, SMALL + 1))
    axes.set_xlim(0, max(1, len(figure.columns)))
    axes.set_ylim(max(1, len(figure.rows)), 0)
    _names(figure, axes, size, turned)
    _fill(figure, axes, scale, size)
    _numbers(figure, axes, scale, size)
    below = [", ".join(grid_notes(figure, dense=not size.digits))]
    if figure.row_name != figure.column_name:
        axes.set_ylabel(written(figure.row_name))
        below.insert(0, figure.column_name)
    axes.set_xlabel("\n".join(written(line) for line in below if line))
    return drawn


def colours(signed: bool) -> tuple[RGB, ...]:
    """The ramp of cells: one that is white at zero, or that of all sequential scales."""
    return centred("light") if signed else PALETTE.sequential


def layout(figure: Grid) -> Layout:
    """The sizes with which a grid fits a column, or else a page."""
    label = max((across(name) for name in map(named, row_names(figure))), default=0.2)
    write = formatter(shown(figure), figure.signed)
    longest = max((len(write(value)) for value in shown(figure)), default=1) + 1
    longest += any(cell.mark for cell in figure.measured())
    row = ROW if len(figure.rows) * ROW <= MOST else max(LEAST_ROW, MOST / len(figure.rows))
    columns = max(1, len(figure.columns))
    for width in (COLUMN, PAGE):
        cell = (width - label - BAR - 0.3) / columns
        if width == COLUMN:
            cell = min(cell, 0.6)
        size = min(6.0, cell * 72 / (longest * 0.64), row * 72 * 0.6)
        if size >= SMALLEST:
            return Layout(width, cell, row, size)
    bare = min(0.6, (COLUMN - label - BAR - 0.3) / columns)
    return Layout(COLUMN, bare, row, 0.0) if bare >= BARE else Layout(PAGE, cell, row, 0.0)


def _turned(figure: Grid, size: Layout) -> bool:
    longest = max((across(name) for name in map(named, column_names(figure))), default=0.0)
    return longest > 0.92 * size.cell


def _names(figure: Grid, axes: Axes, size: Layout, turned: bool) -> None:
    every = max(1, math.ceil(0.12 / size.row))
    rows = range(0, len(figure.rows), every)
    axes.set_yticks([i + 0.5 for i in rows], [named(row_names(figure)[i]) for i in rows])
    columns = range(len(figure.columns))
    axes.set_xticks([j + 0.5 for j in columns], [named(name) for name in column_names(figure)])
    if turned:
        for label in axes.get_xticklabels():
            label.set(rotation=40, horizontalalignment="right", rotation_mode="anchor")
    for i, label in zip(rows, axes.get_yticklabels(), strict=True):
        label.set_color(FAINT if is_control_row(figure, i) else INK)
    for j, label in zip(columns, axes.get_xticklabels(), strict=True):
        label.set_color(FAINT if is_control_column(figure, j) else INK)


def _fill(figure: Grid, axes: Axes, scale: Scale, size: Layout) -> None:
    """Coloured cells and the bar that says what the colours are worth."""
    ramp = ListedColormap([tuple(c / 255 for c in each) for each in colours(scale.signed)])
    low, high = scale.low, scale.high
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    values = np.full((max(1, len(figure.rows)), max(1, len(figure.columns))), math.nan)
    for i, row in enumerate(figure.cells):
        for j, cell in enumerate(row):
            if _coloured(cell) and cell is not None and cell.shown is not None:
                values[i, j] = cell.shown
    mesh = axes.pcolormesh(
        np.ma.masked_invalid(values), cmap=ramp, norm=Normalize(low, high),
        edgecolors="white", linewidth=0.6 if size.row >= ROW else 0.0,
    )  # fmt: skip
    bar = axes.figure.colorbar(mesh, ax=axes, aspect=25, pad=0.02)
    at = [tick for tick in ticks(low, high, 5) if low <= tick <= high]
    bar.set_ticks(at, labels=[number(label) for label in tick_labels(at)])
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_edgecolor("face")
    if figure.unit:
        bar.set_label(written(figure.unit))


def _numbers(figure: Grid, axes: Axes, scale: Scale, size: Layout) -> None:
    write = formatter(shown(figure), figure.signed)
    ramp = colours(scale.signed)
    for i, row in enumerate(figure.cells):
        for j, cell in enumerate(row):
            if cell is None or not (size.digits or cell.shown is None or cell.mark):
                continue
            words, shade = UNDEFINED, FAINT
            if cell.shown is not None and not size.digits:
                words = MARK
            elif cell.shown is not None:
                words = number(write(cell.shown)) + (NULL_MARK if is_null(cell) else "")
                words += MARK if cell.mark else ""
            if _coloured(cell) and cell.shown is not None:
                shade = ink(ramp[scale.step(cell.shown)])
            axes.text(
                j + 0.5, i + 0.5, words, color=shade, size=size.digits or SMALLEST,
                ha="center", va="center_baseline" if size.digits else "center",
            ).set_in_layout(False)  # fmt: skip


def _coloured(cell: Cell | None) -> bool:
    return (
        cell is not None
        and cell.shown is not None
        and math.isfinite(cell.shown)
        and not is_null(cell)
    )
