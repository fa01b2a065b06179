"""The values over which two runs' figures of one view can range together.

Owns the union and the cut of two catalogues, and orders that keep two orders. Knows no figure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.engine.measurement import COORDINATES, INSIDE
from core.figures.choices import measures
from core.figures.views import COMBINED, Catalogue, Combination, View, agreed


def catalogue_of_both(view: View, first: Catalogue, second: Catalogue) -> Catalogue | None:
    """The catalogue of two runs for one view; None where the view can't show both.

    Coordinates side by side in the figure are united. Coordinates that the user steps through are
    cut to the values under which both have measurements, so that every choice is one for both.
    """
    keyed = [c for c in COMBINED if c == "metric" or c in view.steppers]

    def under(combination: Combination) -> tuple[str, ...]:
        return tuple(getattr(combination, c) for c in keyed)

    both = {under(c) for c in first.combinations} & {under(c) for c in second.combinations}
    combinations = frozenset(
        c for c in first.combinations | second.combinations if under(c) in both
    )
    shared: dict[str, tuple[Any, ...]] = {}
    for name in ("metric", *COORDINATES):
        values, other = first.values(name), second.values(name)
        cut = name in INSIDE and name in view.steppers
        shared[name] = tuple(v for v in values if v in other) if cut else merged(values, other)
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


def merged(first: Sequence[Any], second: Sequence[Any]) -> tuple[Any, ...]:
    """All values of two orders in one that keeps both; numbers by their size."""
    values = [*first, *(value for value in second if value not in first)]
    if all(as_number(value) is not None for value in values):
        return tuple(sorted(values, key=lambda value: as_number(value) or 0.0))
    union = list(first)
    for place, value in enumerate(second):
        if value not in union:
            later = next((each for each in second[place:] if each in union), None)
            union.insert(len(union) if later is None else union.index(later), value)
    return tuple(union)


def as_number(value: Any) -> float | None:
    """The number that a value is or spells, if any."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
