"""Lines by layer, in panels that share their axes. Owns the frame, the ticks and the signs.

`picture` gives the rows of a figure and, for each panel, a `Frame`: the cell of each value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style

from app.render.terminal.axes import Frame, even_ticks, x_axis, y_axis
from app.render.terminal.canvas import Stroke, strokes
from app.render.terminal.lines import Cells, Line, beside, cut, exactly, joined, padded
from app.render.terminal.palette import Palette, sign
from core.figures.plots.curves import Curve, CurvePanel, CurvesPlot
from core.figures.plots.multiples import coincide, split
from core.figures.plots.ranges import Tick

GAP = 2
SIDE_BY_SIDE = 100
LOW = 8
"""With fewer rows in a panel, panels are placed side by side."""
NARROWEST = 30
LEAST = 6
"""With fewer rows in a panel, only panels around the chosen one are drawn."""
AROUND = 3
"""Rows of a panel besides its canvas: title, axis and its numbers."""
SPACING = 4
"""Cells between two signs on one line."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure: its rows, and the frame of each panel that is drawn."""

    lines: list[Line]
    frames: dict[int, Frame]


@dataclass(frozen=True, slots=True)
class Look:
    """The drawing of a series. `index` is its place among all series of the plot."""

    sign: str
    style: Style
    index: int
    chosen: bool


def picture(
    plot: CurvesPlot,
    *,
    width: int,
    height: int,
    palette: Palette,
    chosen: str = "",
    panel: int = 0,
) -> Picture:
    """The panels of a figure within width × height: all, or those around `panel` that have room.

    The chosen series lies on top and has its sign at every point; the others fade.
    """
    columns = across(len(plot.panels), width, height)
    rows = math.ceil(len(plot.panels) / columns)
    wide = (width - GAP * (columns - 1)) // columns
    fit = min(rows, max(1, height // LEAST))
    high = max(5, height // fit)
    top = panel // columns // fit * fit
    y_ticks, up = even_ticks(plot.y_axis, high - AROUND, min(7, (high - AROUND) // 2 + 1))
    looks = _looks(plot, palette, chosen)
    lines: list[Line] = []
    frames: dict[int, Frame] = {}
    for first in range(top * columns, min((top + fit) * columns, len(plot.panels)), columns):
        blocks = []
        for number, shown in enumerate(plot.panels[first : first + columns], first):
            of = f"  {number + 1} of {len(plot.panels)}" if fit < rows else ""
            block, frame = _panel(shown, plot, wide, high, (y_ticks, up), palette, looks, of)
            blocks.append(block)
            frames[number] = frame.moved((number - first) * (wide + GAP), len(lines))
        lines += beside(blocks, GAP)
    return Picture([padded(line, width) for line in lines], frames)


def across(panels: int, width: int, height: int) -> int:
    """The number of panels side by side, about as many in each row."""
    if panels <= 1:
        return 1
    roomy = width >= SIDE_BY_SIDE
    cramped = height // panels < LOW + 3 and width >= 2 * NARROWEST
    if not roomy and not cramped:
        return 1
    most = max(1, min(panels, width // NARROWEST, 3 if panels > 4 else panels))
    return -(-panels // -(-panels // most))


def apart_where_hidden(plot: CurvesPlot, width: int, height: int) -> bool:
    """Do lines of a single panel hide one another within width × height, while a panel for each
    would fit and show them?"""
    panels = split(plot)
    if len(plot.panels) > 1 or panels is plot or not coincide(plot, _rows(plot, width, height)):
        return False
    rows = _rows(panels, width, height)
    return rows >= LOW - AROUND and not coincide(panels, rows)


def _rows(plot: CurvesPlot, width: int, height: int) -> int:
    """The rows of a panel's canvas where all panels are drawn."""
    count = len(plot.panels)
    return max(1, height // math.ceil(count / across(count, width, height)) - AROUND)


def _panel(
    panel: CurvePanel,
    plot: CurvesPlot,
    width: int,
    height: int,
    values: tuple[list[Tick], tuple[float, float]],
    palette: Palette,
    looks: dict[str, Look],
    of: str,
) -> tuple[list[Line], Frame]:
    y_ticks, up = values
    gutter = max([len(plot.x_title), *(len(tick.label) for tick in y_ticks)])
    gutter = min(gutter, width // 3)
    across = plot.x_axis.low, plot.x_axis.high
    frame = Frame(gutter + 1, 1, width - gutter - 1, height - AROUND, across, up)
    dim, text = Style(color=palette.dim), Style(color=palette.text)
    canvas = _canvas(panel, frame, palette, looks)
    rows: list[Line] = [_title(panel.title + of, gutter, width, palette)]
    for left, cells in zip(y_axis(y_ticks, frame, gutter, palette), canvas, strict=True):
        rows.append([*left, *joined(cells)])
    longest = max(8, frame.width // len(plot.x_names) - 1) if plot.x_names else None
    axis, numbers = x_axis(plot.x_ticks(max(2, frame.width // 6)), frame, longest)
    rows.append([Segment(" " * gutter), Segment("└" + axis, dim)])
    rows.append([Segment(exactly(plot.x_title, gutter, "right") + " ", dim)])
    rows[-1].append(Segment(numbers, text))
    return [padded(row, width) for row in rows], frame


def _title(title: str, gutter: int, width: int, palette: Palette) -> Line:
    name = cut(title, width - gutter - 2)
    return [Segment(" " * (gutter + 2)), Segment(name, Style(color=palette.text, bold=True))]


def _looks(plot: CurvesPlot, palette: Palette, chosen: str) -> dict[str, Look]:
    """The sign and style of every series, the same in all panels."""
    looks: dict[str, Look] = {}
    for curve in plot.curves:
        style = palette.line(curve.index, curve.faint)
        if chosen:
            same = curve.name == chosen
            style = style + Style(bold=True) if same else palette.faint(style)
        mark = sign(curve.index, curve.faint)
        looks[curve.name] = Look(mark, style, curve.index, curve.name == chosen)
    return looks


def _canvas(
    panel: CurvePanel, frame: Frame, palette: Palette, looks: dict[str, Look]
) -> list[Cells]:
    """The lines of a panel with their signs; the chosen one is on top."""
    order = sorted(panel.upwards, key=lambda curve: looks[curve.name].chosen)
    drawn = [
        Stroke([x for x, _, _ in run], [y for _, y, _ in run], looks[curve.name].style)
        for curve in order
        for run in curve.runs()
        if len(run) > 1
    ]
    edges = [
        Stroke([x for x, _ in edge], [y for _, y in edge], palette.faint(looks[curve.name].style))
        for curve in order
        for edge in curve.edges()
        if len(edge) > 1
    ]
    canvas = strokes(
        [*edges, *drawn],
        width=frame.width,
        height=frame.height,
        x_range=frame.x_range,
        y_range=frame.y_range,
    )
    if frame.y_range[0] < 0 < frame.y_range[1]:
        zero = canvas[frame.row(0) - frame.top]
        faint = Style(color=palette.dim, dim=True)
        zero[:] = [("╌", faint) if c == (" ", None) else c for c in zero]
    for (row, column), candidates in _signs(order, frame, looks).items():
        look = (
            candidates[-1]
            if candidates[-1].chosen
            else candidates[column // SPACING % len(candidates)]
        )
        canvas[row][column] = (look.sign, look.style)
    return canvas


def _signs(
    order: list[Curve], frame: Frame, looks: dict[str, Look]
) -> dict[tuple[int, int], list[Look]]:
    """The signs of each cell of the canvas; several in one cell take turns."""
    looks_at: dict[tuple[int, int], list[Look]] = {}
    for curve in order:
        look = looks[curve.name]
        points = [point for run in curve.runs() for point in run]
        every = max(1, math.ceil(SPACING / (frame.width / max(1, len(curve.xs)))))
        shift = look.index * every // max(1, len(looks)) if every > 1 else 0
        if look.chosen:
            every = max(1, math.ceil(2 * len(curve.xs) / frame.width))
        for index, (x, y, _) in enumerate(points):
            if (index - shift) % every == 0 or len(points) == 1:
                place = frame.row(y) - frame.top, frame.column(x) - frame.left
                looks_at.setdefault(place, []).append(look)
    return looks_at
