"""A whole figure as text, for a terminal or a fenced block. Owns titles, footnotes and widths."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.segment import Segment
from rich.style import Style

from app.render.terminal import bars, curves, grids, passages, scatters, tables
from app.render.terminal.legends import scale_legend, series_legend
from app.render.terminal.lines import Line, fitted, folded, padded, text_of
from app.render.terminal.palette import Palette, on
from app.text import plain
from core.figures.figure import Figure, Table
from core.figures.plots.curves import CurvesPlot
from core.figures.plots.grids import BarsPlot, BoxesPlot, GridPlot
from core.figures.plots.multiples import split
from core.figures.plots.passages import PassagesPlot
from core.figures.plots.plot import EMPTY, Plot
from core.figures.plots.resolution import resolve
from core.figures.plots.scatters import PointsPlot
from core.figures.plots.tables import arrange
from core.figures.plots.values import UNDEFINED
from core.figures.views import Kind

NARROWEST = 24
_ENDLESS = 100_000
"""The width of a table without any cut."""


def draw(
    figure: Figure, kind: Kind | str, *, width: int, height: int, colour: bool, whole: bool = False
) -> str:
    """The figure as text, at most `width` wide. `whole`, for a file: every row and column of a
    table in full, at any width, and the whole of a text.

    Curves and points take about `height` rows, a table or a text at most that many; matrices,
    heat maps and bars take a row for each row of data. Without colour every value is written out
    as a number.
    """
    width = max(NARROWEST, width)
    palette = on("dark")
    if isinstance(figure, Table):
        width, height = (_ENDLESS, len(figure.rows) + 100) if whole else (width, height)
        title, body = figure.title, _rows(figure, width, height, palette)
    else:
        plot = resolve(figure, kind)
        height = _ENDLESS if whole and isinstance(plot, PassagesPlot) else height
        title, body = plot.heading, _said(getattr(plot, "note", ""), width)
        if plot.is_drawable:
            body = _BODIES[type(plot)](plot, width, height, palette, colour)
    heading = [Segment(fitted(title, width).rstrip(), Style(bold=True))]
    lines = (heading, *body)
    return text_of(lines if whole else (padded(line, width) for line in lines), colour)


def _curves(plot: CurvesPlot, width: int, height: int, palette: Palette, _: bool) -> list[Line]:
    legend = series_legend(plot, width, palette)
    if curves.apart_where_hidden(plot, width, height - len(legend) - 1):
        plot = split(plot)
    rows = math.ceil(len(plot.panels) / curves.across(len(plot.panels), width, height))
    least = 7 * rows
    room = max(least, height - len(legend) - 1)
    drawn = curves.picture(plot, width=width, height=room, palette=palette)
    return [*legend, *drawn.lines, *_footnote(plot, width, palette)]


def _grid(plot: GridPlot, width: int, _: int, palette: Palette, colour: bool) -> list[Line]:
    layout = grids.layout(plot, width, 10_000, colour=colour)
    written = max(map(len, map(grids.interval_below, plot.values())), default=0)
    stacked = 1 + plot.stacked + (0 < written < layout.cell)
    fit = max(1, (width - layout.label) // layout.cell)
    flat = replace(layout, tall=stacked, halves=False)
    lines: list[Line] = []
    for first in range(0, len(plot.columns), fit):
        part = plot.columns_from(first, fit)
        painter = grids.Painter(part, flat, palette, colour)
        lines += painter.headings()
        lines += [painter.line(y) for y in range(flat.rows(part))]
    # Undefined values have a line of their own.
    notes = [note for note in plot.remarks(dense=False) if not note.startswith(UNDEFINED)]
    lines += scale_legend(plot.scale, width, palette, colour=colour, notes=notes)
    return [*lines, *_footnote(plot, width, palette)]


def _bars(plot: BarsPlot, width: int, _: int, palette: Palette, colour: bool) -> list[Line]:
    painter = bars.Painter(plot, width, palette, colour)
    lines = [*(painter.line(y) for y in range(len(painter.places))), *painter.foot()]
    return [*lines, *_footnote(plot, width, palette)]


def _points(plot: PointsPlot, width: int, height: int, palette: Palette, _: bool) -> list[Line]:
    legend = scatters.legend(plot, width, palette)
    room = max(10, height - len(legend) - 1)
    return [*legend, *scatters.picture(plot, width=width, height=room, palette=palette).lines]


def _text(plot: PassagesPlot, width: int, height: int, palette: Palette, _: bool) -> list[Line]:
    """The first rows, as many as fit, and the count of the others."""
    rows = [each.line for each in passages.lines(plot, width, palette)]
    room = max(1, height - 1)
    if len(rows) > room:
        more = Segment(f"… and {len(rows) - room + 1:,} more lines", Style(color=palette.dim))
        rows = [*rows[: room - 1], [more]]
    return rows


_BODIES: dict[type, Callable[[Any, int, int, Palette, bool], list[Line]]] = {
    CurvesPlot: _curves,
    GridPlot: _grid,
    BarsPlot: _bars,
    BoxesPlot: _bars,
    PointsPlot: _points,
    PassagesPlot: _text,
}


def _said(why: str, width: int) -> list[Line]:
    """The words in place of a figure without values."""
    return [[Segment(line)] for line in folded(f"{EMPTY} {plain(why)}", width)]


def _rows(figure: Table, width: int, height: int, palette: Palette) -> list[Line]:
    """The values that all rows share, the first rows that fit, and the count of the others."""
    if not figure.rows:
        return _said(figure.note, width)
    plot = arrange(figure)
    above = folded(tables.in_common(plot), width) if plot.shared else []
    below = folded(plain(figure.note), width)
    widest = width if width == _ENDLESS else tables.WIDEST
    part = replace(plot, shown=replace(plot.shown, rows=plot.shown.rows[:height]))
    widths = tables.squeezed(part, tables.natural_widths(part.shown, widest), width)
    painter = tables.Painter(part.shown, widths, palette)
    heading = painter.heading()
    room = max(1, height - 1 - len(heading) - len(above) - len(below))
    if len(figure.rows) > room:
        room = max(1, room - 1)
        below.insert(0, f"… and {len(figure.rows) - room:,} more")
    lines = [*heading, *map(painter.line, range(min(room, len(figure.rows))))]
    dim = Style(color=palette.dim)
    first, last = ([[Segment(fitted(w, width).rstrip(), dim)] for w in ws] for ws in (above, below))
    return [*first, *lines, *last]


def _footnote(plot: Plot, width: int, palette: Palette) -> list[Line]:
    """The reason of undefined values."""
    if not any(entry.symbol == "undefined" for entry in plot.legend()):
        return []
    words = plain(f"{UNDEFINED} {plot.undefined}")
    return [[Segment(fitted(words, width).rstrip(), Style(color=palette.dim))]]
