"""The stored tensors of a quantised folder, in their stored dtypes.

Owns the cache between two reads. Knows no format.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.checkpoint import Checkpoint
from core.models.quantised.grids import DequantisedRows

CACHED = 12
"""Number of cached tables and packed tensors: enough for about three weights."""


class StoredCheckpoint(Checkpoint, Protocol):
    """A checkpoint that also reads its tensors as stored, including integers."""

    raw_dtypes: Mapping[str, torch.dtype | None]

    def raw(self, name: str, start: int, stop: int) -> Tensor:
        """Rows start:stop of a tensor, [rows, columns], in its stored dtype."""


class Weight(Protocol):
    """One weight of a model, assembled from stored parts."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the model."""

    @property
    def stored(self) -> tuple[str, ...]:
        """The names of its stored tensors."""

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop (all axes but the last together)."""


class PartReader:
    """Reads parts by name, and caches the last few results. Thread-safe."""

    def __init__(self, stored: StoredCheckpoint) -> None:
        self.where = stored.where
        self._stored = stored
        self._made: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = threading.RLock()

    def __contains__(self, name: object) -> bool:
        return name in self._stored.tensors

    @property
    def names(self) -> Iterable[str]:
        """All stored tensors."""
        return self._stored.tensors.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        """A stored tensor's shape. Raises CheckpointError if there is no such tensor."""
        if name not in self:
            raise CheckpointError(
                f"{self.where}: the weight's tensor {name} is missing.",
                hint="Copy the file that holds it from the model's source, or use the unquantised "
                "checkpoint.",
            )
        return self._stored.tensors[name].shape

    def dtype(self, name: str) -> torch.dtype | None:
        """A stored tensor's dtype; None if torch has no such dtype."""
        return self._stored.raw_dtypes[name]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a stored tensor, [rows, columns]."""
        return self._stored.raw(name, start, stop)

    def whole(self, name: str) -> Tensor:
        """A whole stored tensor in its own shape."""
        shape = self.shape(name)
        return self.rows(name, 0, self._stored.tensors[name].rows).reshape(shape)

    def cached(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """The result of `make`, or the cached one of this key."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > CACHED:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]

    def refuse(self, name: str, why: str) -> CheckpointError:
        """The error for a tensor that can't be read, with the reason."""
        return CheckpointError(
            f"{self.where}: the tensor {name} can't be dequantised: {why}",
            hint="Use the unquantised checkpoint, or compare a copy that was saved dequantised.",
        )
