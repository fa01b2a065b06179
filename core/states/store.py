"""The base's final-normed states on disk, for the passes of the tuned models.

Owns the chunks of whole documents in which they are stored, in the order of a pass, and their form
in arrays: numpy has no bfloat16, so its bits are stored as int16. Memory holds the chunks of one
batch. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.engine import forms
from core.engine.measurement import Artifact, UnitResult
from core.models.transfers import arrived, down, up
from core.texts.probe import Batch, ProbeSet

CHUNK = 1 << 25
"""The most bytes of a chunk, unless a single document has more."""


class StatesWriter:
    """Collects the final-normed states of a pass over a probe set."""

    def __init__(self, probe: ProbeSet) -> None:
        self._lengths = [len(ids) for ids in probe.ids]
        self._order = probe.order()
        self._batch: Batch | None = None
        self._final = torch.zeros(0)
        self._chunks: list[tuple[list[int], NDArray[Any]]] = []
        self._place: dict[int, NDArray[Any]] = {}

    def see(self, batch: Batch, final: Tensor) -> None:
        """See the states [B, T, d] of a batch."""
        self._batch, self._final = batch, final

    def commit(self) -> None:
        """Put the batch in its place."""
        assert self._batch is not None
        whole = as_array(self._final)
        if not self._place:
            self._lay_out(whole.shape[-1], whole.dtype)
        for states, document in zip(whole, self._batch.documents, strict=True):
            place = self._place[document]
            place[:] = states[: len(place)]

    def artifacts(self) -> Iterator[Artifact]:
        """The chunks, each an artifact."""
        for number, (_, states) in enumerate(self._chunks):
            yield Artifact(
                name=f"final.{number}", arrays={"states": states}, model="base", dense=True
            )

    def state(self) -> dict[str, Any]:
        """The documents of each chunk, with their numbers of tokens."""
        chunks = [[[d, self._lengths[d]] for d in documents] for documents, _ in self._chunks]
        return {"chunks": chunks}

    def _lay_out(self, width: int, dtype: np.dtype[Any]) -> None:
        chunks: list[list[int]] = []
        room = 0
        for document in self._order:
            size = self._lengths[document] * width * dtype.itemsize
            if size > room:
                chunks.append([])
                room = CHUNK
            chunks[-1].append(document)
            room -= size
        for documents in chunks:
            lengths = [self._lengths[d] for d in documents]
            states = np.empty((sum(lengths), width), dtype)
            self._chunks.append((documents, states))
            ends = np.cumsum(lengths)
            for document, end, length in zip(documents, ends, lengths, strict=True):
                self._place[document] = states[end - length : end]


class StoredStates:
    """Reads the states that a unit stored, batch by batch."""

    def __init__(self, key: str, load: Callable[[str], UnitResult]) -> None:
        self._key, self._load = key, load
        state = forms.state(load(key).state, {"chunks": [[[forms.count]]]})
        self._places: dict[int, tuple[int, int, int]] = {}
        for number, documents in enumerate(state["chunks"]):
            start = 0
            for document, length in documents:
                self._places[document] = number, start, length
                start += length
        self._held: dict[int, Tensor] = {}

    def of(self, batch: Batch, like: Tensor) -> Tensor:
        """The states [B, T, d] of a batch, as `like` in dtype and device; 0 at padding."""
        places = [self._places[document] for document in batch.documents]
        wanted = {number for number, _, _ in places}
        self._held = {number: self._held[number] for number in wanted & self._held.keys()}
        for number in wanted - self._held.keys():
            # A result loaded anew: one that is held caches the arrays that were read from it.
            arrays = self._load(self._key).arrays(f"final.{number}")
            self._held[number] = as_tensor(arrays["states"])
        states = torch.zeros_like(like)
        for row, (number, start, length) in enumerate(places):
            rows = up(self._held[number][start : start + length], like.device)
            states[row, :length] = rows.to(like.dtype)
        return states


def as_array(states: Tensor) -> NDArray[Any]:
    """States as an array on the CPU; bfloat16 as its bits, in int16."""
    plain = down(states.detach())
    arrived(states.device)
    plain = plain.view(torch.int16) if plain.dtype == torch.bfloat16 else plain
    array: NDArray[Any] = plain.numpy()
    return array


def as_tensor(array: NDArray[Any]) -> Tensor:
    """The states of `as_array`."""
    plain = torch.from_numpy(np.ascontiguousarray(array))
    return plain.view(torch.bfloat16) if plain.dtype == torch.int16 else plain
