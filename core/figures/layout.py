"""From measurements to figures: a view under a choice, laid out but not drawn.

Owns the order of rows, columns, series and points, and the titles. Reads no database: rows and
arrays are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.engine.measurement import ABSENT, Better, Measurement, MetricSpec
from core.figures.figure import Cell, Figure
from core.figures.rounding import without_noise
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
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def no_arrays(
    name: str,
    *,
    model: str = "",
    reference: str = "",
    layer: int | None = None,
    task: str = "",
    analysis: str = "",
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
    """Lay out rows that match the view's query. `spec` declares the chosen measure."""
    cleaned = list(map(without_noise, rows))
    if view.tabulate is not None:
        asked = Tabulation(choice=choice, catalogue=catalogue, rows=tuple(cleaned), arrays=arrays)
        return view.tabulate(asked)
    made = view.lay_out(choice, cleaned, catalogue, spec)
    return made if view.marks is None else view.marks(made)


def cells(
    view: View,
    choice: Choice,
    spec: MetricSpec,
    catalogue: Catalogue,
    rows: Iterable[Measurement],
    place: Callable[[Measurement], Any],
) -> dict[Any, Cell]:
    """The cell of each place, with its excess and test, under the chosen reading."""
    by_place: dict[Hashable, dict[str, Measurement]] = {}
    for row in rows:
        where = place(row)
        if where is not None:
            by_place.setdefault(where, {})[row.metric] = row
    beside = [named.get(choice.measure, "") for named in (view.excess, view.tested)]
    made = {
        spot: replace(
            _cell(
                by_metric[choice.measure],
                by_metric.get(beside[0]),
                by_metric.get(beside[1]),
                choice.reading,
            ),
            better=direction(spec, by_metric[choice.measure], catalogue.better),
        )
        for spot, by_metric in by_place.items()
        if choice.measure in by_metric
    }
    if not spec.nominal_chance:
        return made
    measured = {spot: by_place[spot][choice.measure] for spot in made}
    levels = _control_levels(measured.values(), catalogue.controls)
    return {
        spot: replace(
            made[spot],
            nominal=True,
            control=None if _is_control(row, catalogue.controls) else levels.get(_spot(row)),
        )
        for spot, row in measured.items()
    }


def direction(spec: MetricSpec, row: Measurement, better: Mapping[str, Better]) -> Better:
    """Which direction of a measured value is better: as its metric declares, or the score that it
    is of."""
    if spec.better == "metric":
        return better.get(row.metric_of or row.metric, "neither")
    return spec.better


def less(cell: Cell, base: Cell) -> Cell:
    """The cell with its difference from the base's value shown."""
    if cell.value is None or base.value is None:
        return replace(cell, shown=None, base=base.value)
    return replace(cell, shown=cell.value - base.value, base=base.value)


def _control_levels(rows: Iterable[Measurement], controls: Collection[str]) -> dict[Any, float]:
    """The largest distance from chance of a control, or of a pair with one, at each layer and
    module."""
    levels: dict[Any, float] = {}
    for row in rows:
        if _is_control(row, controls) and row.value is not None:
            distance = abs(row.value - (row.chance or 0.0))
            levels[_spot(row)] = max(distance, levels.get(_spot(row), 0.0))
    return levels


def _is_control(row: Measurement, controls: Collection[str]) -> bool:
    return row.model in controls or row.reference in controls


def _spot(row: Measurement) -> tuple[Any, ...]:
    return row.layer, row.module, row.expert, row.setting


def _cell(
    row: Measurement, excess: Measurement | None, tested: Measurement | None, reading: Reading
) -> Cell:
    beyond = None if excess is None else excess.value
    shown = {"chance": row.chance, "excess": beyond}.get(reading, row.value)
    return Cell(
        shown, row.value, row.chance, row.chance_sd, beyond, row.low, row.high, row.n,
        None if tested is None else tested.value,
    )  # fmt: skip


def common(view: View, choice: Choice, spec: MetricSpec) -> dict[str, Any]:
    """The common fields of all figures of a measure."""
    return {
        "title": _title(view, choice, spec),
        "measure": spec.name,
        "unit": spec.unit,
        "signed": choice.reading in ("excess", "difference")
        or (spec.signed and choice.reading == "raw"),
        "empty": spec.empty,
        "chosen": {s: name_of(getattr(choice, s)) for s in view.steppers},
    }


def in_order(coordinate: Coordinate, values: Iterable[Any], catalogue: Catalogue) -> list[Any]:
    """The values that occur, in the catalogue's order; unknown ones come last."""
    if coordinate == "module":
        return list(by_name(set(values)))
    known = {value: index for index, value in enumerate(catalogue.values(coordinate))}
    return sorted(set(values), key=lambda value: (known.get(value, len(known)), value))


def name_of(value: Any) -> str:
    """A value of an axis as text; numbers in their shortest form."""
    if value is None:
        return "all"
    return format(value, "g") if isinstance(value, float) else str(value)


def _title(view: View, choice: Choice, spec: MetricSpec) -> str:
    words = [spec.title]
    if choice.reading == "chance":
        words.append("expected by chance")
    if choice.reading == "excess":
        words.append("beyond chance")
    if choice.reading == "difference":
        words.append("minus the base's")
    for coordinate in SPOKEN:
        if coordinate not in view.selectors:
            continue
        value = getattr(choice, coordinate)
        if value == "":
            continue
        if coordinate == "layer":
            words.append("· all layers" if value is None else f"· layer {value}")
        elif value == ABSENT.get(coordinate):
            continue  # as the probe set of a study with one
        elif coordinate in view.names:
            words.append(f"· {view.names[coordinate]} {value}")
        else:
            words.append(f"· {value}")
    return " ".join(words)
