"""Two figures of one view put side by side: common axes, and their difference place by place.

Owns the matching of places (by name) and the notes on places without a counterpart.
`core.figures.differences` subtracts cells and words the result.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from core.figures.common import merged
from core.figures.differences import DIFFERENCE, NAMES, Difference, minus
from core.figures.figure import Figure, Grid, Lines, Panel, Place, Point, Scatter, Series

Drawing = TypeVar("Drawing", Lines, Grid, Scatter)


def aligned(first: Figure, second: Figure) -> tuple[Figure, Figure]:
    """Both figures with the same rows, columns, series and axes; tables and texts as they are.

    Places of only one are empty in the other. Raises TypeError for figures of two kinds.
    """
    if isinstance(first, Lines) and isinstance(second, Lines):
        return _beside(*_aligned_lines(first, second))
    if isinstance(first, Grid) and isinstance(second, Grid):
        return _beside(*_aligned_grids(first, second))
    if isinstance(first, Scatter) and isinstance(second, Scatter):
        return _beside(first, second)
    if type(first) is not type(second):
        raise TypeError("only figures of one kind can be compared")
    return first, second


def difference(
    first: Figure,
    second: Figure,
    depths: tuple[int, int] | None = None,
    same: Collection[Place] = (),
) -> Difference | None:
    """The second figure minus the first, place by place; None for tables and texts.

    Of `aligned` figures, so that a series has the same sign and colour in all three.
    `depths` are the numbers of layers of the two families, if layers are to be matched by their
    relative depth: layer i of n then goes with the nearest to i/(n − 1) of the way through the
    other. Else the same number is the same layer. At the places `same` both figures show one
    measurement, which is subtracted from itself.
    """
    if isinstance(first, Lines) and isinstance(second, Lines):
        if depths is not None and not first.x_names:
            second = _at_depths(first, second, depths)
        return Difference(_minus_lines(first, second, same), _unmatched(first, second))
    if isinstance(first, Grid) and isinstance(second, Grid):
        if depths is not None:
            second = _grid_at_depths(first, second, depths)
        return Difference(_minus_grids(first, second, same), _unmatched(first, second))
    if isinstance(first, Scatter) and isinstance(second, Scatter):
        return Difference(_minus_scatters(first, second, same), _unmatched(first, second))
    return None


def shared(part: Figure, first: Figure, second: Figure) -> frozenset[Place]:
    """The places at which two figures show one measurement. `part` is the figure of the units that
    both runs use; such a place has the same value in all three."""
    first_cells, other = first.places(), second.places()
    return frozenset(
        place
        for place, cell in part.places().items()
        if place in first_cells
        and place in other
        and cell.shown == first_cells[place].shown == other[place].shown
    )


def _beside(first: Drawing, second: Drawing) -> tuple[Drawing, Drawing]:
    return replace(first, beside=second), replace(second, beside=first)


def _aligned_lines(first: Lines, second: Lines) -> tuple[Lines, Lines]:
    xs = merged(first.x_names, second.x_names)
    titles = merged([p.title for p in first.panels], [p.title for p in second.panels])
    names: tuple[str, ...] = ()
    look: dict[str, Series] = {}
    for figure in (first, second):
        for panel in figure.panels:
            names = merged(names, [series.name for series in panel.series])
            look = {**{series.name: series for series in panel.series}, **look}

    def filled(figure: Lines) -> Lines:
        moved = [xs.index(name) for name in figure.x_names]
        series_of = {(p.title, s.name): s for p in figure.panels for s in p.series}
        panels = []
        for title in titles:
            series = []
            for name in names:
                line = series_of.get((title, name), replace(look[name], xs=(), cells=()))
                line_xs = tuple(moved[x] for x in line.xs) if moved else line.xs
                series.append(replace(line, xs=line_xs))
            panels.append(Panel(title, tuple(series)))
        return replace(figure, panels=tuple(panels), x_names=xs)

    return filled(first), filled(second)


def _aligned_grids(first: Grid, second: Grid) -> tuple[Grid, Grid]:
    rows, columns = merged(first.rows, second.rows), merged(first.columns, second.columns)
    controls = first.controls | second.controls

    def filled(figure: Grid, other: Grid) -> Grid:
        cell_of = figure.places()
        cells = tuple(tuple(cell_of.get((row, column)) for column in columns) for row in rows)
        each = {**other.each, **figure.each}
        return replace(
            figure, rows=rows, columns=columns, cells=cells, controls=controls, each=each
        )

    return filled(first, second), filled(second, first)


def _minus_lines(first: Lines, second: Lines, same: Collection[Place]) -> Lines:
    panels = []
    others = {(p.title, s.name): s for p in second.panels for s in p.series}
    x_of = {name: x for x, name in enumerate(second.x_names)}
    for panel in first.panels:
        lines = []
        for series in panel.series:
            other = others.get((panel.title, series.name))
            if other is None or series.companion:
                continue
            known = dict(zip(other.xs, other.cells, strict=True))
            points = []
            for x, cell in zip(series.xs, series.cells, strict=True):
                place = x_of.get(first.x_names[x], -1) if first.x_names else x
                if place in known:
                    named = first.place(panel, series, x)
                    points.append((x, minus(known[place], cell, same=named in same)))
            xs, cells = tuple(x for x, _ in points), tuple(cell for _, cell in points)
            lines.append(replace(series, xs=xs, cells=cells))  # if empty, keeps others' signs
        panels.append(Panel(panel.title, tuple(lines)))
    return replace(first, panels=tuple(panels), **_difference_of(first))


def _minus_grids(first: Grid, second: Grid, same: Collection[Place]) -> Grid:
    first_cells, other = first.places(), second.places()
    both = [place for place in first_cells if place in other]
    known_rows, known_columns = {row for row, _ in both}, {column for _, column in both}
    rows = tuple(row for row in first.rows if row in known_rows)
    columns = tuple(column for column in first.columns if column in known_columns)
    apart = {place: minus(other[place], first_cells[place], same=place in same) for place in both}
    cells = tuple(tuple(apart.get((row, column)) for column in columns) for row in rows)
    return replace(first, rows=rows, columns=columns, cells=cells, **_difference_of(first))


def _minus_scatters(first: Scatter, second: Scatter, same: Collection[Place]) -> Scatter:
    others = {point.name: point for point in second.points}
    points = []
    for point in first.points:
        other = others.get(point.name)
        if other is not None:
            x = minus(other.x, point.x, same=(point.name, first.x_name) in same)
            y = minus(other.y, point.y, same=(point.name, first.y_name) in same)
            points.append(Point(point.name, point.group, x, y))
    return replace(
        first, points=tuple(points), x_guides=(0.0,), y_guides=(0.0,), **_difference_of(first)
    )


def _difference_of(figure: Lines | Grid | Scatter) -> dict[str, Any]:
    return {"title": f"{DIFFERENCE} · {figure.title}", "signed": True, "beside": None}


def _unmatched(first: Figure, second: Figure) -> tuple[str, ...]:
    """The values on the axes of only one figure, in words."""
    notes = []
    for name, figure, other in zip(NAMES, (first, second), (second, first), strict=True):
        theirs = _parts(other)
        for kind, values in _parts(figure).items():
            alone = [value for value in values if value not in theirs.get(kind, ())]
            if alone:
                notes.append(f"only {name} has {kind} {_listed(alone)}")
    return tuple(notes)


def _parts(figure: Figure) -> Mapping[str, Sequence[str]]:
    """The values on a figure's axes that have a measurement, by the name of the axis."""
    places = figure.places()
    if isinstance(figure, Lines):
        drawn = {s.name for p in figure.panels for s in p.series if not s.companion}
        shown = [place for place in places if place[0] in drawn]
        named = [(figure.series_name, 0), (figure.x_label, 1), (figure.panel_name, 2)]
        return {name: _seen(p[i] for p in shown if len(p) > i) for name, i in named}
    if isinstance(figure, Grid):
        rows, columns = _seen(row for row, _ in places), _seen(column for _, column in places)
        if figure.row_name == figure.column_name:
            return {figure.row_name: merged(rows, columns)}
        return {figure.row_name: rows, figure.column_name: columns}
    if isinstance(figure, Scatter):
        return {figure.point_name: _seen(point.name for point in figure.points)}
    return {}


def _seen(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _listed(values: Sequence[str]) -> str:
    """Names with commas; whole numbers that follow one another as a range."""
    numbers = [int(v) for v in values if v.isdigit()]
    if len(numbers) == len(values) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(values)


def _counterpart(layer: int, depths: tuple[int, int]) -> int:
    """The layer of the second family that lies at the relative depth of one of the first."""
    depth, other = depths
    return math.floor(layer * (other - 1) / max(1, depth - 1) + 0.5)


def _at_depths(first: Lines, second: Lines, depths: tuple[int, int]) -> Lines:
    """The second figure's curves at the layers of the first."""
    layers = sorted({x for p in first.panels for s in p.series for x in s.xs})

    def moved(series: Series) -> Series:
        known = dict(zip(series.xs, series.cells, strict=True))
        points = [(x, known[y]) for x in layers if (y := _counterpart(x, depths)) in known]
        return replace(
            series, xs=tuple(x for x, _ in points), cells=tuple(cell for _, cell in points)
        )

    panels = tuple(Panel(p.title, tuple(map(moved, p.series))) for p in second.panels)
    return replace(second, panels=panels)


def _grid_at_depths(first: Grid, second: Grid, depths: tuple[int, int]) -> Grid:
    """The second figure's rows or columns of layers at the layers of the first."""
    cell_of = second.places()

    def there(name: str, coordinate: str) -> str:
        counts = coordinate == "layer" and name.isdigit()
        return str(_counterpart(int(name), depths)) if counts else name

    rows = merged(first.rows, second.rows) if first.row_of != "layer" else first.rows
    columns = merged(first.columns, second.columns)
    if first.column_of == "layer":
        columns = first.columns
    cells = tuple(
        tuple(cell_of.get((there(r, first.row_of), there(c, first.column_of))) for c in columns)
        for r in rows
    )
    return replace(second, rows=rows, columns=columns, cells=cells)
