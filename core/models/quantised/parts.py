"""The stored tensors of a quantised folder, in the dtypes in which they lie.

Owns what is held in memory between two reads. Knows no format.
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
"""Tables and packed tensors that are held: those of the three or so weights read last."""


class StoredCheckpoint(Checkpoint, Protocol):
    """A checkpoint that also gives its tensors as they lie in the files, integers among them."""

    raw_dtypes: Mapping[str, torch.dtype | None]

    def raw(self, name: str, start: int, stop: int) -> Tensor:
        """Rows start:stop of a tensor, [rows, columns], in its stored dtype."""


class Weight(Protocol):
    """One weight of a model, made of parts that are stored."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in the model."""

    @property
    def stored(self) -> tuple[str, ...]:
        """The names of the tensors that it is made of."""

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop (all axes but the last together)."""


class PartReader:
    """Reads parts by name, and holds the few that were made last. Safe from several threads."""

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
        """A stored tensor's shape. Raises CheckpointError when there is no such tensor."""
        if name not in self:
            raise CheckpointError(
                f"{self.where}: the tensor {name} is missing, which its weight needs.",
                hint="Copy the file that holds it from the model's source, or use the unquantised "
                "checkpoint.",
            )
        return self._stored.tensors[name].shape

    def dtype(self, name: str) -> torch.dtype | None:
        """A stored tensor's dtype; None when torch has no such dtype."""
        return self._stored.raw_dtypes[name]

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Rows of a stored tensor, [rows, columns]."""
        return self._stored.raw(name, start, stop)

    def whole(self, name: str) -> Tensor:
        """A stored tensor in its shape."""
        shape = self.shape(name)
        return self.rows(name, 0, self._stored.tensors[name].rows).reshape(shape)

    def made(self, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """What `make` returns, from memory where it was made lately under this key."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > CACHED:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]

    def refuse(self, name: str, why: str) -> CheckpointError:
        """The error that says why a tensor can't be read."""
        return CheckpointError(
            f"{self.where}: the tensor {name} can't be dequantised: {why}",
            hint="Use the unquantised checkpoint, or compare a copy that was saved dequantised.",
        )
