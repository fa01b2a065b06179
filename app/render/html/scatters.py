"""Points in a plane as SVG: one sign per group, guides, intervals, and chance levels."""

from __future__ import annotations

from collections.abc import Iterator

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.html.shapes import Place
from core.figures.plots.ranges import Tick
from core.figures.plots.scatters import PlotPoint, PointsPlot
from core.figures.plots.values import MARK, UNDEFINED

WIDTH, HEIGHT = 420, 360
TOP, BOTTOM, RIGHT = 24, 42, 14
LONGEST = 48
"""Characters of the name of an axis."""
Frame = tuple[Place, Place]


def draw(plot: PointsPlot) -> Iterator[Markup]:
    """The legend, then the picture."""
    yield shapes.legend(plot.legend(), _SAMPLES)
    x_ticks, y_ticks = plot.x_axis_whole.ticks(6), plot.y_axis_whole.ticks(6)
    left = 8 + max(len(tick.label) for tick in y_ticks) * shapes.CHARACTER
    across = Place(x_ticks[0].at, x_ticks[-1].at, left, WIDTH - RIGHT)
    up = Place(y_ticks[0].at, y_ticks[-1].at, HEIGHT - BOTTOM, TOP)
    frame = across, up
    parts = [*_chance(plot, frame), *_axes(plot, frame, x_ticks, y_ticks)]
    beside = plot.names_beside((across.low, across.high), (up.low, up.high))
    for point in plot.upwards:
        inside = [*_point(plot, point, frame), *_name(point, frame, beside.get(point))]
        parts.append(tag("g", *inside, class_=series_class(point.index, point.control)))
    yield shapes.picture(WIDTH, HEIGHT, plot.title, parts)


def _axes(
    plot: PointsPlot, frame: Frame, x_ticks: list[Tick], y_ticks: list[Tick]
) -> Iterator[Markup]:
    across, up = frame
    for tick in y_ticks:
        y = up.at(tick.at)
        yield shapes.line(across.first, y, across.last, y, "axis" if y == up.first else "rule")
        yield shapes.words(across.first - 6, y + 4, shapes.number(tick.label), "quiet", "end")
    for tick in x_ticks:
        x = across.at(tick.at)
        yield shapes.line(x, up.first, x, up.last, "axis" if x == across.first else "rule")
        yield shapes.words(x, up.first + 16, shapes.number(tick.label), "quiet", "middle")
    for guide in plot.x_guides:
        yield shapes.line(across.at(guide), up.first, across.at(guide), up.last, "guide")
    for guide in plot.y_guides:
        yield shapes.line(across.first, up.at(guide), across.last, up.at(guide), "guide")
    yield shapes.words(across.first, 13, f"↑ {shapes.short(plot.y_label, LONGEST)}", "heading")
    x_label = f"{shapes.short(plot.x_label, LONGEST)} →"
    yield shapes.words(WIDTH, HEIGHT - 6, x_label, "heading", "end")


def _chance(plot: PointsPlot, frame: Frame) -> Iterator[Markup]:
    across, up = frame
    if (level := plot.x_chance) is not None:
        middle, low, high = map(across.at, (level.level, level.low, level.high))
        yield shapes.box(low, up.last, high - low, up.first - up.last, "band")
        yield shapes.line(middle, up.first, middle, up.last, "chance")
    if (level := plot.y_chance) is not None:
        middle, low, high = map(up.at, (level.level, level.low, level.high))
        yield shapes.box(across.first, high, across.last - across.first, low - high, "band")
        yield shapes.line(across.first, middle, across.last, middle, "chance")


def _point(plot: PointsPlot, point: PlotPoint, frame: Frame) -> Iterator[Markup]:
    across, up = frame
    x, y = _at(point, frame)
    if point.x.interval is not None:
        low, high = map(across.at, point.x.interval)
        yield shapes.line(low, y, high, y, "thin")
    if point.y.interval is not None:
        low, high = map(up.at, point.y.interval)
        yield shapes.line(x, low, x, high, "thin")
    target = tag("circle", cx=x, cy=y, r=8, class_="target")
    yield shapes.told(plot.hover(point), shapes.sign(point.index, point.control, x, y), target)


def _name(point: PlotPoint, frame: Frame, left: bool | None) -> Iterator[Markup]:
    """A point's name beside it, where there is room, and always its star."""
    x, y = _at(point, frame)
    words = [MARK] if point.marked else []
    if left is not None:
        words.append(shapes.short(point.name))
    if words:
        where = (x - 7, "end") if left else (x + 7, "start")
        inwards = reversed(words) if left else words
        yield shapes.words(where[0], y - 5, " ".join(inwards), "quiet", where[1])


def _at(point: PlotPoint, frame: Frame) -> tuple[float, float]:
    assert point.place is not None
    return frame[0].at(point.place[0]), frame[1].at(point.place[1])


_SAMPLES: shapes.Samples = {
    "series": lambda entry: tag(
        "g",
        shapes.sign(entry.index, entry.control, 12, 6),
        class_=series_class(entry.index, entry.control),
    ),
    "star": lambda _: shapes.word(MARK),
    "interval": lambda _: shapes.line(2, 6, 22, 6, "thin"),
    "chance": lambda _: shapes.line(0, 6, 24, 6, "chance"),
    "undefined": lambda _: shapes.words(12, 10, UNDEFINED, None, "middle"),
    "note": lambda _: "",
}
