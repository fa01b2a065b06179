"""From one choice to the next: what the keys for measures, readings and coordinates do.

Functions over views alone: no widget, no database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from core.engine.measurement import Better, MetricSpec
from core.figures.choices import chosen, measures, options, readings, settled
from core.figures.plots.plot import in_words
from core.figures.views import SPOKEN, Catalogue, Choice, Selector, View

Value = TypeVar("Value")
Metric = Callable[[str], MetricSpec]
"""The declaration of a metric, by its name."""


def next_measure(
    view: View, choice: Choice, by: int, catalogue: Catalogue, metric: Metric
) -> Choice:
    """The next measure of the view, of a table the next order.

    The reading is kept where the new measure has it, the rest as far as it goes with it.
    """
    if view.orders or view.kind == "table":
        return replace(choice, order=_step(view.orders, choice.order, by))
    moved = replace(choice, measure=_step(measures(view, catalogue), choice.measure, by))
    if moved.reading not in readings(view, moved, metric(moved.measure)):
        moved = replace(moved, reading="raw")
    return settled(view, moved, catalogue)


def next_reading(view: View, choice: Choice, spec: MetricSpec) -> Choice:
    """Raw, chance and excess in turn, as far as the measure has them."""
    return replace(choice, reading=_step(readings(view, choice, spec), choice.reading, 1))


def next_value(
    view: View, choice: Choice, selector: Selector, by: int, catalogue: Catalogue
) -> Choice:
    """The next value of a selector; those that hang on it follow where they must."""
    values = options(view, selector, choice, catalogue)
    if not values:
        return choice
    moved = chosen(choice, selector, _step(values, getattr(choice, selector), by))
    return settled(view, moved, catalogue)


def offered(
    view: View, choice: Choice, catalogue: Catalogue, spec: MetricSpec | None
) -> frozenset[str]:
    """What has more than one value to step through: selectors, and `measure` and `reading`."""
    several = len(view.orders or (() if view.kind == "table" else measures(view, catalogue))) > 1
    names = {"measure"} if several else set()
    if len(readings(view, choice, spec)) > 1:
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
    if view.orders or view.kind == "table":
        pairs += [("order", choice.order)] if "measure" in able else []
    elif "measure" in able:
        pairs.append(("measure", _measure(spec) if spec else choice.measure))
    if "reading" in able:
        pairs.append(("reading", choice.reading))
    for selector in SPOKEN:
        if selector in view.steppers:
            value = getattr(choice, selector)
            words = "all" if value is None else str(value)
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
