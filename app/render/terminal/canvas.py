"""Strokes into braille. The only module that knows plotext: a canvas with no frame around it.

The shared figure of plotext is not thread-safe, so every picture gets a root of its own. Frames,
ticks and legends are ours, so each cell's value is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rich.color import Color
from rich.style import Style

from app.render.terminal.lines import Cells

DENSE = 2000
"""Points of a line beyond which it is thinned out: more can't be seen."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A broken line through points, in one colour."""

    xs: Sequence[float]
    ys: Sequence[float]
    style: Style


def strokes(
    lines: Sequence[Stroke],
    *,
    width: int,
    height: int,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
) -> list[Cells]:
    """The lines drawn over the ranges, as `height` rows of `width` cells."""
    blank: Cells = [(" ", None)] * width
    if not lines:
        return [list(blank) for _ in range(height)]
    picture = _root(width, height)
    picture.axes(False)
    picture.canvas("default")
    for axis, (low, high) in (("x", x_range), ("y", y_range)):
        ruler = picture.ruler(axis)
        ruler.lim(low, high)
        ruler.frequency(0)
    for line in lines:
        picture.draw(_signal(picture, line))
    rows = picture.build().string().split("\n")
    drawn = [_cells(row, width) for row in rows[:height]]
    return drawn + [list(blank) for _ in range(height - len(drawn))]


def cell_of(share: float, cells: int) -> int:
    """Which of `cells` holds the point at that share of a range: its ends are cells' centres."""
    return min(cells - 1, int(share * (cells - 1) + 0.5))


def _root(width: int, height: int) -> Any:
    import plotext

    terminal = type(plotext.terminal)()
    terminal.limit(False, False)
    return terminal._master.plot_size(width, height)  # the one private name


def _signal(picture: Any, line: Stroke) -> Any:
    import plotext

    step = max(1, len(line.xs) // DENSE)
    colour = line.style.color.get_truecolor() if line.style.color else (200, 200, 200)
    marker = plotext.marker("braille", pixel=tuple(colour))
    xs, ys = list(line.xs)[::step], list(line.ys)[::step]
    return picture.signal(xs, ys, marker=marker).lines(True)


_CODE = re.compile(r"\x1b\[([\d;]*)m")


def _cells(row: str, width: int) -> Cells:
    """A row of plotext's output as cells with a foreground alone.

    It has colours and resets only, which a general reader of ANSI takes ten times as long over.
    """
    cells: Cells = []
    style: Style | None = None
    for index, part in enumerate(_CODE.split(row)):
        if index % 2:
            style = _foreground(part)
        else:
            cells += [(sign, style) for sign in part]
    return (cells + [(" ", None)] * width)[:width]


@lru_cache(maxsize=1 << 12)
def _foreground(code: str) -> Style | None:
    """What an escape code says of the foreground: a colour of 24 bits, or none."""
    if not code.startswith("38;2;"):
        return None
    red, green, blue = map(int, code.split(";")[2:5])
    return Style(color=Color.from_rgb(red, green, blue))
