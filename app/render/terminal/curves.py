"""Lines by layer, in panels that share their axes. Owns the frame, the ticks and the signs.

`picture` gives the rows of a figure and, for each panel, a `Frame`: which cell shows which value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

from rich.segment import Segment
from rich.style import Style

from app.render.terminal.axes import Frame, x_axis, x_marks, x_range, y_range
from app.render.terminal.canvas import Stroke, strokes
from app.render.terminal.lines import Cells, Line, beside, exactly, fitted, joined, padded
from app.render.terminal.palette import CONTROL_GLYPH, GLYPHS, Palette
from app.render.terminal.scales import tick_labels
from core.figures.figure import Cell, Lines, Panel, Series

BASE = "base"
"""What the series of the base is called."""

GAP = 2
SIDE_BY_SIDE = 100
LOW = 8
"""Rows of a panel below which panels would rather stand side by side."""
NARROWEST = 30
SPACING = 4
"""Cells between two signs on one line."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawn figure: its rows, and a frame for each panel."""

    lines: list[Line]
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Look:
    """How a series is drawn. `index` is its place among all of the figure's."""

    sign: str
    style: Style
    index: int
    chosen: bool


def picture(
    figure: Lines, *, width: int, height: int, palette: Palette, chosen: str = ""
) -> Picture:
    """All panels of a figure within width × height.

    The chosen series lies upon the others, has its sign at every point, and the others fade.
    """
    columns = across(len(figure.panels), width, height)
    rows = math.ceil(len(figure.panels) / columns)
    wide = (width - GAP * (columns - 1)) // columns
    high = max(5, height // rows)
    ranges = x_range(figure), y_range(figure, high - 3)
    looks = _looks(figure, palette, chosen)
    lines: list[Line] = []
    frames: list[Frame] = []
    for row in range(rows):
        blocks = []
        for column, panel in enumerate(figure.panels[row * columns : (row + 1) * columns]):
            block, frame = _panel(panel, figure, wide, high, ranges, palette, looks)
            blocks.append(block)
            frames.append(frame.moved(column * (wide + GAP), len(lines)))
        lines += beside(blocks, GAP)
    return Picture([padded(line, width) for line in lines], tuple(frames))


def across(panels: int, width: int, height: int) -> int:
    """How many panels stand side by side."""
    if panels <= 1:
        return 1
    roomy = width >= SIDE_BY_SIDE
    cramped = height // panels < LOW + 3 and width // panels >= NARROWEST
    if not roomy and not cramped:
        return 1
    return max(1, min(panels, width // NARROWEST, 3 if panels > 4 else panels))


def places_of(figure: Lines) -> dict[str, int]:
    """Which sign and colour every series has, by its name. The base's come last: a tuned model
    looks the same beside it and without it."""
    names = dict.fromkeys(series.name for panel in figure.panels for series in panel.series)
    return {name: at for at, name in enumerate(sorted(names, key=lambda name: name == BASE))}


def sign(index: int, series: Series) -> str:
    """The sign that marks a series, whatever the colours."""
    return CONTROL_GLYPH if series.faint else GLYPHS[index % len(GLYPHS)]


def _panel(
    panel: Panel,
    figure: Lines,
    width: int,
    height: int,
    ranges: tuple[tuple[float, float], list[float]],
    palette: Palette,
    looks: dict[str, Look],
) -> tuple[list[Line], Frame]:
    layers, y_ticks = ranges
    labels = tick_labels(y_ticks)
    gutter = min(max([len(figure.x_label), *map(len, labels)]), width // 3)
    frame = Frame(gutter + 1, 1, width - gutter - 1, height - 3, layers, (y_ticks[0], y_ticks[-1]))
    canvas = _canvas(panel, frame, palette, looks)
    dim, text = Style(color=palette.dim), Style(color=palette.text)
    marks = {frame.row(y): label for y, label in zip(y_ticks, labels, strict=True)}
    rows: list[Line] = [_title(panel.title, gutter, width, palette)]
    for row, cells in enumerate(canvas, start=1):
        label = exactly(marks.get(row, ""), gutter, "right")
        rows.append([Segment(label, text), Segment("┤" if row in marks else "│", dim)])
        rows[-1] += joined(cells)
    axis, numbers = x_axis(x_marks(figure, frame.width), frame)
    rows.append([Segment(" " * gutter), Segment("└" + axis, dim)])
    rows.append([Segment(exactly(figure.x_label, gutter, "right") + " ", dim)])
    rows[-1].append(Segment(numbers, text))
    return [padded(row, width) for row in rows], frame


def _title(title: str, gutter: int, width: int, palette: Palette) -> Line:
    name = fitted(title, min(len(title), width - gutter - 2)).rstrip()
    return [Segment(" " * (gutter + 2)), Segment(name, Style(color=palette.text, bold=True))]


def _looks(figure: Lines, palette: Palette, chosen: str) -> dict[str, Look]:
    """The sign and style of every series, the same in all panels."""
    looks: dict[str, Look] = {}
    own = places_of(figure)
    for panel in figure.panels:
        for series in panel.series:
            if series.name not in looks:
                index = own[series.name]
                style = palette.line(index, series.faint)
                if chosen:
                    same = series.name == chosen
                    style = style + Style(bold=True) if same else palette.faint(style)
                mark = sign(index, series)
                looks[series.name] = Look(mark, style, index, series.name == chosen)
    return looks


def _canvas(panel: Panel, frame: Frame, palette: Palette, looks: dict[str, Look]) -> list[Cells]:
    """The lines of a panel with their signs on them; faint ones lie beneath, the chosen on top."""
    order = sorted(panel.series, key=lambda s: (looks[s.name].chosen, not s.faint))
    drawn = [
        Stroke([x for x, _ in run], [y for _, y in run], looks[series.name].style)
        for series in order
        for run in _runs(series)
        if len(run) > 1
    ]
    canvas = strokes(
        drawn,
        width=frame.width,
        height=frame.height,
        x_range=frame.x_range,
        y_range=frame.y_range,
    )
    if frame.y_range[0] < 0 < frame.y_range[1]:
        zero = canvas[frame.row(0) - frame.top]
        faint = Style(color=palette.dim, dim=True)
        zero[:] = [("╌", faint) if c == (" ", None) else c for c in zero]
    for (row, column), found in _signs(order, frame, looks).items():
        look = found[-1] if found[-1].chosen else found[column // SPACING % len(found)]
        canvas[row][column] = (look.sign, look.style)
    return canvas


def _signs(
    order: list[Series], frame: Frame, looks: dict[str, Look]
) -> dict[tuple[int, int], list[Look]]:
    """Which signs fall on which cell of the canvas; where several do they take turns."""
    found: dict[tuple[int, int], list[Look]] = {}
    for series in order:
        look = looks[series.name]
        points = [point for run in _runs(series) for point in run]
        every = max(1, math.ceil(SPACING / (frame.width / max(1, len(series.xs)))))
        shift = look.index * every // max(1, len(looks)) if every > 1 else 0
        if look.chosen:
            every = 1
        for at, (x, y) in enumerate(points):
            if (at - shift) % every == 0 or len(points) == 1:
                place = frame.row(y) - frame.top, frame.column(x) - frame.left
                found.setdefault(place, []).append(look)
    return found


def _runs(series: Series) -> list[list[tuple[float, float]]]:
    """The points of a series, broken where a value is undefined."""
    points = zip(series.xs, series.cells, strict=True)
    return [
        [(float(x), _finite(cell) or 0.0) for x, cell in run]
        for defined, run in groupby(points, key=lambda point: _finite(point[1]) is not None)
        if defined
    ]


def _finite(cell: Cell) -> float | None:
    return cell.shown if cell.shown is not None and math.isfinite(cell.shown) else None
