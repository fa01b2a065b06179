"""Work by slices of the weights, and sums over slices, modules and groups of what adds up.

Owns which modules count to which group, for whatever an analysis sums. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from core.engine.measurement import Unit
from core.models.naming import groups

Sums = dict[str, Any]
"""What is summed, by name; JSON, since it is kept with the unit that it belongs to."""

Add = Callable[[Sums, Sums], Sums]


def of_layer(modules: Mapping[str, Sums], add: Add) -> dict[str, Sums]:
    """The modules of one layer and the groups that they add up to."""
    return _collect(((place, own) for m, own in modules.items() for place in (m, *groups(m))), add)


def of_model(slices: Iterable[Mapping[str, Any]], add: Add) -> dict[str, Sums]:
    """Modules and groups over all slices, given as `slice_state` gave them."""
    return _collect(
        (
            (place, own)
            for state in slices
            for module, own in state["sums"].items()
            for place in (module, "all", *(groups(module) if state["inside"] else ()))
        ),
        add,
    )


def slice_state(layer: int | None, modules: Mapping[str, Sums]) -> dict[str, Any]:
    """What a unit of one slice keeps, for the unit that sums the slices up."""
    return {"inside": layer is not None, "sums": dict(modules)}


def sliced(
    template: Unit, key: Callable[[int | str | None], str], layers: Iterable[int | None]
) -> list[Unit]:
    """A unit like the template for each slice, and one over the whole that requires them."""
    slices = [
        replace(template, key=key(at), label=f"{template.label}, {slice_name(at)}", layer=at)
        for at in layers
    ]
    whole = replace(
        template,
        key=key("all"),
        label=f"{template.label}, whole",
        reads=(),
        requires=tuple(unit.key for unit in slices),
    )
    return [*slices, whole]


def slice_name(layer: int | None) -> str:
    """A slice in words."""
    return "outside the layers" if layer is None else f"layer {layer}"


def _collect(places: Iterable[tuple[str, Sums]], add: Add) -> dict[str, Sums]:
    found: dict[str, Sums] = {}
    for place, own in places:
        found[place] = add(found[place], own) if place in found else own
    return found
