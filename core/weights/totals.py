"""Units by slices of the weights, and sums over slices, modules and groups.

Owns the summing of any additive quantity by module and group. Knows no analysis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from core.engine import forms
from core.engine.measurement import Unit
from core.models.naming import groups

if TYPE_CHECKING:
    from core.models.family import Family

Sums = dict[str, Any]
"""Summed numbers by name; JSON, since it is stored with its unit."""

Form = Mapping[str, Any]
"""The form of each number of a sum, as `core.engine.forms.state` takes it."""

Add = Callable[[Sums, Sums], Sums]


def of_layer(modules: Mapping[str, Sums], add: Add) -> dict[str, Sums]:
    """The sums of one layer's modules and groups."""
    return _collect(
        ((place, sums) for m, sums in modules.items() for place in (m, *groups(m))), add
    )


def of_model(slices: Iterable[Mapping[str, Any]], form: Form, add: Add) -> dict[str, Sums]:
    """The sums of modules and groups over all slices, from `slice_state`.

    `form` has the form of each summed number. Raises ResultError for a slice of another form.
    """
    expected = {"inside": bool, "sums": {"*": form}}
    totals = _collect(
        (
            (place, sums)
            for state in (forms.state(each, expected) for each in slices)
            for module, sums in state["sums"].items()
            for place in (module, "all", *(groups(module) if state["inside"] else ()))
        ),
        add,
    )
    forms.state(totals, {"all": form})
    return totals


def slice_state(layer: int | None, modules: Mapping[str, Sums]) -> dict[str, Any]:
    """The stored state of a slice's unit, for the unit that sums the slices."""
    return {"inside": layer is not None, "sums": dict(modules)}


def sliced(
    template: Unit, key: Callable[[int | str | None], str], layers: Iterable[int | None]
) -> list[Unit]:
    """A unit like the template for each slice, and one that sums and requires them."""
    slices = [
        replace(
            template, key=key(layer), label=f"{template.label}, {slice_name(layer)}", layer=layer
        )
        for layer in layers
    ]
    whole = replace(
        template,
        key=key("all"),
        label=f"{template.label}, whole",
        reads=(),
        requires=tuple(unit.key for unit in slices),
    )
    return [*slices, whole]


def of_each_model(
    family: Family, name: str, version: int, parameters: Any, label: str,
    layers: Iterable[int | None],
) -> list[Unit]:  # fmt: skip
    """The slices and the whole of each tuned model, for an analysis of single models. `label`
    begins the labels: "alignment" makes "alignment of medical, layer 0"."""
    units, slices = [], list(layers)
    for model in family.tuned:
        key = functools.partial(family.key, name, version, parameters, [model])
        template = Unit(key="", analysis=name, label=f"{label} of {model}", model=model)
        units += sliced(template, key, slices)
    return units


def slice_name(layer: int | None) -> str:
    """A slice in words."""
    return "outside the layers" if layer is None else f"layer {layer}"


def _collect(places: Iterable[tuple[str, Sums]], add: Add) -> dict[str, Sums]:
    collected: dict[str, Sums] = {}
    for place, sums in places:
        collected[place] = add(collected[place], sums) if place in collected else sums
    return collected
