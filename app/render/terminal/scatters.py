"""Points in a plane: a sign a group, lines where the view wants them. Owns the frame around them.

`picture` gives the rows of a figure, and the `Frame` that says which cell shows which values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.axes import Frame, x_axis
from app.render.terminal.lines import Cells, Line, exactly, fitted, joined, length, padded
from app.render.terminal.palette import GLYPHS, MARK, Palette
from app.render.terminal.scales import UNDEFINED, tick_labels, ticks
from app.text import plain
from core.figures.figure import Point, Scatter

LONGEST_NAME = 28
AROUND = 4
"""Rows of a picture besides its canvas: the names of both axes, the axis, and its numbers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure: its rows, and where in them the points lie."""

    lines: list[Line]
    frame: Frame


def drawable(figure: Scatter) -> list[Point]:
    """The points that have a place."""
    return [point for point in figure.points if point.place is not None]


def upwards(points: Sequence[Point]) -> list[int]:
    """The places of points in the order in which they are drawn: marked ones lie upon the others,
    and the base upon all, which what was taken away from it again would hide."""
    return sorted(range(len(points)), key=lambda i: (points[i].name == "base", points[i].mark))


def picture(figure: Scatter, *, width: int, height: int, palette: Palette) -> Picture:
    """The points within width × height; there must be some."""
    high = max(3, height - AROUND)
    both = (figure,) if figure.beside is None else (figure, figure.beside)
    places = [p.place for each in both for p in drawable(each) if p.place is not None]
    y_ticks = _ticks([y for _, y in places], figure.y_guides, max(3, min(7, high // 2 + 1)))
    labels = tick_labels(y_ticks)
    gutter = min(max(map(len, labels)), width // 3)
    wide = max(4, width - gutter - 1)
    x_ticks = _ticks([x for x, _ in places], figure.x_guides, max(3, wide // 10))
    frame = Frame(gutter + 1, 1, wide, high, (x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    marks = {frame.row(y): label for y, label in zip(y_ticks, labels, strict=True)}
    dim, text = Style(color=palette.dim), Style(color=palette.text)
    strong = Style(color=palette.text, bold=True)
    rows: list[Line] = [[Segment(f"{' ' * gutter}↑ "), Segment(_cut(figure.y_name, wide), strong)]]
    for row, cells in enumerate(_canvas(figure, frame, palette), start=1):
        label = exactly(marks.get(row, ""), gutter, "right")
        rows.append([Segment(label, text), Segment("┤" if row in marks else "│", dim)])
        rows[-1] += joined(cells)
    axis, numbers = x_axis(list(zip(x_ticks, tick_labels(x_ticks), strict=True)), frame)
    rows.append([Segment(" " * gutter), Segment("└" + axis, dim)])
    rows.append([Segment(" " * (gutter + 1)), Segment(numbers, text)])
    name = f"{_cut(figure.x_name, wide)} →"
    rows.append([Segment(" " * (width - cell_len(name))), Segment(name, strong)])
    return Picture([padded(row, width) for row in rows], frame)


def legend(figure: Scatter, width: int, palette: Palette) -> list[Line]:
    """Which sign is which group, and what else there is to know, in as few rows as fit."""
    entries: list[Line] = []
    for at, group in enumerate(groups(figure)):
        if group:
            style = palette.line(at, control=False)
            name = _cut(group, min(LONGEST_NAME, width - 2))
            entries.append([Segment(_sign(at) + " ", style), Segment(name, style)])
    dim = Style(color=palette.dim)
    entries += [[Segment(_cut(words, width), dim)] for words in notes(figure)]
    rows: list[Line] = []
    for entry in entries:
        if rows and length(rows[-1]) + 3 + length(entry) <= width:
            rows[-1] += [Segment("   "), *entry]
        else:
            rows.append(entry)
    return rows


def groups(figure: Scatter) -> Sequence[str]:
    """The kinds of points, in the order in which they first occur."""
    return tuple(dict.fromkeys(point.group for point in figure.points))


def notes(figure: Scatter) -> list[str]:
    """What the marks mean, and what is not drawn."""
    said = []
    if any(point.mark for point in drawable(figure)):
        said.append(f"{MARK} {plain(figure.mark_name)}")
    missing = len(figure.points) - len(drawable(figure))
    if missing:
        reason = f": {plain(figure.empty)}" if figure.empty else ""
        said.append(f"{UNDEFINED} {missing} undefined, not drawn{reason}")
    return said


def _ticks(values: list[float], guides: tuple[float, ...], most: int) -> list[float]:
    """Round numbers that cover the values and the lines drawn at some."""
    covered = [*values, *guides]
    return ticks(min(covered), max(covered), most)


def _canvas(figure: Scatter, frame: Frame, palette: Palette) -> list[Cells]:
    dim = Style(color=palette.dim)
    canvas: list[Cells] = [[(" ", None)] * frame.width for _ in range(frame.height)]
    for y in figure.y_guides:
        canvas[frame.row(y) - frame.top] = [("╌", dim)] * frame.width
    for x in figure.x_guides:
        for row in canvas:
            column = frame.column(x) - frame.left
            row[column] = ("┼" if row[column][0] == "╌" else "┊", dim)
    at = {group: index for index, group in enumerate(groups(figure))}
    points = drawable(figure)
    for point in (points[i] for i in upwards(points)):
        assert point.place is not None
        x, y = point.place
        sign, style = _sign(at[point.group]), palette.line(at[point.group], control=False)
        if point.mark:
            sign, style = MARK, style + Style(bold=True)
        canvas[frame.row(y) - frame.top][frame.column(x) - frame.left] = (sign, style)
    return canvas


def _sign(index: int) -> str:
    return GLYPHS[index % len(GLYPHS)]


def _cut(text: str, width: int) -> str:
    """Outside text made harmless, cut where it is too long."""
    return fitted(text, min(cell_len(plain(text)), width)).rstrip()
