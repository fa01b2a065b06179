"""Lines by layer as SVG: a picture a panel, all on one scale; chance and intervals as bands."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.html.shapes import Axis
from app.render.terminal.axes import x_range
from app.render.terminal.curves import places_of
from app.render.terminal.legends import series_of
from app.render.terminal.levels import levels, value_ticks
from app.render.terminal.scales import shows_interval, tick_labels, whole_ticks
from core.figures.figure import Cell, Lines, Panel, Series

WIDTH, HEIGHT = 420, 250
TOP, BOTTOM, RIGHT = 24, 36, 10
MARKED = 16
"""About how many points of a line have a sign."""

Frame = tuple[Axis, Axis]
Place = tuple[float, float]


def draw(figure: Lines) -> Iterator[Markup]:
    """The legend, then each panel's picture."""
    look = places_of(figure)
    yield shapes.legend(_legend(figure))
    at = value_ticks(figure, 6)
    labels = [shapes.number(label) for label in tick_labels(at)]
    left = 8 + max(map(len, labels)) * shapes.CHARACTER
    low, high = x_range(figure)
    frame = (
        Axis(low, high, left + 8, WIDTH - RIGHT - 4),
        Axis(at[0], at[-1], HEIGHT - BOTTOM, TOP),
    )
    panels = [panel for panel in figure.panels if panel.series]
    yield tag(
        "div",
        *(
            shapes.picture(
                WIDTH, HEIGHT, ", ".join(filter(None, (figure.title, panel.title))),
                [*_axes(figure, panel, frame, list(zip(at, labels, strict=True))),
                 *_panel(panel, figure, frame, look)],
            )
            for panel in panels
        ),
        class_="panels",
    )  # fmt: skip


def _axes(
    figure: Lines, panel: Panel, frame: Frame, ticks: list[tuple[float, str]]
) -> Iterator[Markup]:
    across, up = frame
    left = across.first - 8
    yield shapes.words(left, 13, panel.title, "heading")
    for value, label in ticks:
        strong = "axis" if value == ticks[0][0] or (figure.signed and value == 0) else "rule"
        yield shapes.line(left, up.at(value), WIDTH - RIGHT, up.at(value), strong)
        yield shapes.words(left - 6, up.at(value) + 4, label, "quiet", "end")
    for x, name in _marks(figure, across):
        yield shapes.words(across.at(x), HEIGHT - BOTTOM + 16, name, "quiet", "middle")
    yield shapes.words(WIDTH - RIGHT, HEIGHT - 4, figure.x_label, "quiet", "end")


def _marks(figure: Lines, across: Axis) -> Iterator[tuple[int, str]]:
    """What is written below the curves: as many names as fit, or whole numbers."""
    if not figure.x_names:
        yield from ((layer, str(layer)) for layer in whole_ticks(across.low, across.high, 10))
        return
    room = (across.last - across.first) / len(figure.x_names)
    every = max(1, math.ceil(shapes.across(figure.x_names) / room))
    for x in range(0, len(figure.x_names), every):
        yield x, shapes.short(figure.x_names[x])


def _panel(panel: Panel, figure: Lines, frame: Frame, look: dict[str, int]) -> Iterator[Markup]:
    across, up = frame
    chance = levels(panel)
    above = [(across.at(level.x), up.at(level.high)) for level in chance]
    below = [(across.at(level.x), up.at(level.low)) for level in reversed(chance)]
    if chance:
        yield shapes.path([*above, *below], "band", closed=True)
        middle = [(across.at(level.x), up.at(level.level)) for level in chance]
        yield shapes.path(middle, "chance")
    for series in sorted(panel.series, key=lambda series: not series.faint):
        inside = _series(figure, series, panel.title, frame, look[series.name])
        yield tag("g", *inside, class_=series_class(look[series.name], series.faint))


def _series(
    figure: Lines, series: Series, panel: str, frame: Frame, index: int
) -> Iterator[Markup]:
    across, up = frame
    every = max(1, math.ceil(len(series.xs) / MARKED))
    for run in _runs(series):
        bounded = [(x, c) for x, c in run if shows_interval(c)]
        above = [(across.at(x), up.at(c.high)) for x, c in bounded if c.high is not None]
        below = [(across.at(x), up.at(c.low)) for x, c in bounded if c.low is not None]
        if bounded:
            yield shapes.path([*above, *reversed(below)], "interval", closed=True)
        drawn = [(across.at(x), up.at(cell.shown or 0.0)) for x, cell in run]
        yield shapes.path(drawn, "stroke control" if series.faint else "stroke")
    for at, (x, cell) in enumerate(zip(series.xs, series.cells, strict=True)):
        shown = shapes.finite(cell)
        if shown is not None:
            place = across.at(x), up.at(shown)
            marks = [shapes.sign(index, series.control, *place)] if at % every == 0 else []
            target = tag("circle", cx=place[0], cy=place[1], r=8, class_="target")
            where = figure.x_names[x] if figure.x_names else f"{figure.x_label} {x}"
            title = shapes.said((series.name, where, *([panel] if panel else [])), cell)
            yield shapes.told(title, *marks, target)


def _runs(series: Series) -> Iterator[list[tuple[int, Cell]]]:
    """The points of a series, broken where a value is undefined."""
    points = zip(series.xs, series.cells, strict=True)
    for known, run in groupby(points, key=lambda point: shapes.finite(point[1]) is not None):
        if known:
            yield list(run)


def _legend(figure: Lines) -> Iterator[tuple[Markup, str]]:
    look = places_of(figure)
    for series in series_of(figure):
        name = series.name + (" (control)" if series.control else "")
        yield shapes.sample_of(look[series.name], series.faint), name
    found = [level for panel in figure.panels for level in levels(panel)]
    if found:
        spread = any(level.high > level.low for level in found)
        drawn = shapes.box(0, 1, 24, 10, "band"), shapes.line(0, 6, 24, 6, "chance")
        yield shapes.sample(*drawn), "chance ± 2 sd" if spread else "chance"
    drawn_cells = (c for panel in figure.panels for s in panel.series for c in s.cells)
    if any(map(shows_interval, drawn_cells)):
        yield shapes.sample(shapes.box(0, 1, 24, 10, "interval"), class_="s0"), "95 % interval"
