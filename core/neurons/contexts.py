"""Neurons in context: the places in the texts where a few neurons are largest, with the values
around them.

Owns the choice of neurons in a layer, and their snippets. `core.neurons.readout` has the tokens
that they promote. Holds the values of one batch and of the chosen neurons alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.hooks import Activations, Neurons, tapping
from core.models.loading import LoadedModel, halving
from core.models.transfers import arrived, down, up
from core.neurons import readout
from core.neurons.activity import last_logits, refuse_nan, refuse_other_tokens, refuse_unknown_ids
from core.texts.probe import Batch, ProbeSet

CHOSEN = 20
"""The most neurons of a layer."""
SNIPPETS = 3
"""Snippets of each neuron, of one document each."""
LENGTH = 48
"""The most tokens of a snippet; the largest value stands two thirds into it."""
DOCUMENTS = 64
"""The number of searched documents, the first of the probe set."""


@dataclass(frozen=True, slots=True)
class LayerContexts:
    """The snippets of a layer's chosen neurons, the largest |h| first.

    `documents` and `starts` [neurons, SNIPPETS] int32: the document (-1: none) and the place of
    the first token in it; `values` [neurons, SNIPPETS, LENGTH] float32: h at each token, NaN past
    the end.
    """

    neurons: NDArray[np.int32]
    documents: NDArray[np.int32]
    starts: NDArray[np.int32]
    values: NDArray[np.float32]


def choose(change: NDArray[np.float32], attribution: NDArray[np.float32]) -> NDArray[np.int32]:
    """The neurons of a layer that were switched on most and off most, and that matter most, in
    equal numbers: at most CHOSEN, in order."""
    orders = [np.argsort(key, kind="stable") for key in (-change, change, -attribution)]
    each = CHOSEN // len(orders)
    return np.unique(np.concatenate([order[:each] for order in orders])).astype(np.int32)


def observe(
    model: LoadedModel,
    neurons: Neurons,
    probe: ProbeSet,
    chosen: Mapping[int, NDArray[np.int32]],
    *,
    batch_size: int,
    pause: Callable[[int], None],
    on_halved: Callable[[int], None],
) -> dict[int, LayerContexts]:
    """One forward pass over the first documents, with the snippets of the chosen neurons of each
    layer. `pause` and `on_halved` as in `core.neurons.activity.observe`."""
    refuse_unknown_ids(model, probe)
    few = probe.first(DOCUMENTS)
    by_layer = {layer: Best(units) for layer, units in chosen.items()}
    done = 0

    def work(size: int) -> None:
        nonlocal done
        for batch in few.batches(size, skip=done):
            taken: list[_Taken] = []

            def tap(layer: int, part: Activations, batch: Batch = batch, to: Any = taken) -> None:
                refuse_other_tokens(layer, part, batch)
                if layer in chosen:
                    to.append(_taken(layer, part, chosen[layer]))

            with torch.inference_mode(), tapping(neurons, tap):
                refuse_nan(model, last_logits(model, batch))
            arrived(*(part.device for part in taken))
            for layer, values in _collected(taken, batch, chosen).items():
                for row, (document, length) in enumerate(
                    zip(batch.documents, batch.lengths, strict=True)
                ):
                    by_layer[layer].add(values[row, :length], document)
            done += len(batch.documents)
            pause(done)

    halving(work, batch_size, on_halved)
    return {layer: best.result() for layer, best in by_layer.items()}


def stored(
    contexts: LayerContexts, probe: ProbeSet, ends: readout.Ends | None, tokenizer: Any
) -> dict[str, NDArray[Any]]:
    """The arrays of a layer's artifact.

    Tokens (-1 past the end) and promoted tokens are indices into its `vocabulary`, which has their
    texts.
    """
    ids = np.full(contexts.values.shape, -1, np.int64)
    for j, slot in zip(*np.nonzero(contexts.documents >= 0), strict=True):
        start = contexts.starts[j, slot]
        shown = probe.ids[contexts.documents[j, slot]][start : start + LENGTH]
        ids[j, slot, : len(shown)] = shown
    known = np.unique(np.concatenate([ids[ids >= 0], ends[0].ravel() if ends else ids[:0].ravel()]))
    texts = readout.texts_of(tokenizer, known.tolist(), after=int(probe.ids[0][-1]))
    arrays: dict[str, NDArray[Any]] = {
        "neurons": contexts.neurons, "documents": contexts.documents, "starts": contexts.starts,
        "values": contexts.values, "vocabulary": np.array(texts, dtype=np.str_),
        "tokens": np.where(ids < 0, -1, np.searchsorted(known, ids)).astype(np.int32),
    }  # fmt: skip
    if ends is not None:
        arrays["promoted"] = np.searchsorted(known, ends[0]).astype(np.int32)
        arrays["products"] = ends[1]
    return arrays


def tokens_seen(probe: ProbeSet) -> int:
    """The tokens of the searched documents."""
    return probe.first(DOCUMENTS).tokens


@dataclass(frozen=True, slots=True)
class _Taken:
    """The values of a layer's chosen neurons in a part, and the tokens of an expert's, on the way
    from `device` to the host. `inside`: which of the chosen neurons they are."""

    layer: int
    inside: NDArray[np.int64]
    values: Tensor
    tokens: Tensor | None
    device: torch.device


def _taken(layer: int, part: Activations, chosen: NDArray[np.int32]) -> _Taken:
    offsets, device = chosen - part.start, part.product.device
    inside = np.flatnonzero((offsets >= 0) & (offsets < part.product.shape[1]))
    wanted = up(torch.from_numpy(offsets[inside].astype(np.int64)), device)
    values = down(part.product.detach()[:, wanted].float())
    tokens = None if part.tokens is None else down(part.tokens)
    return _Taken(layer, inside, values, tokens, device)


def _collected(
    taken: Sequence[_Taken], batch: Batch, chosen: Mapping[int, NDArray[np.int32]]
) -> dict[int, NDArray[np.float32]]:
    """Each layer's [documents, tokens, neurons]; an expert's are 0 at tokens that are not routed to
    it."""
    seen: dict[int, NDArray[np.float32]] = {}
    for part in taken:
        count = len(chosen[part.layer])
        if part.layer not in seen:
            seen[part.layer] = np.zeros((*batch.ids.shape, count), np.float32)
        flat, values = seen[part.layer].reshape(-1, count), part.values.numpy()
        if part.tokens is None:
            flat[:, part.inside] = values
        else:
            flat[np.ix_(part.tokens.numpy(), part.inside)] = values
    return seen


class Best:
    """The snippets of a layer's chosen neurons, or directions, so far: the largest |values|, or the
    largest values if `signed`; the first `skip` tokens of a document are no peaks.

    `peaks` [neurons, SNIPPETS] float32: the largest value of each snippet, by which snippets are
    chosen.
    """

    def __init__(self, neurons: NDArray[np.int32], *, signed: bool = False, skip: int = 0) -> None:
        shape = len(neurons), SNIPPETS
        self.neurons, self._signed, self._skip = neurons, signed, skip
        self.peaks = np.full(shape, -np.inf if signed else 0, np.float32)
        self.documents = np.full(shape, -1, np.int32)
        self.starts = np.zeros(shape, np.int32)
        self.values = np.full((*shape, LENGTH), np.nan, np.float32)

    def add(self, values: NDArray[np.float32], document: int) -> None:
        """Take the values of a document, [tokens, neurons]."""
        if len(values) <= self._skip:
            return
        sizes = (values if self._signed else np.abs(values))[self._skip :]
        peaks, places = sizes.max(0), sizes.argmax(0) + self._skip
        for j in np.flatnonzero(peaks > self.peaks[:, -1]):
            start = int(max(0, min(places[j] - LENGTH * 2 // 3, len(values) - LENGTH)))
            window = np.full(LENGTH, np.nan, np.float32)
            window[: len(values) - start] = values[start : start + LENGTH, j]
            slot = int(np.searchsorted(-self.peaks[j], -peaks[j], side="right"))
            for held, new in (
                (self.peaks, peaks[j]), (self.documents, document),
                (self.starts, start), (self.values, window),
            ):  # fmt: skip
                held[j, slot + 1 :] = held[j, slot:-1].copy()
                held[j, slot] = new

    def result(self) -> LayerContexts:
        return LayerContexts(self.neurons, self.documents, self.starts, self.values)
