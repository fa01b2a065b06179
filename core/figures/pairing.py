"""Two figures of one view held against each other: what both range over, common axes, difference.

Owns how places of two figures are matched (by name) and subtracted, and the sentence on what
differs most. Refuses to know whose figures they are: they are `NAMES`, in this order.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from core.engine.measurement import COORDINATES, INSIDE
from core.figures.choices import measures
from core.figures.figure import Cell, Figure, Grid, Lines, Panel, Point, Scatter, Series
from core.figures.rounding import denoised
from core.figures.significance import judge
from core.figures.views import COMBINED, Catalogue, Combination, View, agreed
from core.sizes import counted

NAMES = ("A", "B")
DIFFERENCE = f"{NAMES[1]} − {NAMES[0]}"
ONCE = "the same measurement"
"""What a difference between one measurement and itself is said to be."""

Place = tuple[str, ...]
Drawing = TypeVar("Drawing", Lines, Grid, Scatter)


@dataclass(frozen=True, slots=True)
class Difference:
    """The second figure minus the first at every place of both, and what has no counterpart."""

    figure: Lines | Grid | Scatter
    notes: tuple[str, ...] = ()


def common(view: View, first: Catalogue, second: Catalogue) -> Catalogue | None:
    """What two runs range over in one view; None where the view can't show both.

    What stands side by side in the figure is united. What the user steps through is cut to the
    values under which both have measured something, so that every choice is one for both.
    """
    keyed = [c for c in COMBINED if c == "metric" or c in view.steppers]

    def under(at: Combination) -> tuple[str, ...]:
        return tuple(getattr(at, c) for c in keyed)

    both = {under(c) for c in first.combinations} & {under(c) for c in second.combinations}
    combinations = frozenset(
        c for c in first.combinations | second.combinations if under(c) in both
    )
    shared: dict[str, tuple[Any, ...]] = {}
    for name in ("metric", *COORDINATES):
        own, other = first.values(name), second.values(name)
        cut = name in INSIDE and name in view.steppers
        shared[name] = tuple(v for v in own if v in other) if cut else merged(own, other)
    ranges = Catalogue(
        ranges=shared,
        overall=first.overall and second.overall,
        controls=first.controls | second.controls,
        better=agreed([*first.better.items(), *second.better.items()]),
        combinations=combinations,
        places=first.places & second.places,
        groups={
            name: merged(first.groups.get(name, ()), second.groups.get(name, ()))
            for name in merged(tuple(first.groups), tuple(second.groups))
        },
    )
    measured = {c.metric for c in combinations}
    return ranges if measured & set(measures(view, ranges)) else None


def aligned(first: Figure, second: Figure) -> tuple[Figure, Figure]:
    """Both figures with the same rows, columns, series and axes; tables and texts as they are.

    What only one of them has is empty in the other. Raises TypeError for figures of two kinds.
    """
    if isinstance(first, Lines) and isinstance(second, Lines):
        return _beside(*_aligned_lines(first, second))
    if isinstance(first, Grid) and isinstance(second, Grid):
        return _beside(*_aligned_grids(first, second))
    if isinstance(first, Scatter) and isinstance(second, Scatter):
        return _beside(first, second)
    if type(first) is not type(second):
        raise TypeError("only figures of one kind can be held against each other")
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
    other. Else the same number is the same layer. `same` are the places at which both figures show
    one measurement, which is subtracted from itself.
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
    """The places at which two figures show one measurement: those where `part`, the figure of what
    was measured once for both, has the value that they have."""
    own, other = places(first), places(second)
    return frozenset(
        at
        for at, cell in places(part).items()
        if at in own and at in other and cell.shown == own[at].shown == other[at].shown
    )


def minus(second: Cell, first: Cell, *, same: bool = False) -> Cell:
    """What one cell shows minus what the other shows; undefined if either is.

    The interval combines both in quadrature: each end of the difference lies as far from it as
    √(a² + b²), where a and b are how far the two estimates lie from their own ends on that side
    (Newcombe 1998, method 10; Zou and Donner 2008). It holds for independent estimates, which two
    runs over the same texts or models are only about, and only where raw values are shown.

    Where both have a spread by chance, or intervals, no difference is what is expected: 0, with the
    spread √(sd² + sd²), or none.

    One measurement (`same`) differs from itself by 0, which nothing makes uncertain: without an
    interval and without a spread.
    """
    if first.shown is None or second.shown is None:
        return Cell(None, None)
    if same:
        return Cell(0.0, 0.0, same=True)
    apart = denoised(second.shown - first.shown, max(abs(first.shown), abs(second.shown)))
    low, high = _interval(first, second, apart)
    spread = None
    by_chance = first.shown == first.chance and second.shown == second.chance
    if first.chance_sd is not None and second.chance_sd is not None and not by_chance:
        spread = math.hypot(first.chance_sd, second.chance_sd)
    chance = None if spread is None and low is None else 0.0
    nominal, better = first.nominal or second.nominal, second.better
    return Cell(apart, apart, chance, spread, low=low, high=high, nominal=nominal, better=better)


def places(figure: Figure) -> dict[Place, Cell]:
    """Every measured place of a figure, by the names that say where it is.

    Lines: series, x, and the panel if it has a title; grids: row, column; scatters: point, axis.
    """
    found: dict[Place, Cell] = {}
    if isinstance(figure, Lines):
        for panel in figure.panels:
            for series in panel.series:
                for x, cell in zip(series.xs, series.cells, strict=True):
                    found[_place(figure, panel, series, x)] = cell
    elif isinstance(figure, Grid):
        for row, cells in zip(figure.rows, figure.cells, strict=True):
            for column, cell_ in zip(figure.columns, cells, strict=True):
                if cell_ is not None:
                    found[row, column] = cell_
    elif isinstance(figure, Scatter):
        for point in figure.points:
            found[point.name, figure.x_name] = point.x
            found[point.name, figure.y_name] = point.y
    return found


def told(found: Difference, first: Figure, second: Figure) -> str:
    """What differs most, and whether that is beyond its spread, in one plain sentence."""
    apart = {at: c for at, c in places(found.figure).items() if c.shown is not None}
    if not apart:
        return "No place has a value in both."
    once = sum(cell.same for cell in apart.values())
    if once == len(apart):
        return f"All {once} places are the same measurements." if once > 1 else f"It is {ONCE}."
    also = f" At {once} of the {counted(len(apart), 'place')} it is {ONCE}." if once else ""
    at = max(apart, key=lambda place: abs(apart[place].shown or 0.0))
    most = apart[at].shown or 0.0
    if most == 0:
        return f"Nothing differs at the {counted(len(apart), 'place')} that both have.{also}"
    own, other = places(first).get(at), places(second).get(at)
    values = ""
    if own is not None and other is not None and own.shown is not None and other.shown is not None:
        values = f" ({own.shown:.4g} in {NAMES[0]}, {other.shown:.4g} in {NAMES[1]})"
    where = ", ".join(_said(found.figure, at))
    return f"Largest difference: {most:+.3g} at {where}{values}; {beyond(apart[at])}.{also}"


def beyond(cell: Cell) -> str:
    """Whether a difference is more than its spread or its interval would allow, in words."""
    if cell.shown is None:
        return "it is undefined"
    if cell.same:
        return ONCE
    verdict = judge(cell)
    return "its spread is not known" if verdict is None else verdict.words


def merged(first: Sequence[Any], second: Sequence[Any]) -> tuple[Any, ...]:
    """All values of two orders in one that keeps both; numbers by their size."""
    values = [*first, *(value for value in second if value not in first)]
    if all(_number(value) is not None for value in values):
        return tuple(sorted(values, key=lambda value: _number(value) or 0.0))
    found = list(first)
    for place, value in enumerate(second):
        if value not in found:
            later = next((each for each in second[place:] if each in found), None)
            found.insert(len(found) if later is None else found.index(later), value)
    return tuple(found)


def _place(figure: Lines, panel: Panel, series: Series, x: int) -> Place:
    at = figure.x_names[x] if figure.x_names else str(x)
    return series.name, at, *filter(None, (panel.title,))


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


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
        own = {(p.title, s.name): s for p in figure.panels for s in p.series}
        panels = []
        for title in titles:
            series = []
            for name in names:
                found = own.get((title, name), replace(look[name], xs=(), cells=()))
                at = tuple(moved[x] for x in found.xs) if moved else found.xs
                series.append(replace(found, xs=at))
            panels.append(Panel(title, tuple(series)))
        return replace(figure, panels=tuple(panels), x_names=xs)

    return filled(first), filled(second)


def _aligned_grids(first: Grid, second: Grid) -> tuple[Grid, Grid]:
    rows, columns = merged(first.rows, second.rows), merged(first.columns, second.columns)
    controls = first.controls | second.controls

    def filled(figure: Grid, other: Grid) -> Grid:
        own = places(figure)
        cells = tuple(tuple(own.get((row, column)) for column in columns) for row in rows)
        each = {**other.each, **figure.each}
        return replace(
            figure, rows=rows, columns=columns, cells=cells, controls=controls, each=each
        )

    return filled(first, second), filled(second, first)


def _minus_lines(first: Lines, second: Lines, same: Collection[Place]) -> Lines:
    panels = []
    others = {(p.title, s.name): s for p in second.panels for s in p.series}
    at = {name: x for x, name in enumerate(second.x_names)}
    for panel in first.panels:
        lines = []
        for series in panel.series:
            other = others.get((panel.title, series.name))
            if other is None or series.companion:
                continue
            known = dict(zip(other.xs, other.cells, strict=True))
            points = []
            for x, cell in zip(series.xs, series.cells, strict=True):
                place = at.get(first.x_names[x], -1) if first.x_names else x
                if place in known:
                    named = _place(first, panel, series, x)
                    points.append((x, minus(known[place], cell, same=named in same)))
            xs, cells = tuple(x for x, _ in points), tuple(cell for _, cell in points)
            lines.append(replace(series, xs=xs, cells=cells))  # if empty, keeps others' signs
        panels.append(Panel(panel.title, tuple(lines)))
    return replace(first, panels=tuple(panels), **_difference_of(first))


def _minus_grids(first: Grid, second: Grid, same: Collection[Place]) -> Grid:
    own, other = places(first), places(second)
    both = [place for place in own if place in other]
    rows = tuple(row for row in first.rows if any(row == r for r, _ in both))
    columns = tuple(column for column in first.columns if any(column == c for _, c in both))
    apart = {at: minus(other[at], own[at], same=at in same) for at in both}
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


def _interval(first: Cell, second: Cell, apart: float) -> tuple[float | None, float | None]:
    """The ends of the interval of a difference, where both show raw values with intervals."""
    a, b = first, second
    if a.shown != a.value or b.shown != b.value or a.value is None or b.value is None:
        return None, None
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return None, None
    low = apart - math.hypot(b.value - b.low, a.high - a.value)
    return low, apart + math.hypot(b.high - b.value, a.value - a.low)


def _unmatched(first: Figure, second: Figure) -> tuple[str, ...]:
    """What only one of two figures has, by what it is."""
    notes = []
    for name, own, other in zip(NAMES, (first, second), (second, first), strict=True):
        theirs = _parts(other)
        for what, values in _parts(own).items():
            alone = [value for value in values if value not in theirs.get(what, ())]
            if alone:
                notes.append(f"only {name} has {what} {_listed(alone)}")
    return tuple(notes)


def _parts(figure: Figure) -> Mapping[str, Sequence[str]]:
    """What a figure is made of: the values on its axes that were measured at all, by their name."""
    found = places(figure)
    if isinstance(figure, Lines):
        drawn = {s.name for p in figure.panels for s in p.series if not s.companion}
        own = [place for place in found if place[0] in drawn]
        named = [(figure.series_name, 0), (figure.x_label, 1), (figure.panel_name, 2)]
        return {what: _seen(p[at] for p in own if len(p) > at) for what, at in named}
    if isinstance(figure, Grid):
        rows, columns = _seen(row for row, _ in found), _seen(column for _, column in found)
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


def _said(figure: Figure, at: Place) -> Iterable[str]:
    """A place in words: numbers with what they count."""
    for name, value in zip(figure.place_names, at, strict=False):
        yield f"{name} {value}" if _number(value) is not None or value == "all" else value


def _counterpart(layer: int, depths: tuple[int, int]) -> int:
    """The layer of the second family that lies at the relative depth of one of the first."""
    own, other = depths
    return math.floor(layer * (other - 1) / max(1, own - 1) + 0.5)


def _at_depths(first: Lines, second: Lines, depths: tuple[int, int]) -> Lines:
    """The second figure's curves at the layers of the first."""
    layers = sorted({x for p in first.panels for s in p.series for x in s.xs})

    def moved(series: Series) -> Series:
        known = dict(zip(series.xs, series.cells, strict=True))
        at = [(x, known[y]) for x in layers if (y := _counterpart(x, depths)) in known]
        return replace(series, xs=tuple(x for x, _ in at), cells=tuple(cell for _, cell in at))

    panels = tuple(Panel(p.title, tuple(map(moved, p.series))) for p in second.panels)
    return replace(second, panels=panels)


def _grid_at_depths(first: Grid, second: Grid, depths: tuple[int, int]) -> Grid:
    """The second figure's rows or columns of layers at the layers of the first."""
    own = places(second)

    def there(name: str, coordinate: str) -> str:
        counts = coordinate == "layer" and name.isdigit()
        return str(_counterpart(int(name), depths)) if counts else name

    rows = merged(first.rows, second.rows) if first.row_of != "layer" else first.rows
    columns = merged(first.columns, second.columns)
    if first.column_of == "layer":
        columns = first.columns
    cells = tuple(
        tuple(own.get((there(r, first.row_of), there(c, first.column_of))) for c in columns)
        for r in rows
    )
    return replace(second, rows=rows, columns=columns, cells=cells)
