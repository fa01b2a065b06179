"""The first columns and prompt of a bench that is opened from a picture: the models of the value
under the cursor, and the prompt of the item.

Functions of coordinates and figures. Knows no screen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.bench.columns import parse, vectors
from core.errors import TauscopeError
from core.figures.passages import Passages
from core.vectors.arithmetic import GROUPS

_NEURON = re.compile(r"layer (\d+) neuron (\d+)")


def given(
    analysis: str, coordinates: Mapping[str, Any], figure: object, tuned: Sequence[str]
) -> dict[str, Any]:
    """Fields of `Opening`. `coordinates`: the coordinates at the cursor."""
    named = columns(analysis, coordinates, tuned)
    return ({"columns": named} if named else {}) | item(figure)


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


def _texts(analysis: str, coordinates: Mapping[str, str]) -> Iterator[str]:
    """Names of columns, which need not parse."""
    model, setting, layer, module = (
        coordinates.get(name, "") for name in ("model", "setting", "layer", "module")
    )
    part = ",".join(filter(None, (module if module in GROUPS else "", layer)))
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
        case _:
            yield model


def item(figure: object) -> dict[str, Any]:
    """The prompt of an item in a figure of text, with the right answer as its continuation. An item
    without a prompt gives its whole text as the continuation."""
    if not isinstance(figure, Passages):
        return {}
    blocks = {block.heading: block.passages for block in figure.blocks}
    prompts, answers = blocks.get("Prompt", ()), blocks.get("Answers", ())
    right = [each for each in blocks.get("Choices", ()) if "gold" in each.marks]
    if not prompts:
        whole = blocks.get("Text", ())
        return {"continuation": whole[0].text} if whole else {}
    target = next((each.text for each in (*answers[:1], *right)), "")
    gap = "" if not target or prompts[0].text[-1:].isspace() else " "
    return {"prompt": prompts[0].text, "continuation": gap + target}
