"""A whole figure as text, for a terminal or a fenced block. Owns titles, footnotes and widths."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.segment import Segment
from rich.style import Style

from app.render.terminal import bars, curves, grids, scatters, tables
from app.render.terminal.legends import scale_legend, series_legend
from app.render.terminal.lines import Line, fitted, padded, text_of
from app.render.terminal.palette import Palette, on
from app.text import plain
from core.figures.figure import Figure, Table
from core.figures.plots.curves import CurvesPlot
from core.figures.plots.grids import BarsPlot, GridPlot
from core.figures.plots.plot import EMPTY, Plot
from core.figures.plots.resolution import resolve
from core.figures.plots.scatters import PointsPlot
from core.figures.plots.values import UNDEFINED
from core.figures.views import Kind

NARROWEST = 24


def draw(figure: Figure, kind: Kind | str, *, width: int, height: int, colour: bool) -> str:
    """The figure as text, never wider than `width`.

    Curves and points take about `height` rows, a table at most that many; matrices, heat maps and
    bars take a row for each row of data. Without colour every value is written out as a number.
    """
    width = max(NARROWEST, width)
    palette = on("dark")
    if isinstance(figure, Table):
        title, body = figure.title, _rows(figure, width, height, palette)
    else:
        plot = resolve(figure, kind)
        title, body = plot.heading, [[Segment(EMPTY)]]
        if plot.is_drawable:
            body = _BODIES[type(plot)](plot, width, height, palette, colour)
    heading = [Segment(fitted(title, width).rstrip(), Style(bold=True))]
    return text_of((padded(line, width) for line in (heading, *body)), colour)


def _curves(plot: CurvesPlot, width: int, height: int, palette: Palette, _: bool) -> list[Line]:
    legend = series_legend(plot, width, palette)
    stacked = curves.across(len(plot.panels), width, height) == 1
    least = 7 * (len(plot.panels) if stacked else 1)
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
    lines = [painter.line(y) for y in range(len(painter.places))]
    words = "   ".join(bars.notes(plot))
    if words:
        lines.append([Segment(words, Style(color=palette.dim))])
    return [*lines, *_footnote(plot, width, palette)]


def _points(plot: PointsPlot, width: int, height: int, palette: Palette, _: bool) -> list[Line]:
    legend = scatters.legend(plot, width, palette)
    room = max(10, height - len(legend) - 1)
    return [*legend, *scatters.picture(plot, width=width, height=room, palette=palette).lines]


_BODIES: dict[type, Callable[[Any, int, int, Palette, bool], list[Line]]] = {
    CurvesPlot: _curves,
    GridPlot: _grid,
    BarsPlot: _bars,
    PointsPlot: _points,
}


def _rows(figure: Table, width: int, height: int, palette: Palette) -> list[Line]:
    """The first rows, as many as fit, and the count of the rest."""
    if not figure.rows:
        return [[Segment(EMPTY)]]
    dim = Style(color=palette.dim)
    notes = textwrap.wrap(plain(figure.note), width)
    room = max(1, height - 2 - len(notes))
    if len(figure.rows) > room:
        room = max(1, room - 1)
        notes.insert(0, f"… and {len(figure.rows) - room:,} more")
    part = replace(figure, rows=figure.rows[:room])
    widths = tables.squeezed(part, tables.natural_widths(part), width)
    painter = tables.Painter(part, widths, palette)
    lines = [painter.heading(), *(painter.line(i) for i in range(len(part.rows)))]
    return [*lines, *([Segment(fitted(note, width).rstrip(), dim)] for note in notes)]


def _footnote(plot: Plot, width: int, palette: Palette) -> list[Line]:
    """The reason of undefined values."""
    if not any(entry.symbol == "undefined" for entry in plot.legend()):
        return []
    words = plain(f"{UNDEFINED} {plot.undefined}")
    return [[Segment(fitted(words, width).rstrip(), Style(color=palette.dim))]]
