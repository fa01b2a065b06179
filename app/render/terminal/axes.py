"""Axes of a panel of curves or points: its area, the cell of each value, and its ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.canvas import cell_of
from app.render.terminal.lines import Line, cut, exactly
from app.render.terminal.palette import Palette
from core.figures.plots.ranges import Axis, Tick, labelled, share


@dataclass(frozen=True, slots=True)
class Frame:
    """The place of a panel's canvas in its picture, and the ranges that it shows."""

    left: int
    top: int
    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def column(self, x: float) -> int:
        """The column that shows this x."""
        return self.left + cell_of(share(x, *self.x_range), self.width)

    def row(self, y: float) -> int:
        """The row that shows this y."""
        return self.top + self.height - 1 - cell_of(share(y, *self.y_range), self.height)

    def moved(self, left: int, top: int) -> Frame:
        """The same frame elsewhere."""
        return Frame(
            self.left + left, self.top + top, self.width, self.height, self.x_range, self.y_range
        )


def x_axis(ticks: Sequence[Tick], frame: Frame, longest: int | None = None) -> tuple[str, str]:
    """The axis below the canvas and its labels, as many as fit, each cut to `longest`."""
    axis, words = ["─"] * frame.width, ""
    for tick in ticks:
        label = cut(tick.label, longest or frame.width)
        size = cell_len(label)
        column = frame.column(tick.at) - frame.left
        start = min(max(0, column - (size - 1) // 2), frame.width - size)
        taken = cell_len(words)
        if start >= (taken + 1 if words else 0):
            axis[column] = "┬"
            words += " " * (start - taken) + label
    return "".join(axis), exactly(words, frame.width)


def even_ticks(axis: Axis, rows: int, at_most: int) -> tuple[list[Tick], tuple[float, float]]:
    """Ticks at equal distances in rows, and the range of the rows, which begins at a tick and may
    end above the last one. The densest ticks that waste few rows."""

    def used(ticks: list[Tick]) -> float:
        if len(ticks) < 2 or ticks[1].at == ticks[0].at:  # values that hardly differ
            return 0.0
        step, apart = ticks[1].at - ticks[0].at, _apart(axis, ticks, rows)
        return (axis.high - axis.low) / step * apart / max(1, rows - 1)

    offers = [axis.ticks(most) for most in range(3, max(3, at_most) + 1)]
    ticks = max(offers, key=lambda offer: (round(used(offer), 1), len(offer)))
    low = ticks[0].at
    apart = _apart(axis, ticks, rows) if used(ticks) else 0
    if not apart:  # more ticks than rows, or values that hardly differ
        return ticks, (low, ticks[-1].at)
    step = ticks[1].at - low
    whole = labelled([low + step * i for i in range((rows - 1) // apart + 1)])
    return whole, (low, low + step * (rows - 1) / apart)


def _apart(axis: Axis, ticks: list[Tick], rows: int) -> int:
    """The most rows between two ticks with which all values fit: the last tick may have no row."""
    steps = (axis.high - ticks[0].at) / (ticks[1].at - ticks[0].at)
    return int((rows - 1) / max(1.0, steps) + 1e-9)


def y_axis(ticks: Sequence[Tick], frame: Frame, gutter: int, palette: Palette) -> list[Line]:
    """The labels and the line to the left of each row of the canvas."""
    marks = {frame.row(tick.at): tick.label for tick in ticks}
    text, dim = Style(color=palette.text), Style(color=palette.dim)
    return [
        [
            Segment(exactly(marks.get(row, ""), gutter, "right"), text),
            Segment("┤" if row in marks else "│", dim),
        ]
        for row in range(frame.top, frame.top + frame.height)
    ]
