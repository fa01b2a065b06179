"""PEFT LoRA adapters as checkpoints laid over another one; the tuned model is never materialised.

Owns how an adapter's files name and scale their factors: Δ = scale · B · A. Other kinds of adapter
are refused by name.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.checkpoint import (
    Checkpoint,
    TensorInfo,
    _Safetensors,
    load_tensors_only,
    stable_config,
)
from core.errors import CheckpointError
from core.headers import ADAPTER, read_json, refuse_other_adapters
from core.models import folders

_HEADS = ("lm_head.weight", "embed_out.weight")


@dataclass(frozen=True, slots=True)
class LowRank:
    """An update scale · left · right of a stored tensor: left [rows, r], right [r, columns]."""

    left: Tensor
    right: Tensor

    def rows(self, start: int, stop: int) -> Tensor:
        """Rows start:stop of the update, float32."""
        return self.left[start:stop] @ self.right


class Adapter:
    """A LoRA adapter over the checkpoint `over`. Tensors it doesn't touch are those of `over`."""

    def __init__(self, folder: Path, over: Checkpoint) -> None:
        self.where = str(folder)
        self.over = over
        self.config: Mapping[str, Any] = over.config
        self.settings = read_json(folder / ADAPTER)
        refuse_other_adapters(folder, self.settings)
        stored = _stored(folder)
        try:
            self.updates, self.replaced = _updates(folder, self.settings, stored, over)
        except (TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, re.error):
            raise CheckpointError(
                f"{folder}: the adapter's settings or factors can't be understood.",
                hint="Merge it into its base model with PEFT and save that.",
            ) from None
        own = {n: TensorInfo(t.dtype, tuple(t.shape)) for n, t in self.replaced.items()}
        self.tensors: Mapping[str, TensorInfo] = {**over.tensors, **own}
        self.bytes_read = 0

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return self.over.is_transposed(name)

    @property
    def base_name(self) -> str:
        """What the adapter says it was trained on."""
        return str(self.settings.get("base_model_name_or_path") or "")

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows of the tuned tensor, float32 where the adapter updates it.

        A tensor may be both: PEFT saves the embedding that it adapts.
        """
        if name in self.replaced:
            info = self.tensors[name]
            stored = self.replaced[name].reshape(info.rows, info.columns)[start:stop]
        else:
            stored = self.over.read(name, start, stop, into)
        update = self.updates.get(name)
        return stored if update is None else stored.float() + update.rows(start, stop)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.over.fingerprint().encode())
        digest.update(stable_config(self.config).encode())
        for name, update in sorted(self.updates.items()):
            digest.update(name.encode())
            for factor in (update.left, update.right):
                digest.update(factor.contiguous().numpy().tobytes())
        for name, tensor in sorted(self.replaced.items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def is_adapter(folder: Path) -> bool:
    """Does this directory hold an adapter and not a whole model?"""
    return folders.is_adapter(folder)


def _stored(folder: Path) -> dict[str, Tensor]:
    file = folder / "adapter_model.safetensors"
    if file.is_file():
        source = _Safetensors(str(folder), {}, [file])
        return {
            name: source.read(name, 0, info.rows).reshape(info.shape)
            for name, info in source.tensors.items()
            if info.dtype
        }
    if (folder / "adapter_model.bin").is_file():
        return load_tensors_only(folder / "adapter_model.bin")
    raise folders.without_factors(folder)


def _updates(
    folder: Path, settings: Mapping[str, Any], stored: Mapping[str, Tensor], over: Checkpoint
) -> tuple[dict[str, LowRank], dict[str, Tensor]]:
    """The low-rank updates by tensor of `over`, and the tensors that the adapter replaces."""
    updates: dict[str, LowRank] = {}
    replaced: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        bare = name.removeprefix("base_model.model.")
        factor = re.match(r"(.*)\.lora_(embedding_)?([AB])(?:\.weight)?$", bare)
        if not factor:
            saved = re.sub(r"\.modules_to_save(\.default)?", "", bare)
            if saved.endswith(_HEADS) and not any(t.endswith(_HEADS) for t in over.tensors):
                continue  # a tied base has no output head to replace
            replaced[_target(folder, saved, over)] = tensor
        elif factor[3] == "A":
            target = _target(folder, f"{factor[1]}.weight", over)
            other = stored.get(name.replace("lora_A", "lora_B").replace("_A", "_B"))
            if other is None:
                raise CheckpointError(f"{folder}: {name} has no matching lora_B.")
            scale = _scale(settings, factor[1], tensor)
            turned = bool(factor[2]) or over.is_transposed(target)
            updates[target] = _low_rank(folder, target, tensor, other, scale, turned, over)
    return updates, replaced


def _target(folder: Path, name: str, over: Checkpoint) -> str:
    """The tensor of the model that an adapter's name means; prefixes may differ."""
    name = name.replace(".base_layer", "")
    if name in over.tensors:
        return name
    ends = [t for t in over.tensors if name.endswith("." + t) or t.endswith("." + name)]
    if len(ends) != 1:
        raise CheckpointError(
            f"{folder}: the adapter updates {name}, which the model under it does not have.",
            hint="The adapter belongs to another base; name its parent in the study.",
        )
    return ends[0]


def _scale(settings: Mapping[str, Any], module: str, a: Tensor) -> float:
    """alpha/r, or alpha/√r for rank-stabilised LoRA, with the per-module patterns of PEFT."""
    alpha = _pattern(settings.get("alpha_pattern"), module, settings.get("lora_alpha", 8))
    rank = a.shape[0]
    return float(alpha) / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _pattern(patterns: Any, module: str, default: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _low_rank(
    folder: Path,
    target: str,
    a: Tensor,
    b: Tensor,
    scale: float,
    turned: bool,
    over: Checkpoint,
) -> LowRank:
    """Factors in the orientation in which the model stores the tensor.

    `turned`: stored as [d_in, d_out] (Conv1D, embeddings). What PEFT's own flag says of it belongs
    to the last module that was adapted, not to this one.
    """
    left, right = scale * b.float(), a.float()
    if turned:
        left, right = right.T.contiguous(), left.T.contiguous()
    shape = over.tensors[target].shape
    if left.shape[1] != right.shape[0] or (left.shape[0], right.shape[1]) != shape:
        raise CheckpointError(
            f"{folder}: the update of {target} is {left.shape[0]} × {right.shape[1]}, "
            f"the tensor {' × '.join(map(str, shape))}.",
            hint="The adapter belongs to another base; name its parent in the study.",
        )
    return LowRank(left, right)
