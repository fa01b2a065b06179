"""Ablation of neurons in a loaded model, for the duration of a block.

Ablation at the input of the down projection is exact for gated and ungated MLPs: the neuron's
contribution to the residual stream becomes zero, or its mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.hooks import Activations, Neurons, tapping
from core.neurons.ranking import Chosen


@contextmanager
def ablated(
    neurons: Neurons, chosen: Chosen, means: Sequence[NDArray[Any]] | None = None
) -> Iterator[None]:
    """Set the chosen neurons (or heads) of each layer to 0 at every token, or to their `means`
    [inputs]."""
    places = {
        layer.number: _inputs(units, layer.group)
        for layer, units in zip(neurons.layers, chosen, strict=True)
        if len(units)
    }
    values: Mapping[int, Tensor] = {}
    if means is not None:
        numbers = [layer.number for layer in neurons.layers]
        # Copied, since arrays loaded from a file are read-only.
        values = {
            n: torch.tensor(layer_means) for n, layer_means in zip(numbers, means, strict=True)
        }

    def tap(layer: int, part: Activations) -> Tensor | None:
        inputs = places[layer]
        inside = inputs[(inputs >= part.start) & (inputs < part.start + part.product.shape[1])]
        if not len(inside):
            return None
        changed = part.product.clone()
        put: Any = 0
        if layer in values:
            put = values[layer][inside].to(changed)
        changed[:, (inside - part.start).to(changed.device)] = put
        return changed

    # Layers without ablated neurons stay bit for bit as in the plain model.
    with tapping(Neurons(tuple(o for o in neurons.layers if o.number in places)), tap):
        yield


def _inputs(chosen: NDArray[np.int64], group: int) -> Tensor:
    """The inputs of the chosen neurons or heads, ascending."""
    return torch.from_numpy((chosen[:, None] * group + np.arange(group)).reshape(-1))
