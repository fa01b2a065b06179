"""Figures of text for print: the rows of the terminal's painter, token by token on the sheet."""

from __future__ import annotations

from matplotlib.figure import Figure as Sheet
from rich.segment import Segment

from app.render.print.sheet import INK, PAGE, PALETTE, SMALL, TALLEST, sheet, written
from app.render.terminal.lines import Line
from app.render.terminal.passages import lines
from core.figures.plots.passages import PassagesPlot

FONT = "DejaVu Sans Mono"
"""Comes with matplotlib. All characters are of one width, so rows are wrapped by counting."""
WIDTH = 0.602 * SMALL / 72
"""Inches of a character."""
ROW = 1.35 * SMALL / 72
"""Inches of a row."""
MARGIN = 0.15


def draw(plot: PassagesPlot) -> Sheet:
    """The text at the width of a page; a longer text ends in a count of the remaining lines."""
    columns = int((PAGE - 2 * MARGIN) / WIDTH)
    rows = [each.line for each in lines(plot, columns, PALETTE)]
    most = int((TALLEST - 2 * MARGIN) / ROW) - 1
    if len(rows) > most:
        rows = [*rows[: most - 1], [Segment(f"… and {len(rows) - most + 1:,} more lines")]]
    heading: list[Line] = [[Segment(written(plot.heading)[:columns])]]
    height = (len(rows) + 1) * ROW + 2 * MARGIN
    drawn = sheet(PAGE, height)
    drawn.set_layout_engine("none")
    for i, row in enumerate([*heading, *rows]):
        _row(drawn, row, 1 - (MARGIN + (i + 0.8) * ROW) / height, strong=i == 0)
    return drawn


def _row(drawn: Sheet, row: Line, y: float, *, strong: bool) -> None:
    """Each segment at its column, so that nothing is measured."""
    column = 0
    for segment in row:
        style, text = segment.style, written(segment.text)
        if text.strip():
            ground = style.bgcolor.name if style and style.bgcolor else None
            bold = strong or bool(style and style.bold)
            ink = style.color.name if style and style.color else INK
            drawn.text(
                (MARGIN + column * WIDTH) / PAGE, y, text, family=FONT, size=SMALL, color=ink,
                weight="bold" if bold else "normal", va="baseline",
                bbox={"facecolor": ground, "edgecolor": "none", "pad": 0.4} if ground else None,
            )  # fmt: skip
        column += len(text)
