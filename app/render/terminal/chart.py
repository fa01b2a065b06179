"""A whole figure as text, for a terminal or a fenced block. Owns titles, footnotes and widths."""

from __future__ import annotations

import textwrap
from dataclasses import replace

from rich.segment import Segment
from rich.style import Style

from app.render.terminal import bars, curves, grids, scatters, tables
from app.render.terminal.legends import grid_notes, scale_legend, series_legend
from app.render.terminal.lines import Line, fitted, padded, text_of
from app.render.terminal.palette import Palette, on
from app.render.terminal.scales import EMPTY, UNDEFINED, has_undefined, scale_of
from app.text import plain
from core.figures.figure import Figure, Grid, Lines, Scatter, Table
from core.figures.views import Kind

NARROWEST = 24


def draw(figure: Figure, kind: Kind | str, *, width: int, height: int, colour: bool) -> str:
    """The figure as text, never wider than `width`.

    Curves and points take about `height` rows, a table at most that many; matrices, heat maps and
    bars take a row for each row of data. Without colour every value is written out as a number.
    """
    width = max(NARROWEST, width)
    palette = on("dark")
    body: list[Line]
    if isinstance(figure, Lines):
        body = _curves(figure, width, height, palette)
    elif isinstance(figure, Scatter):
        body = _points(figure, width, height, palette)
    elif isinstance(figure, Table):
        body = _rows(figure, width, height, palette)
    elif kind == "bars":
        body = _bars(figure, width, palette, colour)
    else:
        body = _grid(figure, width, palette, colour)
    title = [Segment(fitted(_heading(figure), width).rstrip(), Style(bold=True))]
    lines = [title, *body, *_footnotes(figure, width, palette)]
    return text_of((padded(line, width) for line in lines), colour)


def _heading(figure: Figure) -> str:
    if isinstance(figure, Table) or not figure.unit:
        return figure.title
    what, dot, where = figure.title.partition(" · ")
    return f"{what} [{figure.unit}]{dot}{where}"  # a place may end in a unit of its own: top-1%


def _curves(figure: Lines, width: int, height: int, palette: Palette) -> list[Line]:
    if not any(panel.series for panel in figure.panels):
        return [[Segment(EMPTY)]]
    legend = series_legend(figure, width, palette)
    stacked = curves.across(len(figure.panels), width, height) == 1
    least = 7 * (len(figure.panels) if stacked else 1)
    room = max(least, height - len(legend) - 1)
    drawn = curves.picture(figure, width=width, height=room, palette=palette)
    return [*legend, *drawn.lines]


def _grid(figure: Grid, width: int, palette: Palette, colour: bool) -> list[Line]:
    if not figure.rows or not figure.columns:
        return [[Segment(EMPTY)]]
    plan = grids.layout(figure, width, 10_000, colour=colour)
    fit = max(1, (width - plan.label) // plan.cell)
    lines: list[Line] = []
    for part in grids.chunks(figure, fit):
        flat = grids.Layout(plan.label, plan.cell, 1, False, plan.numbers)
        painter = grids.Painter(part, flat, palette, colour, whole=figure)
        lines.append(painter.heading())
        lines += [painter.line(y) for y in range(len(part.rows))]
    scale = scale_of(figure)
    notes = [note for note in grid_notes(figure) if UNDEFINED not in note]  # it has its own line
    lines.append(scale_legend(scale, width, palette, colour=colour, notes=notes))
    return lines


def _bars(figure: Grid, width: int, palette: Palette, colour: bool) -> list[Line]:
    if not figure.rows or not figure.columns:
        return [[Segment(EMPTY)]]
    painter = bars.Painter(figure, width, palette, colour)
    lines = [painter.line(y) for y in range(len(painter.places))]
    words = "   ".join(bars.notes(figure))
    return [*lines, [Segment(words, Style(color=palette.dim))]] if words else lines


def _points(figure: Scatter, width: int, height: int, palette: Palette) -> list[Line]:
    if not scatters.drawable(figure):
        return [[Segment(EMPTY)]]
    legend = scatters.legend(figure, width, palette)
    room = max(10, height - len(legend) - 1)
    return [*legend, *scatters.picture(figure, width=width, height=room, palette=palette).lines]


def _rows(figure: Table, width: int, height: int, palette: Palette) -> list[Line]:
    """The first rows, as many as fit, and how many there are besides."""
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


def _footnotes(figure: Figure, width: int, palette: Palette) -> list[Line]:
    if isinstance(figure, Scatter | Table) or not has_undefined(figure):  # points say it above
        return []
    words = f"{UNDEFINED} undefined: {plain(figure.empty) or 'no value'}"
    return [[Segment(fitted(words, width).rstrip(), Style(color=palette.dim))]]
