"""Matrices and heat maps as SVG: coloured cells, with numbers where there is room for them.

What lies within chance has no colour; undefined cells have a dot.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from app.render.html import shapes
from app.render.html.colours import step
from app.render.html.markup import Markup
from app.render.terminal.legends import grid_notes
from app.render.terminal.names import column_names, is_control_column, is_control_row, row_names
from app.render.terminal.palette import MARK, STEPS
from app.render.terminal.scales import NULL_MARK, UNDEFINED, Scale, formatter, shown
from core.figures.figure import Cell, Grid
from core.figures.significance import is_null

ROW, LEAST_ROW = 24, 9
MOST = 520
"""The height of a tall heat map's rows together."""
LEAST_NUMBER = 13
"""The height of a row that still has room for numbers."""
WIDEST, WIDEST_BARE, NARROWEST = 52, 34, 18
"""The width of a column, and of one without numbers."""
ROOM = 430
"""What a grid may take before its numbers are left out."""
WIDE = 760
"""What a grid with a place of its own may take."""
LEGEND = 34


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a grid. `numbers`: is there room for them? `overhang`: of the last column's name."""

    label: float
    cell: float
    row: float
    head: float
    overhang: float
    turned: bool
    numbers: bool


def draw(figure: Grid, scale: Scale) -> Iterator[Markup]:
    """The grid's picture, with its scale below."""
    size = layout(figure)
    width = max(size.label + size.cell * len(figure.columns) + size.overhang, 260.0)
    body = size.head + size.row * len(figure.rows)
    parts = [*_names(figure, size), *_cells(figure, scale, size)]
    parts += _legend(figure, scale, size, body + 16)
    yield shapes.picture(width, body + 16 + LEGEND, figure.title, parts)


def layout(figure: Grid) -> Layout:
    """The roomiest sizes with which a grid fits."""
    write = formatter(shown(figure), figure.signed)
    longest = max((len(write(value)) for value in shown(figure)), default=3) + 1
    longest += any(cell.mark for cell in figure.measured())
    label = shapes.across((*_corner(figure), *row_names(figure))) + 10
    columns = max(1, len(figure.columns))
    row = ROW if len(figure.rows) * ROW <= MOST else max(LEAST_ROW, MOST / len(figure.rows))
    wanted = longest * 6.1 + 5
    numbers = row >= LEAST_NUMBER and label + wanted * columns <= WIDE
    even = (ROOM - label) / columns
    cell = min(WIDEST, max(wanted, even)) if numbers else min(WIDEST_BARE, max(NARROWEST, even))
    names = shapes.across(column_names(figure))
    turned = names > cell - 4
    head = max(names * 0.66 + 14 if turned else 20, 8 + 13 * len(_corner(figure)))
    overhang = _overhang(figure, cell) if turned else 4.0
    return Layout(label, cell, row, head, overhang, turned, numbers)


def _overhang(figure: Grid, cell: float) -> float:
    """How far names that rise to the right reach beyond the last column."""
    names = list(enumerate(reversed(column_names(figure))))
    return max(
        [4.0, *(shapes.across([name]) * 0.77 + 12 - (at + 0.5) * cell for at, name in names)]
    )


def _corner(figure: Grid) -> tuple[str, ...]:
    """What rows and columns are, unless they are the same."""
    if figure.row_name == figure.column_name:
        return ()
    return f"{figure.row_name} ↓", f"{figure.column_name} →"


def _names(figure: Grid, size: Layout) -> Iterator[Markup]:
    every = max(1, math.ceil(13 / size.row))
    for i in range(0, len(figure.rows), every):
        quiet = "quiet" if is_control_row(figure, i) else None
        y = size.head + (i + 0.5) * size.row + 4
        yield shapes.words(size.label - 6, y, shapes.short(row_names(figure)[i]), quiet, "end")
    for at, name in enumerate(_corner(figure)):
        y = size.head - 7 - 13 * at
        yield shapes.words(size.label - 6, y, shapes.short(name), "quiet", "end")
    for j, name in enumerate(column_names(figure)):
        quiet = "quiet" if is_control_column(figure, j) else None
        x, y = size.label + (j + 0.5) * size.cell, size.head - 7
        if size.turned:
            yield shapes.turned(x + 3, y, shapes.short(name), quiet)
        else:
            yield shapes.words(x, y, shapes.short(name), quiet, "middle")


def _cells(figure: Grid, scale: Scale, size: Layout) -> Iterator[Markup]:
    write = formatter(shown(figure), figure.signed)
    for i, row in enumerate(figure.cells):
        for j, cell in enumerate(row):
            if cell is not None:
                where = _where(figure, i, j)
                x, y = size.label + j * size.cell, size.head + i * size.row
                yield shapes.told(
                    shapes.said(where, cell),
                    shapes.box(x, y, size.cell - 1, size.row - 1, _class(cell, scale)),
                    *_number(cell, size, x, y, write(cell.shown or 0.0)),
                )


def _number(cell: Cell, size: Layout, x: float, y: float, number: str) -> Iterator[Markup]:
    middle = x + (size.cell - 1) / 2, y + size.row / 2 + 3.5
    if cell.shown is None:
        yield shapes.words(*middle, UNDEFINED, "quiet", "middle")
    elif size.numbers:
        near = is_null(cell)
        text = shapes.number(number) + (NULL_MARK if near else "") + (MARK if cell.mark else "")
        yield shapes.words(*middle, text, "digits quiet" if near else "digits", "middle")
    elif cell.mark:
        yield shapes.words(*middle, MARK, "digits", "middle")


def _class(cell: Cell, scale: Scale) -> str:
    known = shapes.finite(cell)
    if known is None or is_null(cell):
        return "blank"
    return step(scale.signed, scale.step(known))


def _where(figure: Grid, i: int, j: int) -> list[str]:
    """The place of a cell in words."""
    if figure.row_of == "model" and figure.column_of == "reference":
        return [f"{figure.rows[i]} and {figure.columns[j]}"]
    row = figure.rows[i]
    if figure.row_of != "model":
        row = f"{figure.row_name} {row}"
    model = figure.chosen.get("model", "")
    return [*([model] if model else []), row, figure.columns[j]]


def _legend(figure: Grid, scale: Scale, size: Layout, y: float) -> Iterator[Markup]:
    """What the colours are worth, then what the marks mean."""
    write = formatter([scale.low, scale.high], scale.signed)
    low, high = shapes.number(write(scale.low)), shapes.number(write(scale.high))
    x = len(low) * shapes.CHARACTER + 6
    yield shapes.words(0, y + 10, low, "quiet")
    for at in range(0, STEPS, 2):
        yield shapes.box(x + at * 1.5, y, 3.4, 12, step(scale.signed, at))
    x += STEPS * 1.5 + 8
    yield shapes.words(x, y + 10, high, "quiet")
    notes = ", ".join(grid_notes(figure, dense=not size.numbers))
    yield shapes.words(0, y + 28, notes, "quiet")
