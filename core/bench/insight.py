"""Looks into columns: the logit lens, and the neurons that differ between two columns.

Owns the lens at every token and the comparison of neurons at one. Knows no request.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.bench.passes import Passes
from core.bench.prompts import Text
from core.bench.recipes import Recipe
from core.errors import FamilyError
from core.models.hooks import Activations, Neurons, tapping
from core.states.head import Head, seeing_final


def lens(
    passes: Passes, head: Head, names: tuple[str, ...], recipe: Recipe, text: Text
) -> list[tuple[Tensor, Tensor]]:
    """The likeliest token and its probability at each token, after each layer. `names`: the layers'
    names in the loaded model. The last layer gives the model's own predictions."""
    states: dict[int, Tensor] = {}
    final: list[Tensor] = []
    layers = []
    with passes.under(recipe):
        with passes.after_layers(names, states.__setitem__), seeing_final(head, final.append):
            passes.read(text.ids)
        for number in range(len(names)):
            state = states[number] if number < len(names) - 1 else final[-1]
            layers.append(_likeliest(head, state[0], normed=number == len(names) - 1))
    return layers


def _likeliest(head: Head, states: Tensor, *, normed: bool) -> tuple[Tensor, Tensor]:
    """The likeliest token [n] and its probability [n] of states [n, d]."""
    tokens, shares = [], []
    for block in torch.split(states, head.block):
        try:
            given = block if normed else head.norm(block)
        except RuntimeError as error:
            raise FamilyError(
                "This type of model has a further map between its layers and its head, so its "
                "layers have no lens."
            ) from error
        best = torch.softmax(head.logits(given), 1).max(1)
        shares.append(best.values.cpu())
        tokens.append(best.indices.cpu())
    return torch.cat(tokens), torch.cat(shares)


def values(passes: Passes, neurons: Neurons, recipe: Recipe, text: Text, position: int) -> Tensor:
    """The values [neurons of all layers] float32 of the neurons at one token, 0 for the neurons of
    an expert that the token is not routed to."""
    by_layer = {layer.number: torch.zeros(layer.width) for layer in neurons.layers}

    def tap(layer: int, part: Activations) -> None:
        row = part.product[position : position + 1]
        if part.tokens is not None:
            row = part.product[part.tokens.to(part.product.device) == position]
        if len(row):
            by_layer[layer][part.start : part.start + row.shape[1]] = row[0].float().cpu()

    with passes.under(recipe), tapping(neurons, tap):
        passes.read(text.ids[: position + 1])
    return torch.cat(list(by_layer.values()))


def differing(
    neurons: Neurons, first: Tensor, second: Tensor, count: int
) -> tuple[tuple[int, int, float, float], ...]:
    """The neurons whose values differ most, as (layer, neuron, first value, second value)."""
    places = [(layer.number, n) for layer in neurons.layers for n in range(layer.width)]
    order = (first - second).abs().topk(min(max(count, 0), len(places))).indices.tolist()
    return tuple((*places[index], float(first[index]), float(second[index])) for index in order)
