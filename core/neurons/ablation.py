"""Neurons put out of action in a loaded model, for as long as a block lasts.

Ablation at the input of the down projection is exact for gated and ungated MLPs alike: what the
neuron would have written into the residual stream is missing, or is what it writes in the mean.
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
        layer.number: _inputs(own, layer.group)
        for layer, own in zip(neurons.layers, chosen, strict=True)
        if len(own)
    }
    values: Mapping[int, Tensor] = {}
    if means is not None:
        numbers = [layer.number for layer in neurons.layers]
        # Copied, since arrays that were kept in a file can't be written to.
        values = {n: torch.tensor(own) for n, own in zip(numbers, means, strict=True)}

    def tap(layer: int, part: Activations) -> Tensor | None:
        own = places[layer]
        inside = own[(own >= part.start) & (own < part.start + part.product.shape[1])]
        if not len(inside):
            return None
        changed = part.product.clone()
        put: Any = 0
        if layer in values:
            put = values[layer][inside].to(changed)
        changed[:, (inside - part.start).to(changed.device)] = put
        return changed

    # Layers of which nothing is ablated go on in the model's own way, to the last bit.
    with tapping(Neurons(tuple(o for o in neurons.layers if o.number in places)), tap):
        yield


def _inputs(chosen: NDArray[np.int64], group: int) -> Tensor:
    """The inputs that the chosen ones are made of, ascending."""
    return torch.from_numpy((chosen[:, None] * group + np.arange(group)).reshape(-1))
