"""Legends: the sign of each series, and the values of the colours of a scale."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.lines import Line, fitted, length, padded
from app.render.terminal.palette import Palette, hex_of, sign, step
from app.text import plain
from core.figures.plots.plot import Entry, Plot
from core.figures.plots.ranges import Scale

LONGEST_NAME = 28


def series_legend(
    plot: Plot, width: int, palette: Palette, values: Sequence[str] = (), chosen: int = -1
) -> list[Line]:
    """Sign, name and (where given) value of every series, in columns, in as few rows as fit."""
    shown = [f" {value}" for value in values]
    entries = [
        _entry(entry, width, palette, "".join(shown[index : index + 1]), index == chosen)
        for index, entry in enumerate(e for e in plot.legend() if e.symbol == "series")
    ]
    for across in range(max(1, len(entries)), 0, -1):
        sizes = [
            max(map(length, entries[index::across])) for index in range(min(across, len(entries)))
        ]
        if sum(sizes) - 2 <= width:
            break
    return [
        [
            segment
            for entry, size in zip(entries[index : index + across], sizes, strict=False)
            for segment in padded(entry, size)
        ]
        for index in range(0, max(1, len(entries)), across)
    ]


def scale_legend(
    scale: Scale,
    width: int,
    palette: Palette,
    *,
    colour: bool = True,
    notes: Sequence[str] = (),
    spare: int = 0,
) -> list[Line]:
    """The ends of a scale with its ramp between them, then the notes, in as many lines as those
    take; the first line leaves `spare` cells at its end."""
    text, dim = Style(color=palette.text), Style(color=palette.dim)
    low, high = scale.ends
    if not colour:
        line = [Segment(f"scale from {low} to {high}"[:width])]
    else:
        room = width - spare - len(low) - len(high) - 2
        size = max(4, min(24, room - sum(len(note) + 3 for note in notes)))
        size = max(size, min(8, room))
        ramp = palette.ramp(scale.ramp)
        colours = [hex_of(ramp[step(tone)]) for tone in scale.tones(size)]
        line = [Segment(low + " ", text), *(Segment("█", Style(color=c)) for c in colours)]
        line.append(Segment(" " + high, text))
    lines = [line]
    for note in map(plain, notes):
        if cell_len(note) > width:
            lines += [[Segment(part, dim if colour else None)] for part in wrap(note, width)]
        elif length(lines[-1]) + cell_len(note) + 3 <= width - spare * (len(lines) == 1):
            lines[-1].append(Segment(f"   {note}", dim if colour else None))
        else:
            lines.append([Segment(note, dim if colour else None)])
    return lines


def _entry(entry: Entry, width: int, palette: Palette, value: str, chosen: bool) -> Line:
    style = palette.line(entry.index, entry.faint)
    name = fitted(entry.text, min(cell_len(entry.text), LONGEST_NAME, width - 4)) + entry.after
    strong = style + Style(bold=True, underline=chosen)
    return [
        Segment(sign(entry.index, entry.faint) + " ", style),
        Segment(name, strong),
        Segment(value, Style(color=palette.text, bold=chosen)),
        Segment("  "),
    ]
