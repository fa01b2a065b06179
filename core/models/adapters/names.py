"""The tensors of a model that an adapter's keys name, under any prefixes.

PEFT stores the module names of the model in memory during training. Another version of
transformers, or a larger model around the language model, has the same modules under other
prefixes; separate matrices of experts may have become one stack. Knows no kinds of adapters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from core.models.checkpoint import TensorInfo

_FRONT = frozenset(
    {"base_model", "model", "language_model", "text_model", "transformer", "gpt_neox", "module"}
)
"""Containers of a whole language model: optional prefixes of a name."""

_WRAPPINGS = re.compile(r"(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)")
_RENAMED = ((".block_sparse_moe.", ".mlp."), (".mlp.", ".block_sparse_moe."))
_EXPERT = re.compile(r"(.*\.experts)\.(\d+)\.(w1|w2|w3|gate_proj|up_proj|down_proj)\.weight$")
_STACKED = {
    "w1": ("gate_up_proj", 0), "gate_proj": ("gate_up_proj", 0),
    "w3": ("gate_up_proj", 1), "up_proj": ("gate_up_proj", 1),
    "w2": ("down_proj", None), "down_proj": ("down_proj", None),
}  # fmt: skip
"""The stack of an expert's matrix, and its half of the rows (None: all rows)."""


@dataclass(frozen=True, slots=True)
class AdaptedTensor:
    """A tensor, or rows start:start + rows of it (all axes but the last together)."""

    name: str
    start: int
    rows: int
    columns: int
    whole: bool = True


class AdapterNames:
    """The tensors of the model under an adapter, found by the adapter's names."""

    def __init__(self, tensors: Mapping[str, TensorInfo]) -> None:
        self._tensors = tensors
        self._bare: dict[str, list[str]] = {}
        for name in tensors:
            self._bare.setdefault(bare(name), []).append(name)

    def find(self, name: str) -> str | None:
        """The one tensor of a name; None if no tensor or several tensors match."""
        name = without_wrappings(name)
        if name in self._tensors:
            return name
        for old, new in (("", ""), *_RENAMED):
            matches = self._bare.get(bare(name.replace(old, new) if old else name), ())
            if len(matches) == 1:
                return matches[0]
        return None

    def target(self, name: str) -> AdaptedTensor | None:
        """The place of the tensor `name`; an expert's matrix may lie in the stack of all
        experts."""
        stored_name = self.find(name)
        if stored_name is not None:
            info = self._tensors[stored_name]
            return AdaptedTensor(stored_name, 0, info.rows, info.columns)
        return self._in_stack(name)

    def parameters(self, module: str) -> list[str]:
        """The parameters that a module holds itself, in the model's order."""
        front = bare(f"{without_wrappings(module)}.")
        swaps = [front, *(front.replace(old, new) for old, new in _RENAMED)]
        for start in dict.fromkeys(swaps):
            names = [
                each for key, names in self._bare.items()
                if key.startswith(start) and "." not in key[len(start):] for each in names
            ]  # fmt: skip
            if names:
                return names
        return []

    def _in_stack(self, name: str) -> AdaptedTensor | None:
        match = _EXPERT.match(without_wrappings(name))
        if not match:
            return None
        stack, half = _STACKED[match[3]]
        stored_name = self.find(f"{match[1]}.{stack}")
        if stored_name is None or len(self._tensors[stored_name].shape) != 3:
            return None
        info, expert = self._tensors[stored_name], int(match[2])
        experts, rows, _ = info.shape
        if expert >= experts:
            return None
        height = rows if half is None else rows // 2
        start = expert * rows + height * (half or 0)
        return AdaptedTensor(stored_name, start, height, info.columns, whole=False)


def without_wrappings(name: str) -> str:
    """A name without the wrappers of torch.compile and of sharding."""
    return _WRAPPINGS.sub("", name).removeprefix(".")


def bare(name: str) -> str:
    """A name without the containers of the language model at its front."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0] in _FRONT:
        del parts[0]
    return ".".join(parts)
