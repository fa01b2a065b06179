"""From one choice to the next: what the keys for measures, readings and coordinates do, and what
there is to choose among.

Functions over views alone: no widget, no database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from core.engine.measurement import Better, MetricSpec
from core.figures.choices import (
    EVERYTHING,
    chosen,
    default_choice,
    measures,
    options,
    readings,
    settled,
)
from core.figures.plots.plot import in_words
from core.figures.views import SPOKEN, Catalogue, Choice, Selector, View

Value = TypeVar("Value")
Picked = TypeVar("Picked")
Metric = Callable[[str], MetricSpec]
"""The declaration of a metric, by its name."""


@dataclass(frozen=True, slots=True)
class Offer(Generic[Picked]):
    """A value on offer, the name of its selector, and the choice with it.
    `current`: it is chosen now."""

    name: str
    value: str
    choice: Picked
    current: bool


def offers(
    view: View, choice: Choice, catalogue: Catalogue, metric: Metric
) -> Iterator[Offer[Choice]]:
    """All that may be chosen from here, one change at a time: where there are several values."""
    spec = metric(choice.measure) if view.kind != "table" else None
    able = offered(view, choice, catalogue, spec)
    if "measure" in able and view.together:
        for order in view.orders:
            yield Offer("order", order, replace(choice, order=order), order == choice.order)
    elif "measure" in able:
        for measure in measures(view, catalogue):
            moved = measured(view, choice, measure, catalogue, metric)
            yield Offer("measure", metric(measure).title, moved, measure == choice.measure)
    if "reading" in able:
        for reading in readings(view, choice, spec):
            moved = replace(choice, reading=reading)
            yield Offer("reading", reading, moved, reading == choice.reading)
    for selector in (name for name in SPOKEN if name in able):
        for value in options(view, selector, choice, catalogue):
            moved = settled(view, chosen(choice, selector, value), catalogue)
            now = value == getattr(choice, selector)
            words = "all" if value is None else str(value) or "none"
            yield Offer(view.word(selector), words, moved, now)


def next_measure(
    view: View, choice: Choice, by: int, catalogue: Catalogue, metric: Metric
) -> Choice:
    """The next measure of the view, of a table the next order."""
    if view.orders or view.together:
        return replace(choice, order=_step(view.orders, choice.order, by))
    measure = _step(measures(view, catalogue), choice.measure, by)
    return measured(view, choice, measure, catalogue, metric)


def measured(
    view: View, choice: Choice, measure: str, catalogue: Catalogue, metric: Metric
) -> Choice:
    """Another measure of the view: the reading is kept where it has it, the rest as far as it
    goes with it."""
    moved = replace(choice, measure=measure)
    if moved.reading not in readings(view, moved, metric(moved.measure), catalogue):
        moved = replace(moved, reading="raw")
    return settled(view, moved, catalogue)


def next_reading(
    view: View, choice: Choice, spec: MetricSpec, catalogue: Catalogue = EVERYTHING
) -> Choice:
    """Raw, chance, excess and difference from the base in turn, as far as the measure has them."""
    offered = readings(view, choice, spec, catalogue)
    return replace(choice, reading=_step(offered, choice.reading, 1))


def next_value(
    view: View, choice: Choice, selector: Selector, by: int, catalogue: Catalogue
) -> Choice:
    """The next value of a selector; those that hang on it follow where they must."""
    values = options(view, selector, choice, catalogue)
    if not values:
        return choice
    moved = chosen(choice, selector, _step(values, getattr(choice, selector), by))
    return settled(view, moved, catalogue)


def next_item(choice: Choice, items: Sequence[str], current: str, by: int) -> Choice:
    """The next of the items that a figure names."""
    return replace(choice, item=_step(items, current, by)) if items else choice


def takes(view: View, coordinates: Mapping[str, Any], catalogue: Catalogue) -> bool:
    """Has a view, under some choice, all of these values of what it steps through? Those that it
    does not step through do not matter."""
    choice = default_choice(view, catalogue)
    for selector in view.selectors:
        values = options(view, selector, choice, catalogue)
        if selector in coordinates and values:
            if coordinates[selector] not in values:
                return False
            choice = chosen(choice, selector, coordinates[selector])
    return True


def offered(
    view: View, choice: Choice, catalogue: Catalogue, spec: MetricSpec | None
) -> frozenset[str]:
    """What has more than one value to step through: selectors, and `measure` and `reading`."""
    several = len(view.orders or (() if view.together else measures(view, catalogue))) > 1
    names = {"measure"} if several else set()
    if len(readings(view, choice, spec, catalogue)) > 1:
        names.add("reading")
    return frozenset(
        names | {s for s in view.steppers if len(options(view, s, choice, catalogue)) > 1}
    )


def described(
    view: View, choice: Choice, catalogue: Catalogue, spec: MetricSpec | None
) -> list[tuple[str, str]]:
    """What is selected, as names and values for the line above a figure."""
    able = offered(view, choice, catalogue, spec)
    pairs = []
    if view.orders or view.together:
        pairs += [("order", choice.order)] if "measure" in able else []
    elif "measure" in able:
        pairs.append(("measure", _measure(spec) if spec else choice.measure))
    if "reading" in able:
        pairs.append(("reading", choice.reading))
    for selector in SPOKEN:
        if selector in view.steppers:
            value = getattr(choice, selector)
            empty = value == "" and selector != "item"  # a figure names its items itself
            if selector not in able and (empty or (view.loose and value is None)):
                continue  # it does not apply here
            words = "all" if value is None else str(value) or "none"
            if selector == "metric_of" and spec is not None and spec.better == "metric":
                words = _with(words, catalogue.better.get(words, "neither"))
            pairs.append((view.word(selector), words))
    return pairs


def _measure(spec: MetricSpec) -> str:
    unit = f" [{spec.unit}]" if spec.unit else ""
    return _with(f"{spec.title}{unit}", "neither" if spec.better == "metric" else spec.better)


def _with(words: str, better: Better) -> str:
    """A measure or a metric with its better direction."""
    return f"{words} ({in_words(better)})" if better != "neither" else words


def _step(values: Sequence[Value], current: Value, by: int) -> Value:
    if current not in values:
        return values[0]
    return values[(values.index(current) + by) % len(values)]
