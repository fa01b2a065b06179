"""Which points of a scatter have room for their names beside them, on pages and on paper."""

from __future__ import annotations

from collections.abc import Sequence

from core.figures.figure import Point

OF_WIDTH, OF_HEIGHT = 0.018, 0.05
"""What a character beside a point takes of the picture's width, and a line of its height."""
LONGEST_NAME = 28


def named_beside(
    points: Sequence[Point], x_range: tuple[float, float], y_range: tuple[float, float]
) -> dict[int, bool]:
    """The places in `points` of those that have room; True where the name stands to the left.

    Points that are set apart come first. A name that would lie upon another is left out.
    """
    room: dict[int, bool] = {}
    taken: list[tuple[float, float, float]] = []
    for at in sorted(range(len(points)), key=lambda at: not points[at].mark):
        place = points[at].place
        if place is None:
            continue
        x, y = _part(place[0], x_range), _part(place[1], y_range)
        size = (min(len(points[at].name), LONGEST_NAME) + 2) * OF_WIDTH
        first = x - size if x > 0.5 else x
        if all(
            abs(y - other) > OF_HEIGHT or first + size < left or right < first
            for left, right, other in taken
        ):
            taken.append((first, first + size, y))
            room[at] = x > 0.5
    return room


def _part(value: float, limits: tuple[float, float]) -> float:
    return (value - limits[0]) / (limits[1] - limits[0]) if limits[1] > limits[0] else 0.5
