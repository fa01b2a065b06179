"""An adapter's tensors sorted into updates and replacements of the model's tensors.

Owns the grouping of keys by module and the form of each module's update. Opens no files; reads
tensors of the model only for updates that depend on them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.adapters.ground import AdapterUpdates, Ground
from core.models.adapters.merging import Merging
from core.models.adapters.names import without_wrappings
from core.models.adapters.products import Products
from core.models.adapters.settings import remakes_base
from core.models.adapters.ties import Tie
from core.models.adapters.updates import RowReader, Tokens

_TOKENS = re.compile(r"(.*?)\.(?:token_adapter\.)?trainable_tokens_delta$")
_SAVED = re.compile(r"\.(modules_to_save(\.default)?|token_adapter|base_layer)(?=\.)")
_PREFIXES = {
    "LORA": "lora_", "ADALORA": "lora_", "LOHA": "hada_", "VERA": "vera_lambda_",
    "LN_TUNING": "ln_tuning_",
}  # fmt: skip
"""Prefixes of tensor names by kind, where they differ from the kind's name."""


class AdapterReader:
    """Sorts the tensors of one adapter over the model that `ground` describes."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._modules: dict[str, dict[str, Tensor]] = {}
        self._tokens: dict[str, Tensor] = {}
        self._saved: dict[str, Tensor] = {}
        self._shared: dict[str, Tensor] = {}

    def read(self, stored: Mapping[str, Tensor]) -> AdapterUpdates:
        """Sort all tensors. Raises CheckpointError for a tensor without a place in the model."""
        for key, tensor in stored.items():
            self._place(key, tensor)
        for name, tensor in self._saved.items():
            self._replace(name, tensor)
        if self._ground.tie:
            self._settle(self._ground.tie)
        self._adapt()
        for path, values in self._tokens.items():
            self._replace_rows(path, values)
        return self._ground.gathered()

    def _place(self, key: str, tensor: Tensor) -> None:
        """Sort one tensor by its key."""
        kind = self._ground.kind
        name = without_wrappings(key).removeprefix("base_model.model.")
        parsed = re.match(rf"(.*?)\.({_PREFIXES.get(kind, f'{kind.lower()}_')}.*)$", name)
        if ".original_module." in name:
            return  # the base's own tensor, which older versions of PEFT saved too
        if match := _TOKENS.match(name):
            self._tokens[match[1]] = tensor
        elif name.startswith("base_model."):
            self._shared[key] = tensor
        elif parsed and kind == "LN_TUNING":
            self._saved[f"{parsed[1]}.{name.rpartition('.')[2]}"] = tensor
        elif parsed:
            inner = re.sub(r"\.default(?=\.|$)", "", parsed[2])
            self._modules.setdefault(parsed[1], {})[inner] = tensor
        else:
            self._saved[_SAVED.sub("", name)] = tensor

    def _replace(self, name: str, tensor: Tensor) -> None:
        """Replace a whole tensor; a vocabulary may have grown or shrunk."""
        ground = self._ground
        target = ground.names.find(name)
        if target is None and ground.tie and ground.tie.is_head(name):
            target = ground.tie.head
            info = ground.over.tensors[ground.tie.embedding]
        elif target is None:
            raise ground.unknown(name)
        else:
            info = ground.over.tensors[target]
            ground.collected.moved |= target != name
        vocabulary = len(info.shape) == 2 and tensor.shape[1:] == info.shape[1:]
        if tuple(tensor.shape) != info.shape and not vocabulary:
            raise ground.misshapen(target, tuple(tensor.shape), info.shape)
        ground.collected.replaced[target] = tensor

    def _settle(self, tie: Tie) -> None:
        """Make the tied output head a separate tensor if the adapter unties it."""
        settings, collected = self._ground.settings, self._ground.collected
        indices = {path: self._indices(path) for path in self._tokens}
        if not tie.parts(settings, [*self._modules], [*self._saved], indices, self._ground.names):
            head = collected.replaced.pop(tie.head, None)
            if head is not None:
                collected.replaced.setdefault(tie.embedding, head)
        elif tie.head not in collected.replaced:
            if tie.embedding in collected.replaced and not tie.trains(settings, tie.embedding):
                collected.replaced[tie.head] = collected.replaced[tie.embedding]
            else:
                collected.aliases[tie.head] = tie.embedding

    def _adapt(self) -> None:
        """Read the updates of all modules."""
        kind, tie = self._ground.kind, self._ground.tie
        products = Products(self._ground, self._modules, self._shared)
        merging = Merging(self._ground, self._shared)
        for path, tensors in self._modules.items():
            if tie and tie.follows(self._ground.settings, path):
                continue
            if kind == "LORA" and not self._needs_weight(tensors):
                products.lora(path)
            elif kind == "ADALORA":
                products.adalora(path)
            elif kind == "VERA":
                products.vera(path)
            else:
                merging.module(path, tensors)

    def _needs_weight(self, tensors: Mapping[str, Tensor]) -> bool:
        """Does the update of a LoRA module depend on the weight that it updates?"""
        return remakes_base(self._ground.settings) or any("magnitude" in name for name in tensors)

    def _replace_rows(self, path: str, values: Tensor) -> None:
        """Replace single rows of an embedding, by the token indices in the settings."""
        ground = self._ground
        target = ground.target(f"{path}.weight")
        tie = ground.tie
        if tie and tie.is_head(f"{path}.weight") and target.name == tie.embedding:
            return  # PEFT stored the same rows twice
        info = ground.info(target.name)
        indices = torch.tensor(self._indices(path), dtype=torch.long)
        if values.shape != (len(indices), info.columns) or bool((indices >= info.rows).any()):
            raise CheckpointError(
                f"{ground.folder}: the trained tokens of {path} are {list(values.shape)}, for "
                f"{len(indices)} token indices of a vocabulary of {info.rows} × {info.columns}.",
                hint="Tokens added before training need the model under the adapter to have them.",
            )
        ground.put(target.name, Tokens(indices, values, _rows_of(ground.under, target.name)))

    def _indices(self, path: str) -> tuple[int, ...]:
        """The token indices that the settings give for a module."""
        settings = self._ground.settings
        given = settings.get("trainable_token_indices") or settings.get("token_indices")
        if isinstance(given, Mapping):
            ends = [key for key in given if path == key or path.endswith(f".{key}")]
            given = given[ends[0]] if ends else None
        return tuple(given or ())


def _rows_of(under: Callable[[str, int, int], Tensor], name: str) -> RowReader:
    return lambda start, stop: under(name, start, stop)
