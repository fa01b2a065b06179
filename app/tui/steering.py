"""From one choice to the next: what the keys for measures, readings and coordinates do.

Functions over views alone: no widget, no database.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from core.measurement import MetricSpec
from core.views import Catalogue, Choice, Selector, View, options, readings

Value = TypeVar("Value")


def next_measure(view: View, choice: Choice, by: int) -> Choice:
    """The next measure of the view; the reading is kept where the new measure has it."""
    moved = replace(choice, measure=_step(view.measures, choice.measure, by))
    if moved.reading not in readings(view, moved):
        moved = replace(moved, reading="raw")
    return moved


def next_reading(view: View, choice: Choice) -> Choice:
    """Raw, chance and excess in turn, as far as the measure has them."""
    return replace(choice, reading=_step(readings(view, choice), choice.reading, 1))


def next_value(
    view: View, choice: Choice, selector: Selector, by: int, catalogue: Catalogue
) -> Choice:
    """The next model, layer or module."""
    values = options(view, selector, catalogue)
    if not values:
        return choice
    return _with(choice, selector, _step(values, getattr(choice, selector), by))


def settled(view: View, choice: Choice, catalogue: Catalogue) -> Choice:
    """The choice with values that exist, once it is known which do."""
    for selector in view.selectors:
        values = options(view, selector, catalogue)
        if values and getattr(choice, selector) not in values:
            choice = _with(choice, selector, values[0])
    return choice


def effective(view: View, choice: Choice) -> bool:
    """Has the chosen measure more than one reading?"""
    return len(readings(view, choice)) > 1


def described(view: View, choice: Choice, spec: MetricSpec | None) -> list[tuple[str, str]]:
    """What is selected, as names and values for the line above a figure."""
    pairs = []
    if len(view.measures) > 1:
        pairs.append(("measure", spec.title if spec else choice.measure))
    if effective(view, choice):
        pairs.append(("reading", choice.reading))
    if "model" in view.selectors:
        pairs.append(("model", choice.model))
    if "module" in view.selectors:
        pairs.append(("module", choice.module))
    if "layer" in view.selectors:
        pairs.append(("layer", "all" if choice.layer is None else str(choice.layer)))
    return pairs


def _with(choice: Choice, selector: Selector, value: str | int | None) -> Choice:
    changed: dict[str, Any] = {selector: value}
    return replace(choice, **changed)


def _step(values: Sequence[Value], current: Value, by: int) -> Value:
    if current not in values:
        return values[0]
    return values[(values.index(current) + by) % len(values)]
