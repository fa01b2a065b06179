"""An adapter's tensors sorted: updates of the model's tensors, and tensors that stand in for them.

Owns how each kind's keys are grouped by module and which form of update a module gets. Opens no
files; the tensors of the model are read only when an update that depends on them is asked for.
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
"""How the names of a kind's own tensors begin, where that isn't the kind's name."""


class AdapterReader:
    """Sorts the tensors of one adapter over the model that `ground` describes."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._modules: dict[str, dict[str, Tensor]] = {}
        self._tokens: dict[str, Tensor] = {}
        self._saved: dict[str, Tensor] = {}
        self._shared: dict[str, Tensor] = {}

    def read(self, stored: Mapping[str, Tensor]) -> AdapterUpdates:
        """Sort all tensors. Raises CheckpointError for one that fits nothing."""
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
        """Put one tensor where it belongs, by its key."""
        kind = self._ground.kind
        name = without_wrappings(key).removeprefix("base_model.model.")
        own = re.match(rf"(.*?)\.({_PREFIXES.get(kind, f'{kind.lower()}_')}.*)$", name)
        if ".original_module." in name:
            return  # the base's own, which older versions of PEFT saved as well
        if match := _TOKENS.match(name):
            self._tokens[match[1]] = tensor
        elif name.startswith("base_model."):
            self._shared[key] = tensor
        elif own and kind == "LN_TUNING":
            self._saved[f"{own[1]}.{name.rpartition('.')[2]}"] = tensor
        elif own:
            inner = re.sub(r"\.default(?=\.|$)", "", own[2])
            self._modules.setdefault(own[1], {})[inner] = tensor
        else:
            self._saved[_SAVED.sub("", name)] = tensor

    def _replace(self, name: str, tensor: Tensor) -> None:
        """A tensor that the adapter brings whole; vocabularies may have grown or shrunk."""
        ground = self._ground
        target = ground.names.find(name)
        if target is None and ground.tie and ground.tie.is_head(name):
            target = ground.tie.head
            info = ground.over.tensors[ground.tie.embedding]
        elif target is None:
            raise ground.unknown(name)
        else:
            info = ground.over.tensors[target]
            ground.found.moved |= target != name
        vocabulary = len(info.shape) == 2 and tensor.shape[1:] == info.shape[1:]
        if tuple(tensor.shape) != info.shape and not vocabulary:
            raise ground.misshapen(target, tuple(tensor.shape), info.shape)
        ground.found.replaced[target] = tensor

    def _settle(self, tie: Tie) -> None:
        """Is a tied output head still tied? Where it isn't, it becomes a tensor of its own."""
        settings, found = self._ground.settings, self._ground.found
        indices = {path: self._indices(path) for path in self._tokens}
        if not tie.parts(settings, [*self._modules], [*self._saved], indices, self._ground.names):
            head = found.replaced.pop(tie.head, None)
            if head is not None:
                found.replaced.setdefault(tie.embedding, head)
        elif tie.head not in found.replaced:
            if tie.embedding in found.replaced and not tie.trains(settings, tie.embedding):
                found.replaced[tie.head] = found.replaced[tie.embedding]
            else:
                found.aliases[tie.head] = tie.embedding

    def _adapt(self) -> None:
        """The updates of all modules."""
        kind, tie = self._ground.kind, self._ground.tie
        products = Products(self._ground, self._modules, self._shared)
        merging = Merging(self._ground, self._shared)
        for path, own in self._modules.items():
            if tie and tie.follows(self._ground.settings, path):
                continue
            if kind == "LORA" and not self._needs_weight(own):
                products.lora(path)
            elif kind == "ADALORA":
                products.adalora(path)
            elif kind == "VERA":
                products.vera(path)
            else:
                merging.module(path, own)

    def _needs_weight(self, own: Mapping[str, Tensor]) -> bool:
        """Does the update of a LoRA module depend on the weight that it updates?"""
        return remakes_base(self._ground.settings) or any("magnitude" in name for name in own)

    def _replace_rows(self, path: str, values: Tensor) -> None:
        """Single rows of an embedding, by the token indices in the settings."""
        ground = self._ground
        target = ground.target(f"{path}.weight")
        tie = ground.tie
        if tie and tie.is_head(f"{path}.weight") and target.name == tie.embedding:
            return  # the same rows once more
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
