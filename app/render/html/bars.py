"""Groups of horizontal bars as SVG, with whiskers and chance levels; and of boxes."""

from __future__ import annotations

from collections.abc import Iterator

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, joined
from app.render.html.shapes import Place
from app.render.terminal.palette import sign
from core.figures.plots.grids import BarsPlot, BoxesPlot
from core.figures.plots.plot import Name
from core.figures.plots.values import MARK, NULL_MARK, SIDES, Value

WIDTH = 436
BAR, GAP = 14, 10
BOTTOM = 22


def draw(plot: BarsPlot) -> Iterator[Markup]:
    """The legend, then the picture."""
    yield shapes.legend(plot.legend(), _SAMPLES)
    label = shapes.across(_signed(row) for row in plot.rows) + 6
    name = label + shapes.across(column.text for column in plot.columns) + 8
    value = (plot.longest + 1) * shapes.CHARACTER + 8
    ticks = plot.x_axis_whole.ticks(4)
    axis = Place(ticks[0].at, ticks[-1].at, name + 4, WIDTH - value)
    height = BAR * len(plot.spots) + GAP * len(plot.rows) + BOTTOM
    draw_one = _box if isinstance(plot, BoxesPlot) else _bar
    parts: list[Markup] = []
    for tick in ticks:
        strong = "axis" if tick.at == 0 else "rule"
        x = axis.at(tick.at)
        parts.append(shapes.line(x, 0, x, height - BOTTOM, strong))
        parts.append(shapes.words(x, height - 6, shapes.number(tick.label), "quiet", "middle"))
    for group in plot.groups(GAP / BAR):
        row, first, last = plot.rows[group[0][0]], group[0][2], group[-1][2]
        middle = BAR * (first + last + 1) / 2 + 4
        kind = "quiet" if row.control else None if row.index is None else _fill(row.index, False)
        parts.append(shapes.words(label, middle, shapes.short(_signed(row)), kind, "end"))
        for i, j, top in group:
            y, text, cell = top * BAR, shapes.short(plot.columns[j].text), plot.cells[i][j]
            parts.append(shapes.words(name, y + BAR - 3, text, "quiet", "end"))
            if cell is not None:
                inside = draw_one(cell, axis, y, _fill(plot.index(i, j), plot.faint(i, j)))
                parts.append(shapes.told(cell.hover(plot.where(i, j)), *inside))
    yield shapes.picture(WIDTH, height, plot.title, parts)


def _bar(value: Value, axis: Place, y: float, fill: str) -> Iterator[Markup]:
    if value.number is None:
        yield shapes.words(axis.at(0) + 4, y + BAR - 3, value.text, "quiet")
        return
    level = value.chance
    if level is not None:
        left, right = axis.at(level.low), axis.at(level.high)
        yield shapes.box(left, y, right - left, BAR, "band")
    start, end = sorted((axis.at(0), axis.at(value.number)))
    yield shapes.box(start, y + 1, max(end - start, 0.8), BAR - 2, fill)
    if level is not None:
        yield shapes.line(axis.at(level.level), y, axis.at(level.level), y + BAR, "chance")
    if value.interval is not None:
        left, right = map(axis.at, value.interval)
        middle = y + BAR / 2
        yield shapes.line(left, middle, right, middle, "whisker")
        for x in (left, right):
            yield shapes.line(x, middle - 3.5, x, middle + 3.5, "whisker")
    yield _number(value, y)


def _box(value: Value, axis: Place, y: float, fill: str) -> Iterator[Markup]:
    middle, spread = y + BAR / 2, value.cell.spread
    if spread is not None:
        if spread.least is not None and spread.most is not None:
            ends = axis.at(spread.least), axis.at(spread.most)
            yield shapes.line(ends[0], middle, ends[1], middle, "whisker")
            for x in ends:
                yield shapes.line(x, middle - 3.5, x, middle + 3.5, "whisker")
        left, right = axis.at(spread.lower), axis.at(spread.upper)
        yield shapes.box(left, y + 1, max(right - left, 0.8), BAR - 2, fill)
        x = axis.at(spread.median)
        yield shapes.line(x, y + 1, x, y + BAR - 1, "whisker")
    if value.number is None:
        yield shapes.words(axis.at(axis.low) + 4, y + BAR - 3, value.text, "quiet")
        return
    yield _diamond(axis.at(value.number), middle)
    yield _number(value, y)


def _diamond(x: float, y: float) -> Markup:
    return shapes.path([(x, y - 4), (x + 3.5, y), (x, y + 4), (x - 3.5, y)], "own", closed=True)


def _number(value: Value, y: float) -> Markup:
    kind = "digits quiet" if value.is_null else "digits"
    return shapes.words(WIDTH, y + BAR - 3, shapes.number(value.text) + value.signs, kind, "end")


def _signed(row: Name) -> str:
    """The name of a group after its model's sign."""
    return row.text if row.index is None else f"{sign(row.index, row.control)} {row.text}"


def _fill(index: int, control: bool) -> str:
    return f"full {series_class(index, control)}"


_SAMPLES: shapes.Samples = {
    "interval": lambda _: joined(
        [shapes.line(2, 6, 22, 6, "whisker")]
        + [shapes.line(x, 2, x, 10, "whisker") for x in (2, 22)]
    ),
    "whiskers": lambda _: joined(
        [shapes.line(2, 6, 22, 6, "whisker")]
        + [shapes.line(x, 2, x, 10, "whisker") for x in (2, 22)]
    ),
    "box": lambda _: shapes.box(2, 1, 20, 10, "full sc"),
    "median": lambda _: shapes.line(12, 1, 12, 11, "whisker"),
    "value": lambda _: _diamond(12, 6),
    "chance": lambda _: shapes.line(12, 0, 12, 12, "chance"),
    "band": lambda _: shapes.box(4, 0, 16, 12, "band"),
    "control": lambda _: shapes.box(2, 1, 20, 10, "full sc"),
    "null": lambda _: shapes.word(NULL_MARK, quiet=True),
    "better": lambda entry: shapes.word(SIDES["better"]),
    "worse": lambda entry: shapes.word(SIDES["worse"]),
    "note": lambda _: "",
    "star": lambda _: shapes.word(MARK),
}
