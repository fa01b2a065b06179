"""Matrices and heat maps as SVG: coloured cells, with numbers where there is room for them.

Values within chance have no colour; undefined cells have a dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import wrap

from app.render.html import shapes
from app.render.html.colours import step as step_class
from app.render.html.markup import Markup
from app.render.terminal.palette import step
from core.figures.plots.grids import GridPlot
from core.figures.plots.values import Value

ROW, LEAST_ROW, STACKED = 24, 9, 36
"""The height of a row, the least one, and that of one with a difference below each value."""
MOST = 520
"""The height of a tall heat map's rows together."""
LEAST_NUMBER = 13
"""The height of a row that still has room for numbers."""
WIDEST, WIDEST_BARE, NARROWEST = 52, 34, 18
"""The width of a column, and of one without numbers."""
ROOM = 430
"""The width of a grid beyond which its numbers are omitted."""
WIDE = 760
"""The largest width of a grid without text beside it."""
LEGEND = 34
REMARK = 6.4
"""The approximate width of a character of the legend."""
SAMPLES = 33
"""The colours that the legend shows."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a grid. `numbers`: is there room for them? `overhang`: see `_overhang`."""

    label: float
    cell: float
    row: float
    head: float
    overhang: float
    turned: bool
    numbers: bool


def draw(plot: GridPlot) -> Iterator[Markup]:
    """The grid's picture, with its scale below."""
    size = layout(plot)
    width = _width(plot, size)
    body = size.head + size.row * len(plot.rows)
    parts = [*_names(plot, size), *_cells(plot, size), *_legend(plot, size, body + 16)]
    legend = LEGEND + 14 * max(0, len(_remarks(plot, size)) - 1)
    yield shapes.picture(width, body + 16 + legend, plot.title, parts)


def layout(plot: GridPlot) -> Layout:
    """The roomiest sizes with which a grid fits."""
    longest = (plot.longest or 3) + max(1, plot.room - plot.longest)
    columns = _above(plot)
    label = shapes.across((*plot.axis_names, *(row.text for row in plot.rows))) + 10
    count = max(1, len(columns))
    whole = STACKED if plot.stacked else ROW
    row = whole if len(plot.rows) * whole <= MOST else max(LEAST_ROW, MOST / len(plot.rows))
    wanted = longest * 6.1 + 5
    numbers = row >= LEAST_NUMBER and label + wanted * count <= WIDE
    even = (ROOM - label) / count
    cell = min(WIDEST, max(wanted, even)) if numbers else min(WIDEST_BARE, max(NARROWEST, even))
    names = shapes.across(columns)
    turned = names > cell - 4
    head = max(names * 0.66 + 14 if turned else 20, 8 + 13 * len(plot.axis_names))
    overhang = _overhang(columns, cell) if turned else 4.0
    return Layout(label, cell, row, head, overhang, turned, numbers)


def _overhang(columns: list[str], cell: float) -> float:
    """The reach of slanted names beyond the last column."""
    names = enumerate(reversed(columns))
    return max(
        [4.0, *(shapes.across([name]) * 0.77 + 12 - (index + 0.5) * cell for index, name in names)]
    )


def _names(plot: GridPlot, size: Layout) -> Iterator[Markup]:
    every = max(1, math.ceil(13 / size.row))
    for i, row in list(enumerate(plot.rows))[::every]:
        quiet = "quiet" if row.control else None
        y = size.head + (i + 0.5) * size.row + 4
        yield shapes.words(size.label - 6, y, shapes.short(row.text), quiet, "end")
    for index, name in enumerate(plot.axis_names):
        y = size.head - 7 - 13 * index
        yield shapes.words(size.label - 6, y, shapes.short(name), "quiet", "end")
    for j, (column, text) in enumerate(zip(plot.columns, _above(plot), strict=True)):
        quiet = "quiet" if column.control else None
        x, y = size.label + (j + 0.5) * size.cell, size.head - 7
        if size.turned:
            yield shapes.turned(x + 3, y, shapes.short(text), quiet)
        else:
            yield shapes.words(x, y, shapes.short(text), quiet, "middle")


def _above(plot: GridPlot) -> list[str]:
    """The names of the columns, with the better direction where each has its own."""
    return [f"{column.text} {column.words[:1]}".rstrip() for column in plot.columns]


def _cells(plot: GridPlot, size: Layout) -> Iterator[Markup]:
    for i, row in enumerate(plot.cells):
        for j, value in enumerate(row):
            if value is None:
                continue
            x, y = size.label + j * size.cell, size.head + i * size.row
            tone = value.tone
            none = "null" if value.is_null and not size.numbers else "blank"
            fill = none if tone is None else step_class(plot.scale.ramp, step(tone))
            yield shapes.told(
                value.hover(plot.where(i, j)),
                shapes.box(x, y, size.cell - 1, size.row - 1, fill),
                *_number(value, size, x, y),
            )


def _number(value: Value, size: Layout, x: float, y: float) -> Iterator[Markup]:
    middle = x + (size.cell - 1) / 2, y + size.row / 2 + 3.5
    if value.cell.shown is None:
        yield shapes.words(*middle, value.text, "quiet", "middle")
    elif size.numbers and value.below is not None and size.row >= STACKED:
        kind, below = "digits quiet" if value.is_null else "digits", value.below
        yield shapes.words(
            middle[0], middle[1] - 6, value.text + value.marks_of_place, "digits", "middle"
        )
        text = shapes.number(below.text) + below.signs
        yield shapes.words(middle[0], middle[1] + 7, text, kind, "middle")
    elif size.numbers:
        text = shapes.number(value.text) + value.signs
        yield shapes.words(*middle, text, "digits quiet" if value.is_null else "digits", "middle")
    elif value.marked:
        yield shapes.words(*middle, value.signs[-1], "digits", "middle")


def _legend(plot: GridPlot, size: Layout, y: float) -> Iterator[Markup]:
    """The values of the colours, then the meaning of the marks."""
    scale = plot.scale
    low, high = map(shapes.number, scale.ends)
    x = len(low) * shapes.CHARACTER + 6
    yield shapes.words(0, y + 10, low, "quiet")
    for index, tone in enumerate(scale.tones(SAMPLES)):
        yield shapes.box(x + index * 3, y, 3.4, 12, step_class(scale.ramp, step(tone)))
    x += SAMPLES * 3 + 8
    yield shapes.words(x, y + 10, high, "quiet")
    for index, line in enumerate(_remarks(plot, size)):
        yield shapes.words(0, y + 28 + 14 * index, line, "quiet")


def _remarks(plot: GridPlot, size: Layout) -> list[str]:
    """The meaning of the marks, in lines of at most the picture's width."""
    notes = ", ".join(plot.remarks(dense=not size.numbers))
    return wrap(notes, int(_width(plot, size) / REMARK))


def _width(plot: GridPlot, size: Layout) -> float:
    return max(size.label + size.cell * len(plot.columns) + size.overhang, 260.0)
