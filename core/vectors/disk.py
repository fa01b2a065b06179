"""A family's weights on disk, read block by block.

Owns no arithmetic and holds no tensor: it reads into the caller's workspace.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.models.checkpoint import TensorInfo
from core.models.family import Family, Member
from core.vectors.blocks import Block, Workspace


class Disk:
    """A `core.vectors.blocks.WeightSource` that reads the family's checkpoints."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def base_infos(self) -> dict[str, TensorInfo]:
        """The base's tensors by the names of its parameters."""
        member = self._family.base
        return {name: member.checkpoint.tensors[stored] for name, stored in member.names.items()}

    def infos(self, vector: str) -> dict[str, TensorInfo]:
        """A tuned model's tensors under the base's names."""
        member = self._family.tuned[vector]
        return {ours: member.checkpoint.tensors[name] for ours, name in member.names.items()}

    def base(self, block: Block, space: Workspace) -> Tensor:
        base = self._family.base
        return self._read(base, base.names[block.tensor], block, space)

    def tuned(self, vector: str, block: Block, space: Workspace) -> Tensor:
        member = self._family.tuned[vector]
        return self._read(member, member.names[block.tensor], block, space)

    def _read(self, member: Member, name: str, block: Block, space: Workspace) -> Tensor:
        info = member.checkpoint.tensors[name]
        size = (block.stop - block.start) * info.columns * 8
        into = space.numbers(f"stored by {member.name}", size, torch.uint8)
        return member.checkpoint.read(name, block.start, block.stop, into).reshape(-1)
