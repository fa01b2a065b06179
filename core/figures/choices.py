"""The values that a view's selectors offer, and the query that a choice makes.

Functions over views, choices and catalogues. Refuses to know of databases, terminals and files.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from core.engine.measurement import ABSENT, COORDINATES, FILTERS, MetricSpec, ordered
from core.figures.filters import FIELDS, Filter, Names, merged
from core.figures.views import (
    COMBINED,
    GROUPS,
    Catalogue,
    Choice,
    Combination,
    Coordinate,
    Query,
    Reading,
    Selector,
    Value,
    View,
    Wanted,
    by_name,
)

EVERYTHING = Catalogue()
"""Of which nothing is known."""


def narrowed(catalogue: Catalogue, by: Filter) -> Catalogue:
    """The catalogue without the values that a filter hides.

    Other models that a value is compared with stay known where no view lays them out.
    """
    if not by:
        return catalogue
    ranges = {
        name: tuple(value for value in values if by.takes(FILTERS.get(name, ""), value))
        for name, values in catalogue.ranges.items()
    }
    combinations = catalogue.combinations
    for name in (field for field in FIELDS if field in COMBINED and by.narrows(field)):
        combinations = frozenset(
            combination
            for combination in combinations
            if by.takes(name, getattr(combination, name))
        )
    return replace(
        catalogue,
        ranges=ranges,
        combinations=combinations,
        overall=catalogue.overall and not by.narrows("layer"),
        filter=by,
    )


def names_of(catalogues: Iterable[Catalogue]) -> Names:
    """The names in these catalogues that a filter can choose from."""
    ranges = merged(*(each.ranges for each in catalogues))
    return {**ranges, "module": by_name(ranges["module"])}


def present(views: Iterable[View], catalogue: Catalogue) -> tuple[View, ...]:
    """The views that have something to show: optional ones only where that was measured."""
    return tuple(view for view in views if not view.optional or _shows(view, catalogue))


def measures(view: View, catalogue: Catalogue) -> tuple[str, ...]:
    """The metrics that the view switches between."""
    if view.measures:
        return view.measures
    metrics = {c.metric for c in _concerning(view, catalogue.combinations)}
    known = ordered((*view.declared, *catalogue.values("metric")))
    return tuple(m for m in known if m in metrics or not catalogue.combinations)


def default_choice(view: View, catalogue: Catalogue) -> Choice:
    """The choice with which a view opens."""
    opens: dict[str, Any] = {k: v for k, v in view.opens.items() if k in view.steppers}
    order = view.orders[0] if view.orders else ""
    first = next(iter(measures(view, catalogue)), "")
    choice = Choice(measure=first, reading=view.reading, order=order, **opens)
    return settled(view, choice, catalogue)


def settled(view: View, choice: Choice, catalogue: Catalogue) -> Choice:
    """The choice with values that exist and go together, once it is known which do."""
    offered = measures(view, catalogue)
    if offered and choice.measure not in offered:
        choice = replace(choice, measure=offered[0])
    if choice.reading == "difference" and not view.has_base(choice.measure, catalogue):
        choice = replace(choice, reading="raw")
    for selector in view.steppers:
        values = options(view, selector, choice, catalogue)
        if values and getattr(choice, selector) not in values:
            choice = chosen(choice, selector, _nearest(view, selector, values, choice, catalogue))
    return choice


def options(
    view: View, selector: Selector, choice: Choice, catalogue: Catalogue
) -> tuple[Value, ...]:
    """The values that a selector steps through, in order. For layers, None is "all".

    Only values measured together with the chosen measure and the earlier selectors; all values if
    there are none, as before a run has measured anything.
    """
    coordinate = view.coordinate(selector)
    takes = view.only.get(coordinate, lambda value: True)
    values = [v for v in _steps(coordinate, catalogue) if v is None or takes(v)]
    if coordinate == "model" and view.tabulate is not None:
        values = [v for v in values if v not in catalogue.groups]
    if coordinate in COMBINED:
        fitting = {getattr(c, coordinate) for c in _fitting(view, selector, choice, catalogue)}
        values = _among(fitting, values, view)
    if coordinate == "module" and "layer" in view.steppers[: view.steppers.index(selector)]:
        here = {module for layer, module in catalogue.places if layer == choice.layer}
        values = _among(here, values, view)
    if selector == "against":
        values = [v for v in values if v != getattr(choice, coordinate)]
    return tuple(values)


def readings(
    view: View, choice: Choice, spec: MetricSpec | None, catalogue: Catalogue = EVERYTHING
) -> tuple[Reading, ...]:
    """The readings that the chosen measure has, in the order of the key that switches them."""
    if view.tabulate is not None:
        return ("raw",)
    less: tuple[Reading, ...] = ("difference",) if view.has_base(choice.measure, catalogue) else ()
    if choice.measure in view.excess:
        return ("raw", "chance", "excess", *less)
    chance = spec is not None and spec.has_chance and not view.with_chance
    return ("raw", "chance", *less) if chance else ("raw", *less)


def query(view: View, choice: Choice, catalogue: Catalogue) -> Query:
    """The measurements that the view needs under this choice."""
    beside = [named.get(choice.measure) for named in (view.excess, view.tested)]
    metrics: tuple[str, ...] = (choice.measure, *filter(None, beside), *view.beside, *view.further)
    if view.together:
        metrics = measures(view, catalogue)
    return {"metric": metrics} | {c: _wanted(view, c, choice, catalogue) for c in COORDINATES}


def chosen(choice: Choice, selector: Selector, value: Value) -> Choice:
    """The choice with another value of one selector."""
    changed: dict[str, Any] = {selector: value}
    return replace(choice, **changed)


def _wanted(view: View, coordinate: Coordinate, choice: Choice, catalogue: Catalogue) -> Wanted:
    """The values of a coordinate that the view asks for and the filter does not hide."""
    asked = _asked(view, coordinate, choice, catalogue)
    field = FILTERS.get(coordinate)
    if coordinate == "reference" and coordinate not in (*view.steppers, *view.laid_out):
        field = None  # a shown model is compared with it; it is no row or column
    if field is None or asked == "absent" or not catalogue.filter.narrows(field):
        return asked
    if isinstance(asked, tuple):
        return tuple(value for value in asked if catalogue.filter.takes(field, value))
    values = catalogue.values(coordinate)
    return values if asked == "present" else (ABSENT[coordinate], *values)


def _asked(view: View, coordinate: Coordinate, choice: Choice, catalogue: Catalogue) -> Wanted:
    if coordinate in view.fixed:
        return (view.fixed[coordinate],)
    if coordinate == "metric_of" and view.beside:
        return "", choice.measure
    if coordinate in view.steppers:
        return view.chosen(choice, coordinate, catalogue)
    if coordinate == view.panelled and view.panels:
        return view.panels_in(catalogue)
    if coordinate in view.only:
        return tuple(v for v in catalogue.values(coordinate) if view.only[coordinate](v))
    if coordinate in view.free:
        return "any"
    return "present" if coordinate in view.laid_out else "absent"


def _shows(view: View, catalogue: Catalogue) -> bool:
    """Was something measured that the view has a place for?"""
    placing = view.placing(catalogue)
    combinations = _concerning(view, catalogue.combinations)
    return any(placing(combination) is not None for combination in combinations)


def _concerning(view: View, combinations: Iterable[Combination]) -> Iterator[Combination]:
    """The combinations whose measurements the view shows under some choice."""
    tests = [
        (coordinate, test)
        for coordinate in COMBINED[1:]
        if (test := _test(view, coordinate)) is not None
    ]
    for each in combinations:
        if view.measures and each.metric not in view.measures:
            continue
        if all(test(getattr(each, coordinate)) for coordinate, test in tests):
            yield each


def _test(view: View, coordinate: Coordinate) -> Callable[[str], bool] | None:
    """A test of a coordinate's values, true for those in the view; None if it takes all."""
    if coordinate in view.fixed:
        return partial(operator.eq, view.fixed[coordinate])
    if coordinate in view.only:
        asked = view.only[coordinate]
        return lambda value: bool(value) and asked(value)
    if coordinate in view.free or (view.loose and coordinate in view.steppers):
        return None
    if coordinate == "probe" and coordinate in view.selectors:
        return None  # a single probe set has no name
    return bool if coordinate in (*view.steppers, *view.laid_out) else operator.not_


def _fitting(
    view: View, selector: Selector, choice: Choice, catalogue: Catalogue
) -> Iterator[Combination]:
    """The combinations that go with the measure and the selectors before this one."""
    before = view.steppers[: view.steppers.index(selector)]
    named = [c for c in COMBINED[1:] if c in before and c != view.coordinate(selector)]
    chosen: dict[str, Value] = {c: getattr(choice, c) for c in named}
    if not view.together:
        chosen["metric"] = choice.measure
    combinations = (
        combination
        for combination in catalogue.combinations
        if all(getattr(combination, c) == value for c, value in chosen.items())
    )
    return _concerning(view, combinations)


def _steps(coordinate: Coordinate, catalogue: Catalogue) -> tuple[Value, ...]:
    """The values of a coordinate in the order of the key that steps through them."""
    if coordinate == "layer":
        return (*((None,) if catalogue.overall else ()), *catalogue.values("layer"))
    if coordinate == "module":  # from the whole to its parts
        modules = catalogue.values("module")
        whole = [group for group in reversed(GROUPS) if group in modules]
        return (*whole, *(m for m in by_name(modules) if m not in GROUPS))
    return catalogue.values(coordinate)


def _among(available: Collection[Value], values: list[Value], view: View) -> list[Value]:
    """The values that were found, absence first where the view steps to it; all if none was."""
    absent: list[Value] = [""] if view.loose and "" in available else []
    return [*absent, *(v for v in values if v in available)] or values


def _nearest(
    view: View,
    selector: Selector,
    values: tuple[Value, ...],
    choice: Choice,
    catalogue: Catalogue,
) -> Value:
    """The value chosen instead of one that does not exist.

    For a layer, the nearest one. For a model, the first tuned model that is no control; for the
    model beside it, the first that is no control. For a task or score, the one with the most
    results, the first of several. Otherwise the first value.
    """
    layers = [v for v in values if isinstance(v, int)]
    if selector == "layer" and choice.layer is not None and layers:
        wanted = choice.layer
        return min(layers, key=lambda layer: abs(layer - wanted))
    if selector == "model":
        passed = {"base", *catalogue.controls}
        return next((v for v in values if v not in passed), values[0])
    if selector == "reference":
        return next((v for v in values if v not in catalogue.controls), values[0])
    if selector in ("task", "metric_of"):
        placing = view.placing(catalogue)
        combinations = (
            combination
            for combination in _fitting(view, selector, choice, catalogue)
            if not view.placed or placing(combination) is not None
        )
        others = [c for c in COMBINED[1:] if c != "metric_of"]
        places = {
            (getattr(combination, selector), *(getattr(combination, c) for c in others))
            for combination in combinations
        }
        measured = Counter(value for value, *_ in places)
        return max(values, key=lambda value: measured[str(value)])
    return values[0]
