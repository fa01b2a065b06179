"""Legends: which sign is which series, and what the colours of a scale are worth."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.charts.curves import sign
from app.charts.lines import Line, fitted
from app.charts.palette import STEPS, Palette, hex_of
from app.charts.scales import Scale, formatter
from core.views import Lines, Series

LONGEST_NAME = 28


def series_of(figure: Lines) -> list[Series]:
    """The series of a figure, each once, in order."""
    found: dict[str, Series] = {}
    for panel in figure.panels:
        for series in panel.series:
            found.setdefault(series.name, series)
    return list(found.values())


def series_legend(
    figure: Lines, width: int, palette: Palette, values: Sequence[str] = (), chosen: int = -1
) -> list[Line]:
    """Sign, name and (where given) value of every series, in as many rows as they need."""
    rows: list[Line] = [[]]
    used = 0
    for index, series in enumerate(series_of(figure)):
        style = palette.line(index, series.control)
        name = fitted(series.name, min(cell_len(series.name), LONGEST_NAME, width - 4))
        if series.control:
            name += " (control)"
        value = f" {values[index]}" if index < len(values) else ""
        size = 2 + cell_len(name) + len(value) + 2
        if used and used + size > width:
            rows.append([])
            used = 0
        strong = style + Style(bold=True, underline=index == chosen)
        rows[-1] += [Segment(sign(index, series) + " ", style), Segment(name, strong)]
        rows[-1] += [Segment(value, Style(color=palette.text)), Segment("  ")]
        used += size
    return rows


def scale_legend(
    scale: Scale, width: int, palette: Palette, *, colour: bool = True, undefined: bool = False
) -> Line:
    """The ends of a scale with its ramp between them."""
    write = formatter([scale.low, scale.high], scale.signed)
    text, dim = Style(color=palette.text), Style(color=palette.dim)
    low, high = write(scale.low), write(scale.high)
    if not colour:
        return [Segment(f"range {low} to {high}"[:width])]
    size = max(4, min(24, width - len(low) - len(high) - 20))
    ramp = palette.ramp(scale.signed)
    colours = [hex_of(ramp[round(i * (STEPS - 1) / (size - 1))]) for i in range(size)]
    line = [Segment(low + " ", text), *(Segment("█", Style(color=c)) for c in colours)]
    line.append(Segment(" " + high, text))
    if undefined:
        line.append(Segment("   · undefined", dim))
    return line
