"""Groups of horizontal bars as SVG, with whiskers and what chance alone gives."""

from __future__ import annotations

from collections.abc import Iterator

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup
from app.render.html.shapes import Axis
from app.render.terminal.levels import extent, level_of
from app.render.terminal.names import CONTROL_WORDS, has_controls, is_control_row, row_names
from app.render.terminal.scales import (
    UNDEFINED,
    formatter,
    shown,
    shows_interval,
    tick_labels,
    ticks,
)
from core.figures.figure import Cell, Grid

WIDTH = 420
BAR, GAP = 14, 10
BOTTOM = 22


def draw(figure: Grid) -> Iterator[Markup]:
    """The legend, then the picture."""
    yield shapes.legend(_legend(figure))
    label = shapes.across(row_names(figure)) + 10
    write = formatter(shown(figure), figure.signed)
    value = max((len(write(v)) for v in shown(figure)), default=1) * shapes.CHARACTER + 8
    low, high = extent(figure)
    at = ticks(min(0.0, low), max(0.0, high), 5)
    axis = Axis(at[0], at[-1], label + 4, WIDTH - value)
    group = BAR * len(figure.columns) + GAP
    height = group * len(figure.rows) + BOTTOM
    parts: list[Markup] = []
    for tick, words in zip(at, tick_labels(at), strict=True):
        strong = "axis" if tick == 0 else "rule"
        parts.append(shapes.line(axis.at(tick), 0, axis.at(tick), height - BOTTOM, strong))
        text = shapes.number(words)
        parts.append(shapes.words(axis.at(tick), height - 6, text, "quiet", "middle"))
    for i, row in enumerate(figure.cells):
        control = is_control_row(figure, i)
        top = i * group + GAP / 2
        middle = top + (group - GAP) / 2 + 4
        name = shapes.short(row_names(figure)[i])
        parts.append(shapes.words(label, middle, name, "quiet" if control else None, "end"))
        for j, cell in enumerate(row):
            if cell is not None:
                where = (figure.rows[i], figure.columns[j])
                inside = _bar(cell, axis, top + j * BAR, j, control, write(cell.shown or 0.0))
                parts.append(shapes.told(shapes.said(where, cell), *inside))
    yield shapes.picture(WIDTH, height, figure.title, parts)


def _bar(
    cell: Cell, axis: Axis, y: float, column: int, control: bool, value: str
) -> Iterator[Markup]:
    known = shapes.finite(cell)
    if known is None:
        yield shapes.words(axis.at(0) + 4, y + BAR - 3, UNDEFINED, "quiet")
        return
    level = level_of(cell)
    if level is not None:
        left, right = axis.at(level[1]), axis.at(level[2])
        yield shapes.box(left, y, right - left, BAR, "band")
    start, end = sorted((axis.at(0), axis.at(known)))
    kind = f"full {series_class(column, control)}" + (" second" if column % 2 else "")
    yield shapes.box(start, y + 1, max(end - start, 0.8), BAR - 2, kind)
    if level is not None:
        yield shapes.line(axis.at(level[0]), y, axis.at(level[0]), y + BAR, "chance")
    if shows_interval(cell) and cell.low is not None and cell.high is not None:
        left, right, middle = axis.at(cell.low), axis.at(cell.high), y + BAR / 2
        yield shapes.line(left, middle, right, middle, "whisker")
        for x in (left, right):
            yield shapes.line(x, middle - 3.5, x, middle + 3.5, "whisker")
    yield shapes.words(WIDTH, y + BAR - 3, shapes.number(value), "digits", "end")


def _legend(figure: Grid) -> Iterator[tuple[Markup, str]]:
    for j, name in enumerate(figure.columns):
        kind = f"full {series_class(j, False)}" + (" second" if j % 2 else "")
        yield shapes.sample(shapes.box(2, 1, 20, 10, kind)), name
    found = list(figure.measured())
    if any(map(shows_interval, found)):
        ends = [shapes.line(x, 2, x, 10, "whisker") for x in (2, 22)]
        yield shapes.sample(shapes.line(2, 6, 22, 6, "whisker"), *ends), "95 % interval"
    known = [level for cell in found if (level := level_of(cell)) is not None]
    if known:
        spread = any(high > low for _, low, high in known)
        drawn = shapes.box(4, 0, 16, 12, "band"), shapes.line(12, 0, 12, 12, "chance")
        yield shapes.sample(*drawn), "chance ± 2 sd" if spread else "chance"
    if has_controls(figure):
        yield shapes.sample(shapes.box(2, 1, 20, 10, "full sc")), CONTROL_WORDS
