"""Readers of states for one pass over the base, or over any model.

Composes the collectors of `sample` and `store`. Knows no analysis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.engine.measurement import Artifact
from core.states.forward import Seen
from core.states.sample import Sampled, Summed
from core.states.store import StatesWriter
from core.texts.probe import Batch, ProbeSet

FINAL = -1
"""The place of the final-normed states among sampled layers."""


class SampleReader:
    """Takes the states after all layers at sampled tokens, and the final-normed ones there."""

    def __init__(self, layers: int, places: NDArray[np.int64]) -> None:
        self.layers = range(layers)
        self.sampled = Sampled(places)

    def begin(self, batch: Batch) -> None:
        self.sampled.begin(batch)

    def see_layer(self, layer: int, states: Tensor) -> None:
        self.sampled.see(layer, states)

    def see(self, seen: Seen) -> None:
        self.sampled.see(FINAL, seen.final)

    def commit(self) -> None:
        self.sampled.commit()


class SumReader:
    """Takes the sums of the states after all layers over groups of documents."""

    def __init__(self, layers: int, groups: NDArray[np.int64]) -> None:
        self.layers = range(layers)
        self.summed = Summed(groups)

    def begin(self, batch: Batch) -> None:
        self.summed.begin(batch)

    def see_layer(self, layer: int, states: Tensor) -> None:
        self.summed.see(layer, states)

    def see(self, seen: Seen) -> None:
        """Ignored: the reader needs the states of layers alone."""

    def commit(self) -> None:
        self.summed.commit()


class BaseReader:
    """Takes all that later passes of tuned models need of the base: the final-normed states of all
    tokens, a sample of the states after each layer, and their sums."""

    def __init__(
        self, layers: int, probe: ProbeSet, places: NDArray[np.int64], groups: NDArray[np.int64]
    ) -> None:
        self.layers = range(layers)
        self.sample = SampleReader(layers, places)
        self.sums = SumReader(layers, groups)
        self.writer = StatesWriter(probe)

    def begin(self, batch: Batch) -> None:
        self.sample.begin(batch)
        self.sums.begin(batch)

    def see_layer(self, layer: int, states: Tensor) -> None:
        self.sample.see_layer(layer, states)
        self.sums.see_layer(layer, states)

    def see(self, seen: Seen) -> None:
        self.sample.see(seen)
        self.writer.see(seen.batch, seen.final)

    def commit(self) -> None:
        self.sample.commit()
        self.sums.commit()
        self.writer.commit()

    def artifacts(self) -> list[Artifact]:
        """The stored states. The sample of final-normed states has no layer."""
        result = list(self.writer.artifacts())
        for layer, states in self.sample.sampled.layers.items():
            arrays: dict[str, NDArray[Any]] = {"states": states}
            stored_layer = None if layer == FINAL else layer
            result.append(
                Artifact(name="sample", arrays=arrays, model="base", layer=stored_layer, dense=True)
            )
        for layer, sums in self.sums.summed.layers.items():
            result.append(Artifact(name="sums", arrays=sums, model="base", layer=layer, dense=True))
        return result
