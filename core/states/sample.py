"""States after each layer: at sampled positions, and summed over groups of documents.

Owns the choice of positions and the grouping of documents. Both follow from the probe set and a
seed alone, so that two models are sampled at the same tokens. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import up
from core.states.store import as_array
from core.texts.probe import Batch, ProbeSet

GROUPS = 16
"""The number of groups of documents with separate sums, from which halves can be formed."""

FIRST = 5
"""The number of first positions of a document with separate sums."""


def chosen(probe: ProbeSet, count: int, seed: int) -> NDArray[np.int64]:
    """At most `count` tokens [n, 2] as document and position, drawn without replacement, in order.

    The first token of a document is left out, unless all documents have one token: it has no
    context, and many models give it states of another size.
    """
    least = int(any(len(ids) > 1 for ids in probe.ids))
    counts = np.array([len(ids) - least for ids in probe.ids])
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(counts.sum(), min(count, int(counts.sum())), replace=False))
    document = np.searchsorted(np.cumsum(counts), drawn, side="right")
    position = drawn - (np.cumsum(counts) - counts)[document] + least
    return np.stack([document, position], 1).astype(np.int64)


def grouped(documents: int, seed: int) -> NDArray[np.int64]:
    """The group of each document, at random, in sizes that differ by one at most."""
    order = np.random.default_rng(seed).permutation(documents)
    return (order % min(GROUPS, documents)).astype(np.int64)


class Sampled:
    """Collects the states at sampled tokens: `layers` maps a layer to [n, d], as stored."""

    def __init__(self, places: NDArray[np.int64]) -> None:
        self._places = places
        self._own: NDArray[np.int64] = places[:0, 0]
        self._flat = torch.zeros(0, dtype=torch.int64)
        self._pending: dict[int, Tensor] = {}
        self.layers: dict[int, NDArray[Any]] = {}

    def begin(self, batch: Batch) -> None:
        row = {document: i for i, document in enumerate(batch.documents)}
        self._own = np.flatnonzero(np.isin(self._places[:, 0], batch.documents))
        flat = [row[d] * batch.ids.shape[1] + p for d, p in self._places[self._own].tolist()]
        self._flat = torch.tensor(flat, dtype=torch.int64)
        self._pending = {}

    def see(self, layer: int, states: Tensor) -> None:
        flat = states.reshape(-1, states.shape[-1])
        self._pending[layer] = flat[up(self._flat, states.device)]

    def commit(self) -> None:
        for layer, states in self._pending.items():
            if layer not in self.layers:
                shape = len(self._places), states.shape[1]
                self.layers[layer] = as_array(torch.zeros(shape, dtype=states.dtype))
            self.layers[layer][self._own] = as_array(states)
        self._pending = {}


class Summed:
    """Collects sums over the documents of each group, at each of the FIRST positions and, last, of
    the documents' means over their tokens.

    `layers` maps a layer to arrays: `sums` [FIRST + 1, groups, d] float32; `norms` [FIRST + 1,
    groups] float64, of the norms of states; `counts` [FIRST + 1, groups] int64, of documents.
    """

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self._groups = groups
        self._batch: Batch | None = None
        self._pending: dict[int, tuple[Tensor, Tensor]] = {}
        self.layers: dict[int, Mapping[str, NDArray[Any]]] = {}

    def begin(self, batch: Batch) -> None:
        self._batch, self._pending = batch, {}

    def see(self, layer: int, states: Tensor) -> None:
        """Add each document's states [B, FIRST + 1, d] and norms [B, FIRST + 1]."""
        assert self._batch is not None
        means, norms = [], []
        for padded, length in zip(states, self._batch.lengths, strict=True):
            unpadded = padded[:length].float()
            size = torch.linalg.vector_norm(unpadded, dim=1)
            missing = max(0, FIRST - length)
            first = torch.nn.functional.pad(unpadded[:FIRST], (0, 0, 0, missing))
            means.append(torch.cat((first, unpadded.mean(0, keepdim=True))))
            sizes = torch.nn.functional.pad(size[:FIRST], (0, missing))
            norms.append(torch.cat((sizes, size.mean()[None])))
        self._pending[layer] = torch.stack(means), torch.stack(norms)

    def commit(self) -> None:
        assert self._batch is not None
        groups = self._groups[list(self._batch.documents)]
        long = np.array(self._batch.lengths)[:, None] > np.array([*range(FIRST), 0])
        for layer, (means, norms) in self._pending.items():
            if layer not in self.layers:
                shape = FIRST + 1, int(self._groups.max()) + 1
                self.layers[layer] = {
                    "sums": np.zeros((*shape, means.shape[2]), np.float32),
                    "norms": np.zeros(shape),
                    "counts": np.zeros(shape, np.int64),
                }
            held = self.layers[layer]
            np.add.at(held["sums"].swapaxes(0, 1), groups, means.cpu().numpy())
            np.add.at(held["norms"].T, groups, norms.cpu().numpy())
            np.add.at(held["counts"].T, groups, long.astype(np.int64))
        self._pending = {}
