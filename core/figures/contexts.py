"""One neuron in context: snippets of texts with its value at each token, and tokens it promotes.

Owns the figure, made of stored arrays. Computes nothing; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from core.figures.figure import BASE
from core.figures.passages import Block, Passage, Passages, Token, passage
from core.figures.views import Tabulation

TOLD = 6
"""Tokens of each end."""

_NONE = (
    "This run has no neurons in context for this model. Run the study again to see the snippets in "
    "which each neuron is largest and the tokens that it promotes; finished results are reused."
)
_NOTE = (
    "h is the neuron's output before the down projection. The number at a promoted token is its "
    "logit for a column of mean square 1."
)
_FEW = (
    "has no stored contexts. Contexts are stored for the neurons of each layer with the largest "
    "changes of rate or the largest attribution."
)

Arrays = Mapping[str, NDArray[Any]]


def neuron_name(layer: int, neuron: int) -> str:
    """The name of a neuron among all of a model."""
    return f"layer {layer} neuron {neuron}"


def of_neuron(asked: Tabulation) -> Passages:
    """The chosen neuron of a tuned model, in it and in the base."""
    model = asked.choice.model
    layers = asked.catalogue.values("layer")
    by_layer = {number: asked.arrays("contexts", model=model, layer=number) for number in layers}
    places = {
        neuron_name(layer, int(neuron)): (layer, j)
        for layer, arrays in by_layer.items() if arrays is not None
        for j, neuron in enumerate(arrays["neurons"])
    }  # fmt: skip
    item = asked.choice.item or next(iter(places), "")
    if item not in places:
        words = f"{item.capitalize()} {_FEW}" if places else _NONE
        blocks: tuple[Block, ...] = (Block("", (passage("", words),)),)
    else:
        layer, j = places[item]
        base = asked.arrays("contexts", model=BASE, reference=model, layer=layer)
        both = [(model, by_layer[layer]), (BASE, base)]
        blocks = tuple(b for whose, arrays in both if arrays for b in _blocks(whose, arrays, j))
    return Passages(
        title=" · ".join(filter(None, (item.capitalize(), model))),
        blocks=blocks,
        measure="h",
        signed=True,
        note=_NOTE if item in places else "",
        items=tuple(places),
        item=item if item in places else "",
        chosen={"model": model},
    )


def snippet(arrays: Arrays, j: int, slot: int, *, beside: str = "") -> Passage:
    """A stored snippet of row j, with its values."""
    values = [float(value) for value in arrays["values"][j, slot]]
    pairs = zip(arrays["tokens"][j, slot], values, strict=True)
    known = [(index, v) for index, v in pairs if index >= 0 and math.isfinite(v)]
    tokens = tuple(Token(_text(arrays, index), value) for index, value in known)
    label = f"document {arrays['documents'][j, slot]}, from token {int(arrays['starts'][j, slot])}"
    return Passage(label, tokens, beside=beside)


def _blocks(whose: str, arrays: Arrays, j: int) -> Iterator[Block]:
    """The tokens that a neuron promotes in a model, and the snippets in which it is largest."""
    ends = [
        passage(name, tokens)
        for end, name in enumerate(("raises", "lowers"))
        if (tokens := _promoted(arrays, j, end))
    ]
    if ends:
        yield Block(f"Tokens that it promotes in {whose}", tuple(ends))
    yield Block(f"Where it is largest in {whose}", tuple(_snippets(arrays, j)))


def _promoted(arrays: Arrays, j: int, end: int) -> str:
    if "promoted" not in arrays:
        return ""
    pairs = zip(arrays["promoted"][j, end][:TOLD], arrays["products"][j, end], strict=False)
    known = [(_text(arrays, index), float(value)) for index, value in pairs]
    tokens = (f"{text.strip() or '␣'} {value:+.2f}" for text, value in known if value == value)
    return " · ".join(tokens)


def _snippets(arrays: Arrays, j: int) -> Iterator[Passage]:
    for slot, document in enumerate(arrays["documents"][j]):
        if document < 0:
            continue
        excerpt = snippet(arrays, j, slot)
        peak = max((t.value for t in excerpt.tokens if t.value is not None), key=abs, default=0.0)
        yield replace(excerpt, beside=f"largest {peak:+.3g}")


def _text(arrays: Arrays, index: int) -> str:
    vocabulary = arrays["vocabulary"]
    return str(vocabulary[index]) if 0 <= index < len(vocabulary) else ""
