"""From measurements to figures: what a view shows under a choice, laid out but not drawn.

Owns the order of rows, columns, series and points, and the titles. Reads no database: rows and
arrays are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from core.engine.measurement import Measurement, MetricSpec
from core.figures.choices import panels_of
from core.figures.figure import Cell, Figure, Grid, Lines, Panel, Point, Scatter, Series
from core.figures.views import (
    SPOKEN,
    Arrays,
    Catalogue,
    Choice,
    Coordinate,
    Reading,
    Tabulation,
    View,
    by_name,
    natural,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def no_arrays(
    name: str, *, model: str = "", reference: str = "", layer: int | None = None, task: str = ""
) -> Mapping[str, NDArray[Any]] | None:
    """The arrays of a run that has none."""
    return None


def figure(
    view: View,
    choice: Choice,
    rows: Iterable[Measurement],
    catalogue: Catalogue,
    spec: MetricSpec,
    arrays: Arrays = no_arrays,
) -> Figure:
    """Lay out rows, all of them such as `query` asks for. `spec` declares the chosen measure."""
    own = list(rows)
    if view.tabulate is not None:
        asked = Tabulation(choice=choice, catalogue=catalogue, rows=tuple(own), arrays=arrays)
        return view.tabulate(asked)
    made = _MADE[view.kind](view, choice, own, catalogue, spec)
    return made if view.marks is None else view.marks(made)


def _lines(
    view: View, choice: Choice, rows: list[Measurement], catalogue: Catalogue, spec: MetricSpec
) -> Lines:
    def place(row: Measurement) -> tuple[Any, Any, Any]:
        panel = getattr(row, view.panel_by) if view.panels else ""
        return panel, getattr(row, view.series), getattr(row, view.x)

    found = _cells(view, choice, rows, place)
    xs = _in_order(view.x, (x for _, _, x in found), catalogue)
    counted = xs if view.x == "layer" else range(len(xs))
    at = dict(zip(xs, counted, strict=True))
    names = _in_order(view.series, (name for _, name, _ in found), catalogue)
    panels = []
    for panel in panels_of(view, catalogue) if view.panels else ("",):
        series: list[Series] = []
        for name in names:
            points = [(at[x], found[panel, name, x]) for x in xs if (panel, name, x) in found]
            if points:
                series += _series(view, choice, name, points, catalogue, alone=len(names) == 1)
        panels.append(Panel(panel, tuple(series)))
    return Lines(
        x_label=view.word(view.x),
        x_names=() if view.x == "layer" else tuple(map(_name, xs)),
        series_name=view.word(view.series),
        panel_name=view.word(view.panel_by),
        panels=tuple(panels),
        **_common(view, choice, spec),
    )


def _series(
    view: View,
    choice: Choice,
    name: Any,
    points: list[tuple[int, Cell]],
    catalogue: Catalogue,
    *,
    alone: bool,
) -> list[Series]:
    """A line, and what chance gives beside it where the view asks for that."""
    xs, cells = zip(*points, strict=True)
    control = view.series in ("model", "reference") and name in catalogue.controls
    lines = [Series(_name(name), xs, cells, control)]
    if view.with_chance and choice.reading == "raw":
        levels = tuple(Cell(c.chance, c.chance) for c in cells)
        if any(level.value is not None for level in levels):
            called = view.chance_name if alone else f"{_name(name)} {view.chance_name}"
            lines.append(Series(called, xs, levels, companion=True))
    return lines


def _grid(
    view: View, choice: Choice, rows: list[Measurement], catalogue: Catalogue, spec: MetricSpec
) -> Grid:
    down, across = view.axes
    names = view.word(down), view.word(across)
    if view.kind == "matrix":  # both are models
        names = view.word(down), view.names.get(across, view.word(down))
    if view.place:
        placing = view.place(catalogue)
        names, found = placing.names, _cells(view, choice, rows, placing)
    else:
        found = _cells(view, choice, rows, lambda row: (getattr(row, down), getattr(row, across)))
    lines, columns = {place[0] for place in found}, {place[1] for place in found}
    if view.place:
        row_keys, column_keys = _by_value(lines), _by_value(columns)
    elif view.kind == "matrix":
        row_keys = column_keys = list(catalogue.values("model"))
    else:
        row_keys = _in_order(down, lines, catalogue)
        named = list(panels_of(view, catalogue))
        column_keys = named if view.panels else _in_order(across, columns, catalogue)
    return Grid(
        row_name=names[0],
        column_name=names[1],
        row_of="" if view.place else down,
        column_of="" if view.place else across,
        rows=tuple(map(_name, row_keys)),
        columns=tuple(map(_name, column_keys)),
        cells=tuple(tuple(found.get((r, c)) for c in column_keys) for r in row_keys),
        controls=catalogue.controls,
        mark_name=view.mark_name,
        **_common(view, choice, spec),
    )


def _scatter(
    view: View, choice: Choice, rows: list[Measurement], catalogue: Catalogue, spec: MetricSpec
) -> Scatter:
    found = _cells(
        view, choice, rows, lambda row: (getattr(row, view.points), getattr(row, view.across))
    )
    x, y = getattr(choice, view.across), choice.against
    names = _in_order(view.points, (name for name, _ in found), catalogue)
    group = view.group or (lambda name: "")
    return Scatter(
        across=view.word(view.across),
        x_name=_name(x),
        y_name=_name(y),
        point_name=view.word(view.points),
        points=tuple(
            Point(_name(name), group(_name(name)), found[name, x], found[name, y])
            for name in names
            if (name, x) in found and (name, y) in found
        ),
        x_guides=view.x_guides,
        y_guides=view.y_guides,
        mark_name=view.mark_name,
        **_common(view, choice, spec),
    )


def _cells(
    view: View,
    choice: Choice,
    rows: Iterable[Measurement],
    place: Callable[[Measurement], Any],
) -> dict[Any, Cell]:
    """What was measured at each place, with its excess and test, under the chosen reading."""
    found: dict[Hashable, dict[str, Measurement]] = {}
    for row in rows:
        where = place(row)
        if where is not None:
            found.setdefault(where, {})[row.metric] = row
    beside = [(named or {}).get(choice.measure, "") for named in (view.excess, view.tested)]
    return {
        at: _cell(own[choice.measure], own.get(beside[0]), own.get(beside[1]), choice.reading)
        for at, own in found.items()
        if choice.measure in own
    }


def _cell(
    row: Measurement, excess: Measurement | None, tested: Measurement | None, reading: Reading
) -> Cell:
    beyond = None if excess is None else excess.value
    shown = {"raw": row.value, "chance": row.chance, "excess": beyond}[reading]
    return Cell(
        shown, row.value, row.chance, row.chance_sd, beyond, row.low, row.high, row.n,
        None if tested is None else tested.value,
    )  # fmt: skip


def _common(view: View, choice: Choice, spec: MetricSpec) -> dict[str, Any]:
    """What all figures of a measure say of themselves."""
    return {
        "title": _title(view, choice, spec),
        "measure": spec.name,
        "unit": spec.unit,
        "signed": choice.reading == "excess" or (spec.signed and choice.reading == "raw"),
        "empty": spec.empty,
        "chosen": {s: _name(getattr(choice, s)) for s in view.steppers},
    }


def _in_order(coordinate: Coordinate, found: Iterable[Any], catalogue: Catalogue) -> list[Any]:
    """The values that occur, in the catalogue's order; what it does not know comes last."""
    if coordinate == "module":
        return list(by_name(set(found)))
    known = {value: at for at, value in enumerate(catalogue.values(coordinate))}
    return sorted(set(found), key=lambda value: (known.get(value, len(known)), value))


def _by_value(found: Collection[Any]) -> list[Any]:
    """The values of an axis: numbers by size, before texts by the numbers in them."""
    numbers = sorted(v for v in found if not isinstance(v, str))
    return [*numbers, *sorted((v for v in found if isinstance(v, str)), key=natural)]


def _name(value: Any) -> str:
    """A value of an axis as text; numbers in their shortest form."""
    if value is None:
        return "all"
    return format(value, "g") if isinstance(value, float) else str(value)


_MADE: dict[str, Callable[..., Figure]] = {
    "curves": _lines, "matrix": _grid, "heatmap": _grid, "bars": _grid, "scatter": _scatter,
}  # fmt: skip


def _title(view: View, choice: Choice, spec: MetricSpec) -> str:
    words = [spec.title]
    if choice.reading == "chance":
        words.append("expected by chance")
    if choice.reading == "excess":
        words.append("beyond chance")
    for coordinate in SPOKEN:
        if coordinate not in view.selectors:
            continue
        value = getattr(choice, coordinate)
        if coordinate == "layer":
            words.append("· all layers" if value is None else f"· layer {value}")
        elif coordinate in view.names:
            words.append(f"· {view.names[coordinate]} {value}")
        else:
            words.append(f"· {value}")
    return " ".join(words)
