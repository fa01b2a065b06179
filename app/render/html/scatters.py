"""Points in a plane as SVG: a sign a group, guides, intervals, and what chance alone gives."""

from __future__ import annotations

from collections.abc import Iterator

from app.render.html import shapes
from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.html.shapes import Axis
from app.render.terminal.labels import named_beside
from app.render.terminal.levels import axis_ticks, common_level
from app.render.terminal.palette import MARK
from app.render.terminal.scales import shows_interval, tick_labels
from app.render.terminal.scatters import drawable, groups, upwards
from core.figures.figure import Cell, Point, Scatter

WIDTH, HEIGHT = 420, 360
TOP, BOTTOM, RIGHT = 24, 42, 14
NAMED = 12
"""The most points that have their names beside them."""


def draw(figure: Scatter) -> Iterator[Markup]:
    """The legend, then the picture."""
    entries = list(_legend(figure))
    if entries:
        yield shapes.legend(entries)
    points = drawable(figure)
    along = axis_ticks((p.x for p in points), figure.x_guides, 6)
    upward = axis_ticks((p.y for p in points), figure.y_guides, 6)
    left = 8 + max(map(len, tick_labels(upward))) * shapes.CHARACTER
    across = Axis(along[0], along[-1], left, WIDTH - RIGHT)
    up = Axis(upward[0], upward[-1], HEIGHT - BOTTOM, TOP)
    parts = [*_chance(points, across, up), *_axes(figure, across, up, along, upward)]
    known = groups(figure)
    beside = named_beside(points, (along[0], along[-1]), (upward[0], upward[-1]))
    for at in upwards(points):
        point = points[at]
        inside = [*_point(figure, point, across, up, known.index(point.group))]
        inside += _name(point, across, up, beside.get(at), few=len(points) <= NAMED)
        parts.append(tag("g", *inside, class_=series_class(known.index(point.group), False)))
    yield shapes.picture(WIDTH, HEIGHT, figure.title, parts)


def _axes(
    figure: Scatter, across: Axis, up: Axis, along: list[float], upward: list[float]
) -> Iterator[Markup]:
    for value, label in zip(upward, tick_labels(upward), strict=True):
        y = up.at(value)
        yield shapes.line(across.first, y, across.last, y, "axis" if y == up.first else "rule")
        yield shapes.words(across.first - 6, y + 4, shapes.number(label), "quiet", "end")
    for value, label in zip(along, tick_labels(along), strict=True):
        x = across.at(value)
        yield shapes.line(x, up.first, x, up.last, "axis" if x == across.first else "rule")
        yield shapes.words(x, up.first + 16, shapes.number(label), "quiet", "middle")
    for guide in figure.x_guides:
        yield shapes.line(across.at(guide), up.first, across.at(guide), up.last, "guide")
    for guide in figure.y_guides:
        yield shapes.line(across.first, up.at(guide), across.last, up.at(guide), "guide")
    yield shapes.words(across.first, 13, f"↑ {shapes.short(figure.y_name)}", "heading")
    yield shapes.words(WIDTH, HEIGHT - 6, f"{shapes.short(figure.x_name)} →", "heading", "end")


def _chance(points: list[Point], across: Axis, up: Axis) -> Iterator[Markup]:
    level = common_level(point.x for point in points)
    if level is not None:
        middle, low, high = map(across.at, level)
        yield shapes.box(low, up.last, high - low, up.first - up.last, "band")
        yield shapes.line(middle, up.first, middle, up.last, "chance")
    level = common_level(point.y for point in points)
    if level is not None:
        middle, low, high = map(up.at, level)
        yield shapes.box(across.first, high, across.last - across.first, low - high, "band")
        yield shapes.line(across.first, middle, across.last, middle, "chance")


def _point(figure: Scatter, point: Point, across: Axis, up: Axis, index: int) -> Iterator[Markup]:
    assert point.place is not None
    x, y = across.at(point.place[0]), up.at(point.place[1])
    if (ends := _ends(point.x)) is not None:
        yield shapes.line(across.at(ends[0]), y, across.at(ends[1]), y, "thin")
    if (ends := _ends(point.y)) is not None:
        yield shapes.line(x, up.at(ends[0]), x, up.at(ends[1]), "thin")
    title = shapes.said((point.name, figure.x_name), point.x)
    title += "\n" + shapes.said((point.name, figure.y_name), point.y)
    target = tag("circle", cx=x, cy=y, r=8, class_="target")
    yield shapes.told(title, shapes.sign(index, False, x, y), target)


def _name(
    point: Point, across: Axis, up: Axis, left: bool | None, *, few: bool
) -> Iterator[Markup]:
    """A point's name beside it, where there is room, and always its star."""
    assert point.place is not None
    x, y = across.at(point.place[0]), up.at(point.place[1])
    words = [MARK] if point.mark else []
    if left is not None and (few or point.mark):
        words.append(shapes.short(point.name))
    if words:
        where = (x - 7, "end") if left else (x + 7, "start")
        inwards = reversed(words) if left else words
        yield shapes.words(where[0], y - 5, " ".join(inwards), "quiet", where[1])


def _ends(cell: Cell) -> tuple[float, float] | None:
    if not shows_interval(cell) or cell.low is None or cell.high is None:
        return None
    return cell.low, cell.high


def _legend(figure: Scatter) -> Iterator[tuple[Markup, str]]:
    for at, group in enumerate(groups(figure)):
        if group:
            yield (
                shapes.sample(shapes.sign(at, False, 12, 6), class_=series_class(at, False)),
                group,
            )
    points = drawable(figure)
    if any(point.mark for point in points):
        yield shapes.sample(shapes.words(12, 10, MARK, None, "middle")), figure.mark_name
    if any(shows_interval(cell) for p in points for cell in (p.x, p.y)):
        yield shapes.sample(shapes.line(2, 6, 22, 6, "thin")), "95 % interval"
    if common_level(p.x for p in points) or common_level(p.y for p in points):
        yield shapes.sample(shapes.line(0, 6, 24, 6, "chance")), "chance"
