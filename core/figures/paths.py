"""Paths of series of checkpoints in one plain sentence each. Reads figures alone."""

from __future__ import annotations

from itertools import pairwise

from core.figures.figure import Lines, Point, Scatter, Series
from core.models import steps
from core.sizes import counted


def of_path(figure: Scatter) -> str:
    """Whether the path always goes the same way along its first component."""
    series = figure.chosen["setting"]

    def step(point: Point) -> int:
        """The start comes first, wherever the study names it."""
        member = steps.parted(point.name)
        return member.step if member is not None and member.series == series else -1

    placed = sorted(figure.points, key=step)
    xs = [point.place[0] for point in placed if point.place is not None]
    if len(xs) < 2:
        return ""
    back = sum((after - before) * (xs[-1] - xs[0]) < 0 for before, after in pairwise(xs))
    moves = counted(len(xs) - 1, "move")
    words = f"{series} goes {abs(xs[-1] - xs[0]):.3g} along {figure.x_name}"
    return f"{words} in {moves}, " + (f"{back} of them backwards." if back else "none backwards.")


def of_shares(figure: Lines) -> str:
    """The share of the first component of each series, beside the random walk's."""
    parts = [
        f"{line.name} has {line.cells[0].value:.0%} of its variance along {figure.x_names[0]}, a "
        f"random walk with such moves {line.cells[0].chance:.0%}"
        for line in _own(figure)
        if line.cells[0].value is not None and line.cells[0].chance is not None
    ]
    return f"{'; '.join(parts)}." if parts else ""


def of_turns(figure: Lines) -> str:
    """Where a series turns most, or how straight it is in the end."""
    parts = []
    for line in _own(figure):
        known = [
            (c.value, x) for x, c in zip(line.xs, line.cells, strict=True) if c.value is not None
        ]
        if not known:
            continue
        if figure.measure == "turning_cosine":
            value, x = min(known)
            turn = f"{line.name} turns most at step {figure.x_names[x]}: a cosine of {value:+.2f}"
            parts.append(f"{turn} of the moves before and after, 0 in a random walk")
        elif figure.measure == "straightness":
            value, x = known[-1]
            level = line.cells[-1].chance
            beside = "" if level is None else f", a random walk {level:.2f}"
            parts.append(f"{line.name} has a straightness of {value:.2f} in the end{beside}")
    return f"{'; '.join(parts)}." if parts else ""


def _own(figure: Lines) -> list[Series]:
    return [s for panel in figure.panels for s in panel.series if not s.faint and s.cells]
