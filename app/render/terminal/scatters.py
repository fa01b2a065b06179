"""Points in a plane: one sign per group, and the guides of the view. Owns the frame around them.

`picture` gives the rows of a figure, and the `Frame` that says which cell shows which values.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.axes import Frame, even_ticks, x_axis, y_axis
from app.render.terminal.lines import Cells, Line, cut, joined, length, narrow, padded
from app.render.terminal.palette import Palette, sign
from app.text import plain
from core.figures.plots.plot import Entry
from core.figures.plots.scatters import PointsPlot
from core.figures.plots.values import MARK, UNDEFINED

LONGEST_NAME = 28
NAMED = 40
"""The most points with names beside them, where there is room."""
AROUND = 4
"""Rows of a picture besides its canvas: the names of both axes, the axis, and its numbers."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure: its rows, and the frame of its points."""

    lines: list[Line]
    frame: Frame


def picture(plot: PointsPlot, *, width: int, height: int, palette: Palette) -> Picture:
    """The points within width × height; there must be some."""
    high = max(3, height - AROUND)
    y_ticks, up = even_ticks(plot.y_axis, high, min(7, high // 2 + 1))
    gutter = min(max(len(tick.label) for tick in y_ticks), width // 3)
    wide = max(4, width - gutter - 1)
    x_ticks = plot.x_axis.ticks(max(3, wide // 10))
    across = x_ticks[0].at, x_ticks[-1].at
    frame = Frame(gutter + 1, 1, wide, high, across, up)
    dim, text = Style(color=palette.dim), Style(color=palette.text)
    strong = Style(color=palette.text, bold=True)
    rows: list[Line] = [[Segment(f"{' ' * gutter}↑ "), Segment(cut(plot.y_label, wide), strong)]]
    lefts = y_axis(y_ticks, frame, gutter, palette)
    for left, cells in zip(lefts, _canvas(plot, frame, palette), strict=True):
        rows.append([*left, *joined(cells)])
    axis, numbers = x_axis(x_ticks, frame)
    rows.append([Segment(" " * gutter), Segment("└" + axis, dim)])
    rows.append([Segment(" " * (gutter + 1)), Segment(numbers, text)])
    name = f"{cut(plot.x_label, wide)} →"
    rows.append([Segment(" " * (width - cell_len(name))), Segment(name, strong)])
    return Picture([padded(row, width) for row in rows], frame)


def legend(plot: PointsPlot, width: int, palette: Palette) -> list[Line]:
    """The groups and the other signs, in as few rows as fit; then the notes."""
    rows: list[Line] = []
    dim = Style(color=palette.dim)
    for entry in (_entry(e, width, palette) for e in plot.legend() if e.symbol in _LISTED):
        if rows and length(rows[-1]) + 3 + length(entry) <= width:
            rows[-1] += [Segment("   "), *entry]
        else:
            rows.append(entry)
    notes = (line for e in plot.legend() if e.symbol == "note" for line in wrap(e.text, width))
    return [*rows, *([Segment(line, dim)] for line in map(plain, notes))]


_LISTED = {"series": "", "star": MARK, "undefined": UNDEFINED}
"""The entries of a legend that are drawn, with their signs."""


def _entry(entry: Entry, width: int, palette: Palette) -> Line:
    if entry.symbol == "series":
        style = palette.line(entry.index, control=entry.control)
        name = cut(entry.text, min(LONGEST_NAME, width - 2))
        return [Segment(sign(entry.index, entry.control) + " ", style), Segment(name, style)]
    words = cut(f"{_LISTED[entry.symbol]} {entry.text}", width)
    return [Segment(words, Style(color=palette.dim))]


def _canvas(plot: PointsPlot, frame: Frame, palette: Palette) -> list[Cells]:
    dim = Style(color=palette.dim)
    canvas: list[Cells] = [[(" ", None)] * frame.width for _ in range(frame.height)]
    for y in plot.y_guides:
        canvas[frame.row(y) - frame.top] = [("╌", dim)] * frame.width
    for x in plot.x_guides:
        for row in canvas:
            column = frame.column(x) - frame.left
            row[column] = ("┼" if row[column][0] == "╌" else "┊", dim)
    for point in plot.upwards:
        assert point.place is not None
        x, y = point.place
        mark = sign(point.index, point.control)
        style = palette.line(point.index, control=point.control)
        if point.marked:
            mark, style = MARK, style + Style(bold=True)
        canvas[frame.row(y) - frame.top][frame.column(x) - frame.left] = (mark, style)
    _name(plot, frame, canvas, dim)
    return canvas


def _name(plot: PointsPlot, frame: Frame, canvas: list[Cells], style: Style) -> None:
    """Write the names beside the points, where nothing else was drawn."""
    size = 1 / frame.width, 1 / frame.height
    for point, left in plot.names_beside(frame.x_range, frame.y_range, size, NAMED).items():
        assert point.place is not None
        name = plain(cut(point.name, LONGEST_NAME))
        row = canvas[frame.row(point.place[1]) - frame.top]
        column = frame.column(point.place[0]) - frame.left
        first = column - 1 - cell_len(name) if left else column + 2
        taken = row[max(0, first) : first + len(name)]
        fits = first >= 0 and len(taken) == len(name) and narrow(name)
        if fits and {c for c, _ in taken} <= set(" ╌┊"):
            row[first : first + len(name)] = [(character, style) for character in name]
