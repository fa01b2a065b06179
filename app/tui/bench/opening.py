"""The first columns and prompt of a bench that is opened from a picture: the models of the value
under the cursor, and the prompt of the item.

Functions of coordinates and figures. Knows no screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from app.bench.items import uncut
from core.bench.columns import STEERING, Mixed, mixed, parse, vectors
from core.errors import TauscopeError
from core.figures.passages import Passages
from core.models.naming import GROUP_OF
from core.vectors.arithmetic import GROUPS

PUSH = 0.5
"""The first λ along a direction: half the length of each state."""
OF_WEIGHTS = (
    "tuning_vectors", "alignment", "directions", "direction_places", "spectral_regime",
)  # fmt: skip
"""The analyses whose values are of a part of the weights, which a graft can carry over."""

_NEURON = re.compile(r"layer (\d+) neuron (\d+)")


def given(
    analysis: str, coordinates: Mapping[str, Any], row: Mapping[str, str], figure: object,
    tuned: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """Fields of `Opening`. `coordinates`: the coordinates at the cursor; `row`: in a table, the
    fields of the row by the names of their columns."""
    named = columns(analysis, {**coordinates, **_direction(row)}, tuned)
    return ({"columns": named} if named else {}) | (item(figure) or token(row))


def token(row: Mapping[str, str]) -> dict[str, Any]:
    """The token of a row, with its spaces, as the text to score after the prompt of the last
    time."""
    text = row.get("token", "").replace("⏎", "\n")
    return {"continuation": text, "after": True} if text else {}


def _direction(row: Mapping[str, str]) -> dict[str, str]:
    """The direction of a row in a table of directions."""
    return {"direction": row["direction"]} if row.get("of") == "Δ" and "direction" in row else {}


def columns(analysis: str, coordinates: Mapping[str, Any], tuned: Sequence[str]) -> tuple[str, ...]:
    """The columns of a value by their names: the base, the models that it is about, and the changed
    model where there is one. Empty without a model."""
    listed = ["base"]
    named_values = {name: str(v) for name, v in coordinates.items() if v not in (None, "")}
    for text in _texts(analysis, named_values):
        try:
            column = parse(text, tuned)
        except TauscopeError:
            continue
        alike = column.text in {f"{name}=1" for name in vectors(column)}  # λ = 1 is the model
        listed += [*([] if alike else vectors(column)), column.text]
    named = tuple(dict.fromkeys(listed))
    return named if len(named) > 1 else ()


def mix(coordinates: Mapping[str, Any], tuned: Sequence[str]) -> Mixed | None:
    """The point of arithmetic at coordinates; None at the base and between points."""
    (text,) = _texts("arithmetic", {name: str(v) for name, v in coordinates.items() if v})
    with suppress(TauscopeError):
        return mixed(parse(text, tuned), tuned)
    return None


def _texts(analysis: str, coordinates: Mapping[str, str]) -> Iterator[str]:
    """Names of columns, which need not parse."""
    model, setting, layer = (
        coordinates.get("model", ""),
        coordinates.get("setting", ""),
        coordinates.get("layer", ""),
    )
    module, reference = coordinates.get("module", ""), coordinates.get("reference", "")
    group = module if module in GROUPS else GROUP_OF.get(module, "")
    part = ",".join(filter(None, (group, layer)))
    match analysis:
        case "arithmetic":
            yield f"{setting} @ {module}" if module not in ("", "all") else setting
        case "ablation":
            yield model
            yield f"ablate({model},by={coordinates.get('reference', model)}):{setting}"
        case "graft":
            rank = f",rank={setting.removeprefix('rank-')}" if setting.startswith("rank-") else ""
            yield f"graft({model}{rank}):{part}"
        case "activation" if neuron := _NEURON.fullmatch(coordinates.get("item", "")):
            yield f"ablate({model}):neurons={neuron[1]}.{neuron[2]}"
        case "activation_difference" if layer:
            yield f"steer({model},layer={layer}):1"
        case "directions" | "direction_places" if layer and module in STEERING:
            direction = f",direction={coordinates.get('direction', '1')}"
            yield f"steer({model},layer={layer},module={module}{direction}):{PUSH}"
        case "alignment" if layer and coordinates.get("head") and module in ("q", "o"):
            yield f"ablate({model}):heads={layer}.{coordinates['head']}"
        case "vector_cosine" | "interference" if reference:
            yield from (model, reference, f"{model}=0.5,{reference}=0.5")
        case _ if layer and analysis in OF_WEIGHTS:
            yield f"graft({model}):{part}"
        case _:
            yield model


def item(figure: object) -> dict[str, Any]:
    """The prompt of an item in a figure of text, with the right answer as its continuation."""
    return uncut(figure.scored) if isinstance(figure, Passages) else {}
