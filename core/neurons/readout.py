"""The tokens that a neuron promotes: its column of the down projection, read by the output head.

Calls the loaded modules, so any orientation, adapter or placement of the weights works. Knows no
analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.hooks import LayerNeurons
from core.models.loading import LoadedModel
from core.models.pieces import Piece
from core.models.transfers import arrived, down, up
from core.states.head import final_norm, unwrapped

PROMOTED = 10
"""Tokens at each end."""

Ends = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Token ids and products [neurons, 2, PROMOTED]: the largest, then the smallest."""


def promoted(
    model: LoadedModel,
    pieces: Sequence[Piece],
    layer: LayerNeurons,
    chosen: NDArray[np.int32],
) -> Ends | None:
    """The tokens whose logits neurons raise and lower most. `pieces` are the model's parameters.

    A neuron's column, scaled to a mean square of 1, goes through the final norm and the head,
    whose biases are left out. A neuron of a stack of experts has NaN products. None for a model
    without an output head, with a smaller vocabulary, or with a head that does not fit the layers.
    """
    module = unwrapped(model.module)
    if module.get_output_embeddings() is None:
        return None
    with torch.inference_mode():
        columns, known = _columns(module, model, layer, chosen)
    logits = products(model, pieces, columns)
    if logits is None:
        return None
    ids, values = ends(logits)
    values[~known] = np.nan
    return ids, values


def products(model: LoadedModel, pieces: Sequence[Piece], vectors: Tensor) -> Tensor | None:
    """The logits [n, vocabulary] that vectors [n, d], each scaled to a mean square of 1, add
    through the final norm and the head without biases. None as in `promoted`."""
    module = unwrapped(model.module)
    head = module.get_output_embeddings()
    if head is None or model.vocabulary < 2 * PROMOTED:
        return None
    with torch.inference_mode():
        scaled = vectors / vectors.float().pow(2).mean(1, keepdim=True).sqrt().clamp_min(1e-30)
        try:
            normed = _linear(final_norm(module, pieces), scaled.to(module.dtype))
            return _linear(head, normed).float()
        except RuntimeError:  # further maps lie between the layers and the head
            return None


def ends(products: Tensor) -> Ends:
    """The tokens with the largest and the smallest products [n, vocabulary]."""
    tops = [
        torch.topk(sign * products, min(PROMOTED, products.shape[1]), dim=1) for sign in (1.0, -1.0)
    ]
    ids = down(torch.stack([top.indices for top in tops], 1))
    values = down(torch.stack([tops[0].values, -tops[1].values], 1))
    arrived(products.device)
    return ids.numpy(), values.numpy()


def texts_of(tokenizer: Any, ids: Sequence[int], after: int) -> list[str]:
    """The text of each token id after the token `after`, with its space, if any; for a part of a
    character, the token's name in the vocabulary."""
    before = tokenizer.decode([after])
    texts = (tokenizer.decode([after, token]).removeprefix(before) for token in ids)
    names = map(str, tokenizer.convert_ids_to_tokens(list(ids)))
    return [name if "\ufffd" in text else text for text, name in zip(texts, names, strict=True)]


def _columns(
    module: Any, model: LoadedModel, layer: LayerNeurons, chosen: NDArray[np.int32]
) -> tuple[Tensor, NDArray[np.bool_]]:
    """The columns [neurons, d_out] of the down projections, and which of them are known."""
    known = np.zeros(len(chosen), bool)
    vectors: Tensor | None = None
    for part in layer.parts:
        offsets = chosen - part.start
        rows = np.flatnonzero((offsets >= 0) & (offsets < part.count))
        if part.experts or not len(rows):
            continue
        units = torch.zeros(len(rows), part.width, dtype=module.dtype, device=model.device)
        places = torch.from_numpy(offsets[rows].astype(np.int64))
        units[up(torch.arange(len(rows)), model.device), up(places, model.device)] = 1
        columns = _linear(part.module, units)
        if vectors is None:
            vectors = columns.new_zeros(len(chosen), columns.shape[1])
        vectors[up(torch.from_numpy(rows), vectors.device)] = columns
        known[rows] = True
    if vectors is None:
        width = int(module.get_input_embeddings().weight.shape[1])
        vectors = torch.zeros(len(chosen), width, dtype=module.dtype, device=model.device)
    return vectors, known


def _linear(module: Any, given: Tensor) -> Tensor:
    """The output of a module, less its output for an input of zeros."""
    made: Tensor = module(given) - module(torch.zeros_like(given[:1]))
    return made
