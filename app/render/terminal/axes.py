"""Axes of a panel of curves or points: its area, the cell of each value, and its ticks."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len

from app.render.terminal.canvas import cell_of
from app.render.terminal.lines import exactly, fitted
from app.render.terminal.scales import shown, ticks
from app.text import plain
from core.figures.figure import Lines


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a panel's canvas lies in its picture, and the ranges that it shows."""

    left: int
    top: int
    width: int
    height: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def column(self, x: float) -> int:
        """The column that shows this x."""
        return self.left + cell_of(_share(x, self.x_range), self.width)

    def row(self, y: float) -> int:
        """The row that shows this y."""
        return self.top + self.height - 1 - cell_of(_share(y, self.y_range), self.height)

    def moved(self, left: int, top: int) -> Frame:
        """The same frame elsewhere."""
        return Frame(
            self.left + left, self.top + top, self.width, self.height, self.x_range, self.y_range
        )


def x_range(figure: Lines) -> tuple[float, float]:
    """The layers that a figure covers, and the one beside it."""
    both = (figure,) if figure.beside is None else (figure, figure.beside)
    panels = [panel for each in both for panel in each.panels]
    xs = [x for panel in panels for series in panel.series for x in series.xs] or [0]
    low, high = min(xs), max(xs)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def y_range(figure: Lines, rows: int) -> list[float]:
    """The ticks of the values, the ends of the range among them."""
    values = shown(figure) or [0.0, 1.0]
    low, high = min(values), max(values)
    if low > 0 and low < 0.6 * high:
        low = 0.0
    return ticks(low, high, max(3, min(7, rows // 2 + 1)))


def x_marks(figure: Lines, width: int) -> list[tuple[float, str]]:
    """The places below the curves and what is written there: names, or whole numbers."""
    if figure.x_names:
        longest = max(4, width // len(figure.x_names) - 1)
        return [
            (x, fitted(name, min(cell_len(plain(name)), longest)).rstrip())
            for x, name in enumerate(figure.x_names)
        ]
    low, high = x_range(figure)
    most = max(2, width // 6)
    return [(t, str(int(t))) for t in ticks(low, high, most) if low <= t <= high and t == int(t)]


def x_axis(marks: list[tuple[float, str]], frame: Frame) -> tuple[str, str]:
    """The line below the canvas and the words below that, as many as fit."""
    axis, words = ["─"] * frame.width, ""
    for x, label in marks:
        size = cell_len(label)
        column = frame.column(x) - frame.left
        start = min(max(0, column - (size - 1) // 2), frame.width - size)
        taken = cell_len(words)
        if start >= (taken + 1 if words else 0):
            axis[column] = "┬"
            words += " " * (start - taken) + label
    return "".join(axis), exactly(words, frame.width)


def _share(value: float, limits: tuple[float, float]) -> float:
    low, high = limits
    return min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 0.5
