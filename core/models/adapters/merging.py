"""Updates that PEFT computes, one module at a time, when their rows are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.adapters.ground import Ground
from core.models.adapters.layer import AdaptedModule, Workbench
from core.models.adapters.updates import Derived

_SCALE_BIASES = frozenset({"IA3", "GLORA", "ROAD", "OSF"})
"""Kinds that change both the weight and the bias of a module."""


class Merging:
    """Reads the modules of one adapter. `shared`: tensors of all modules together, by full keys."""

    def __init__(self, ground: Ground, shared: Mapping[str, Tensor]) -> None:
        self._ground, self._shared = ground, shared
        self._bench = Workbench()

    def module(self, path: str, tensors: Mapping[str, Tensor]) -> None:
        """Read a module. PEFT's errors in merging it appear when its rows are read."""
        ground = self._ground
        target = ground.target(f"{path}.weight")
        if not target.whole or len(ground.info(target.name).shape) != 2:
            raise CheckpointError(
                f"{ground.folder}: an adapter of kind {ground.kind} over {target.name}, which is "
                "not a single matrix, is not read.",
                hint="Merge it into its base model with PEFT and save that.",
            )
        bias = ground.names.find(f"{path}.bias")
        layer = AdaptedModule(
            ground.kind, ground.settings, ground.module(path), tensors, self._shared,
            embedding="lora_embedding_A" in tensors,
        )  # fmt: skip
        sources = tuple(tensors[key] for key in sorted(tensors))
        sources += tuple(self._shared[key] for key in sorted(self._shared))
        made = self._maker(layer, target.name, bias)
        ground.put(target.name, Derived(lambda: made()[0], sources, not layer.additive))
        if bias is not None and ground.kind in _SCALE_BIASES:
            rows = ground.info(bias).rows
            ground.put(bias, Derived(lambda: _or_zeros(made()[1], rows), sources))

    def _maker(
        self, layer: AdaptedModule, name: str, bias: str | None
    ) -> Callable[[], tuple[Tensor, Tensor | None]]:
        """A function of the updates of a module's weight and bias, cached for the last module."""
        turned = self._ground.turns(name) and not layer.embedding

        def make() -> tuple[Tensor, Tensor | None]:
            weight = self._zeros(name) if layer.additive else self._whole(name)
            beside = None if bias is None else self._whole(bias).reshape(-1)
            try:
                update, also = layer.update(weight.T.contiguous() if turned else weight, beside)
            except Exception as error:
                raise self._unmerged(layer, error) from error
            return (update.T if turned else update).contiguous(), also

        return lambda: self._bench.cached(layer.path, make)

    def _whole(self, name: str) -> Tensor:
        """A copy of a tensor before the updates, float32 [rows, columns]."""
        return self._ground.under(name, 0, self._ground.info(name).rows).float().clone()

    def _zeros(self, name: str) -> Tensor:
        info = self._ground.info(name)
        return torch.zeros(info.rows, info.columns)

    def _unmerged(self, layer: AdaptedModule, error: Exception) -> CheckpointError:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return CheckpointError(
            f"{self._ground.folder}: PEFT can't merge the {layer.kind} adapter of {layer.path}: "
            f"{lines[-1].strip()[:200]}",
            hint="Merge it with the version of PEFT that saved it, and compare the merged model.",
        )


def _or_zeros(values: Tensor | None, rows: int) -> Tensor:
    return torch.zeros(rows, 1) if values is None else values[:, None]
