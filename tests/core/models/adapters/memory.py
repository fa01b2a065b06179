"""A model in memory as a checkpoint: the parameters under their names in memory, tied ones once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from core.models.checkpoint import TensorInfo


class InMemory:
    """See `core.models.checkpoint.Checkpoint`."""

    def __init__(self, model: Any) -> None:
        self.where = "memory"
        self.config: Mapping[str, Any] = model.config.to_dict()
        self._held: dict[str, Tensor] = {n: p.detach() for n, p in model.named_parameters()}
        self.tensors: Mapping[str, TensorInfo] = {
            n: TensorInfo(p.dtype, tuple(p.shape)) for n, p in self._held.items()
        }
        self.bytes_read = 0
        self._model = model

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        info = self.tensors[name]
        return self._held[name].reshape(info.rows, info.columns)[start:stop]

    def is_transposed(self, name: str) -> bool:
        return type(self._model.get_submodule(name.rpartition(".")[0])).__name__ == "Conv1D"

    def fingerprint(self) -> str:
        return str(sum(float(t.double().sum()) for t in self._held.values()))

    def refuse_changed(self) -> None:
        """Nothing: it has no files."""
