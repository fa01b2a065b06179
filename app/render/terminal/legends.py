"""Legends: which sign is which series, and what the colours of a scale are worth."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.curves import places_of, sign
from app.render.terminal.lines import Line, fitted, length, padded
from app.render.terminal.names import CONTROL_WORDS, has_controls
from app.render.terminal.palette import MARK, STEPS, Palette, hex_of
from app.render.terminal.scales import NULL_MARK, UNDEFINED, Scale, formatter, has_undefined
from app.text import plain
from core.figures.figure import Grid, Lines, Series
from core.figures.significance import null_words

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
    """Sign, name and (where given) value of every series, in columns, in as few rows as fit."""
    own = places_of(figure)
    said = [f" {value}" for value in values]
    entries = [
        _entry(own[series.name], series, width, palette, "".join(said[at : at + 1]), at == chosen)
        for at, series in enumerate(series_of(figure))
    ]
    for across in range(max(1, len(entries)), 0, -1):
        sizes = [max(map(length, entries[at::across])) for at in range(min(across, len(entries)))]
        if sum(sizes) - 2 <= width:
            break
    return [
        [
            segment
            for entry, size in zip(entries[at : at + across], sizes, strict=False)
            for segment in padded(entry, size)
        ]
        for at in range(0, max(1, len(entries)), across)
    ]


def grid_notes(grid: Grid, *, dense: bool = False) -> list[str]:
    """What the marks in a matrix or heat map mean, as far as it has them."""
    notes = []
    values = {cell.shown for cell in grid.measured()} - {None}
    if grid.signed and values == {0.0}:
        notes.append("every value is 0")
    null = null_words(grid.measured(), in_full=True)
    if null:
        notes.append(f"blank: {null}" if dense else f"dim {NULL_MARK} {null}")
    if has_undefined(grid):
        notes.append(f"{UNDEFINED} undefined")
    if has_controls(grid):
        notes.append(CONTROL_WORDS)
    if any(cell.mark for cell in grid.measured()):
        notes.append(f"{MARK} {plain(grid.mark_name)}")
    return notes


def scale_legend(
    scale: Scale,
    width: int,
    palette: Palette,
    *,
    colour: bool = True,
    notes: Sequence[str] = (),
) -> Line:
    """The ends of a scale with its ramp between them, then as many of the notes as fit."""
    write = formatter([scale.low, scale.high], scale.signed)
    text, dim = Style(color=palette.text), Style(color=palette.dim)
    low, high = write(scale.low), write(scale.high)
    if not colour:
        line = [Segment(f"scale from {low} to {high}"[:width])]
    else:
        room = width - len(low) - len(high) - 2
        size = max(4, min(24, room - sum(len(note) + 3 for note in notes)))
        size = max(size, min(8, room))
        ramp = palette.ramp(scale.signed)
        colours = [hex_of(ramp[round(i * (STEPS - 1) / (size - 1))]) for i in range(size)]
        line = [Segment(low + " ", text), *(Segment("█", Style(color=c)) for c in colours)]
        line.append(Segment(" " + high, text))
    for note in notes:
        if length(line) + len(note) + 3 <= width:
            line.append(Segment(f"   {note}", dim if colour else None))
    return line


def _entry(
    index: int,
    series: Series,
    width: int,
    palette: Palette,
    value: str,
    chosen: bool,
) -> Line:
    style = palette.line(index, series.faint)
    name = fitted(series.name, min(cell_len(series.name), LONGEST_NAME, width - 4))
    if series.control:
        name += " (control)"
    strong = style + Style(bold=True, underline=chosen)
    return [
        Segment(sign(index, series) + " ", style),
        Segment(name, strong),
        Segment(value, Style(color=palette.text, bold=chosen)),
        Segment("  "),
    ]
