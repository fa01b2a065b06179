"""Lines by layer as SVG: one picture per panel, all on one scale; chance and intervals as bands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.html.shapes import Place
from core.figures.plots.curves import Curve, CurvePanel, CurvesPlot
from core.figures.plots.ranges import Tick

WIDTH, HEIGHT = 420, 250
TOP, BOTTOM, RIGHT = 24, 36, 10
MARKED = 16
"""The approximate number of points with a sign on a line."""

Frame = tuple[Place, Place]


def draw(plot: CurvesPlot) -> Iterator[Markup]:
    """The legend, then each panel's picture."""
    yield shapes.legend(plot.legend(), _SAMPLES)
    ticks = plot.y_axis_whole.ticks(6)
    left = 8 + max(len(tick.label) for tick in ticks) * shapes.CHARACTER
    frame = (
        Place(plot.x_axis.low, plot.x_axis.high, left + 8, WIDTH - RIGHT - 4),
        Place(ticks[0].at, ticks[-1].at, HEIGHT - BOTTOM, TOP),
    )
    pictures = [
        shapes.picture(
            WIDTH, HEIGHT, ", ".join(filter(None, (plot.title, panel.title))),
            [*_axes(plot, panel, frame, ticks), *_panel(plot, panel, frame)],
        )
        for panel in plot.panels if panel.curves
    ]  # fmt: skip
    yield tag("div", *pictures, class_="panels")


def _axes(
    plot: CurvesPlot, panel: CurvePanel, frame: Frame, ticks: Sequence[Tick]
) -> Iterator[Markup]:
    across, up = frame
    left = across.first - 8
    yield shapes.words(left, 13, panel.title, "heading")
    for tick in ticks:
        strong = "axis" if tick is ticks[0] or (plot.signed and tick.at == 0) else "rule"
        y = up.at(tick.at)
        yield shapes.line(left, y, WIDTH - RIGHT, y, strong)
        yield shapes.words(left - 6, y + 4, shapes.number(tick.label), "quiet", "end")
    room = (across.last - across.first) / max(1, len(plot.x_names))
    every = max(1, math.ceil(shapes.across(tick.label for tick in plot.x_ticks(10)) / room))
    for tick in plot.x_ticks(10)[::every]:
        label = shapes.short(tick.label)
        yield shapes.words(across.at(tick.at), HEIGHT - BOTTOM + 16, label, "quiet", "middle")
    yield shapes.words(WIDTH - RIGHT, HEIGHT - 4, plot.x_title, "quiet", "end")


def _panel(plot: CurvesPlot, panel: CurvePanel, frame: Frame) -> Iterator[Markup]:
    across, up = frame
    if panel.chance:
        above = [(across.at(x), up.at(level.high)) for x, level in panel.chance]
        below = [(across.at(x), up.at(level.low)) for x, level in reversed(panel.chance)]
        yield shapes.path([*above, *below], "band", closed=True)
        middle = [(across.at(x), up.at(level.level)) for x, level in panel.chance]
        yield shapes.path(middle, "chance")
    for curve in panel.upwards:
        inside = _curve(plot, panel, curve, frame)
        yield tag("g", *inside, class_=series_class(curve.index, curve.faint))


def _curve(plot: CurvesPlot, panel: CurvePanel, curve: Curve, frame: Frame) -> Iterator[Markup]:
    across, up = frame
    every = max(1, math.ceil(len(curve.xs) / MARKED))
    for run in curve.runs():
        bounded = [(across.at(x), *map(up.at, v.interval)) for x, _, v in run if v.interval]
        if bounded:
            above = [(x, high) for x, _, high in bounded]
            below = [(x, low) for x, low, _ in reversed(bounded)]
            yield shapes.path([*above, *below], "interval", closed=True)
        drawn = [(across.at(x), up.at(number)) for x, number, _ in run]
        yield shapes.path(drawn, "stroke control" if curve.faint else "stroke")
    for index, (x, value) in enumerate(zip(curve.xs, curve.values, strict=True)):
        if value.number is not None:
            place = across.at(x), up.at(value.number)
            control = curve.series.control
            marks = [shapes.sign(curve.index, control, *place)] if index % every == 0 else []
            target = tag("circle", cx=place[0], cy=place[1], r=8, class_="target")
            yield shapes.told(value.hover(plot.where(panel, curve, x)), *marks, target)


_SAMPLES: shapes.Samples = {
    "series": shapes.sample_of,
    "chance": lambda _: shapes.line(0, 6, 24, 6, "chance"),
    "band": lambda _: shapes.box(0, 1, 24, 10, "band"),
    "interval": lambda _: tag("g", shapes.box(0, 1, 24, 10, "interval"), class_="s0"),
}
