"""One layer of a model with its adapter, merged by PEFT's own code.

For kinds of adapters without a two-factor update. Builds a model of one module under its full name,
loads the base's weight and the adapter's tensors, merges, and returns the difference. Knows no
files and no names of checkpoints.
"""

from __future__ import annotations

import dataclasses
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

ADDITIVE = frozenset({"LOHA", "LOKR"})
"""Kinds whose update does not depend on the weight: it is computed over zeros."""

_ALONE = threading.Lock()
"""Warnings and random numbers belong to the process: one layer is merged at a time."""

_SELECTING = (
    "exclude_modules", "layers_to_transform", "layers_pattern", "modules_to_save",
    "trainable_token_indices", "target_parameters", "rank_pattern", "megatron_config",
    "loftq_config", "corda_config", "eva_config", "lora_ga_config", "feedforward_modules",
)  # fmt: skip
"""Settings that choose modules, or that only training uses. The module is already chosen."""


@dataclass(frozen=True, slots=True)
class AdaptedModule:
    """One adapted module. `stored`: its tensors in the adapter, by their names in the module.

    `shared`: the tensors of the whole adapter, by their full keys.
    """

    kind: str
    settings: Mapping[str, Any]
    path: str
    stored: Mapping[str, Tensor]
    shared: Mapping[str, Tensor]
    embedding: bool = False

    @property
    def additive(self) -> bool:
        return self.kind in ADDITIVE

    def update(self, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The update of the module's weight [d_out, d_in] and of its bias, float32.

        An embedding's weight is [tokens, d]. Raises ValueError if a tensor of the adapter is
        missing or unknown. PEFT's own errors for wrong shapes pass through.
        """
        before = weight.clone(), None if bias is None else bias.clone()
        merged = self._merged(weight, bias)
        new = merged.weight.detach().float() - before[0]
        if before[1] is None or getattr(merged, "bias", None) is None:
            return new, None
        return new, merged.bias.detach().float() - before[1]

    def _merged(self, weight: Tensor, bias: Tensor | None) -> Any:
        import peft

        with _ALONE, torch.no_grad(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")
            model = peft.PeftModel(self._tree(weight, bias), self._config())
            given = {f"base_model.model.{self.path}.{k}": v for k, v in self.stored.items()}
            loaded = peft.set_peft_model_state_dict(model, {**given, **self.shared})
            self._refuse_leftovers(loaded)
            layer: Any = model.base_model.model.get_submodule(self.path)
            layer.merge()
        return layer.get_base_layer()

    def _tree(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        """A model that holds this module alone, under its full name."""
        rows, columns = weight.shape
        leaf: nn.Module
        with torch.device("meta"):
            leaf = nn.Embedding(rows, columns) if self.embedding else nn.Linear(
                columns, rows, bias is not None
            )  # fmt: skip
        leaf.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            leaf.bias = nn.Parameter(bias, requires_grad=False)
        root = node = nn.Module()
        *parents, name = self.path.split(".")
        for parent in parents:
            node.add_module(parent, child := nn.Module())
            node = child
        node.add_module(name, leaf)
        return root

    def _config(self) -> Any:
        """The settings, for this module alone."""
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

        kind: Any = PEFT_TYPE_TO_CONFIG_MAPPING[self.kind]
        known = {f.name for f in dataclasses.fields(kind)} - set(_SELECTING)
        given = {k: v for k, v in self.settings.items() if k in known and v is not None}
        given |= {"target_modules": [self.path], "inference_mode": True, "task_type": None}
        if self.kind == "IA3":
            (scales,) = self.stored.values()
            given["feedforward_modules"] = [self.path] if scales.shape[0] == 1 else []
        if "fan_in_fan_out" in given:
            given["fan_in_fan_out"] = False
        rank = self._rank()
        if rank:
            given["r"] = rank
        return kind(**given)

    def _rank(self) -> int | None:
        """The rank of LoRA's own factors, which patterns may have set for this module."""
        a = self.stored.get("lora_A.weight", self.stored.get("lora_embedding_A"))
        return None if a is None else int(a.shape[0])

    def _refuse_leftovers(self, loaded: Any) -> None:
        from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING

        prefix = PEFT_TYPE_TO_PREFIX_MAPPING[self.kind]
        stem = f"base_model.model.{self.path}.{prefix}"
        bank = "vblora_vector_bank"  # every layer holds the shared bank
        missing = [k for k in loaded.missing_keys if k.startswith(stem) and bank not in k]
        if missing or loaded.unexpected_keys:
            odd = (missing or loaded.unexpected_keys)[0]
            raise ValueError(f"{odd} is {'missing' if missing else 'unknown'}")


class Workbench:
    """A cache of the last module's update; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._path = ""
        self._made: tuple[Tensor, Tensor | None] | None = None

    def cached(
        self, path: str, make: Callable[[], tuple[Tensor, Tensor | None]]
    ) -> tuple[Tensor, Tensor | None]:
        """The result of `make` for this module, cached until another module's is computed."""
        with self._lock:
            if self._made is None or self._path != path:
                self._made = None
                self._path, self._made = path, make()
            return self._made
