"""The states of a forward pass that its backward pass needs: kept, or computed again.

Owns the choice, layer by layer, and the count of bytes. Numbers do not depend on the choice. Knows
no analysis.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import checkpoint

from core.models import memory

SHARES = {"cuda": 0.5, "cpu": 0.25}
"""Share of a device's free memory that states may take. The backward pass needs the rest; on the
host, other programs do too."""


class Keeping:
    """Keeps the states of a batch's layers while there is room, and has the other layers compute
    them again in the backward pass.

    `reserved`: the bytes of each device that something else in the batch takes. Layers with
    offloaded weights keep nothing, since their states hold the weights. `layers` counts the layers
    that keep their states, `taken` the bytes on each device.
    """

    def __init__(self, reserved: int) -> None:
        self.layers = 0
        self.taken: dict[torch.device, int] = {}
        self.keeps = False
        """Does the layer that computes now keep its states?"""
        self._reserved = reserved
        self._room: dict[torch.device, float] = {}
        self._largest: dict[torch.device, int] = {}
        self._counted: set[int] = set()

    @contextmanager
    def around(self, module: nn.Module) -> Iterator[None]:
        """Keep or recompute the states of this module's forward passes inside the block."""
        original = vars(module).get("forward")
        forward_pass = module.forward

        def forward(*given: Any, **named: Any) -> Any:
            device = _home(module)
            if device is not None and self._fits(device):
                with self._keeping(module, device):
                    return forward_pass(*given, **named)
            return checkpoint.checkpoint(
                forward_pass, *given, use_reentrant=False, preserve_rng_state=False,
                determinism_check="none", **named,
            )  # fmt: skip

        module.forward = forward
        try:
            yield
        finally:
            if original is None:
                del module.forward
            else:
                module.forward = original

    def hold(self, tensor: Tensor) -> Tensor:
        """Count a tensor that is kept until the backward pass; returns it."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._counted:
            self._counted.add(storage.data_ptr())
            self.taken[tensor.device] = self.taken.get(tensor.device, 0) + storage.nbytes()
        return tensor

    def _hold_apart(self, tensor: Tensor) -> Tensor:
        """Hold a state without its graph: a result that its own step of the graph saves would refer
        to itself, and stay in memory if the backward pass never comes."""
        return self.hold(tensor.detach())

    def _fits(self, device: torch.device) -> bool:
        """Is there room for one more layer as large as the largest so far?"""
        if device not in self._room:
            self._room[device] = _share(device) * (memory.free(device) - self._reserved)
        wanted = self.taken.get(device, 0) + self._largest.get(device, 0)
        return 0 < self._room[device] >= wanted

    @contextmanager
    def _keeping(self, module: nn.Module, device: torch.device) -> Iterator[None]:
        weights = (*module.parameters(), *module.buffers())
        self._counted |= {weight.untyped_storage().data_ptr() for weight in weights}
        before = self.taken.get(device, 0)
        self.keeps = True
        try:
            with torch.autograd.graph.saved_tensors_hooks(self._hold_apart, lambda tensor: tensor):
                yield
        finally:
            self.keeps = False
        more = self.taken.get(device, 0) - before
        self._largest[device] = max(more, self._largest.get(device, 0))
        self.layers += 1


class Recomputing(Keeping):
    """Keeps nothing."""

    def __init__(self) -> None:
        super().__init__(0)

    def _fits(self, device: torch.device) -> bool:
        return False


def _home(module: nn.Module) -> torch.device | None:
    """The device of all weights of a module; None if they are on several, or offloaded."""
    devices = {parameter.device for parameter in module.parameters()}
    device = devices.pop() if len(devices) == 1 else None
    return None if device is None or device.type == "meta" else device


def _share(device: torch.device) -> float:
    """The share of a device's free memory for states. A process with some of the host's cores, such
    as one worker of several, takes as much of its memory."""
    share = SHARES.get(device.type, 0.0)
    if device.type == "cpu":
        share *= min(1.0, torch.get_num_threads() / (os.cpu_count() or 1))
    return share
