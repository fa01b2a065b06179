"""Small tensors between the host and a card, without waiting for what the card computes.

A copy from or to memory that is not pinned waits for everything that the card was asked for before.
"""

from __future__ import annotations

import torch
from torch import Tensor


def pinned(nbytes: int) -> Tensor:
    """Memory of the host from which a card copies at full speed, uint8."""
    return torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)


def pinned_copy(tensor: Tensor) -> Tensor:
    """The tensor itself if it lies in pinned memory, else a copy there."""
    return tensor if tensor.is_pinned() else tensor.pin_memory()


def up(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    return pinned_copy(tensor).to(device, non_blocking=True)


def down(tensor: Tensor) -> Tensor:
    """The tensor on the host; of a card's tensor a copy in pinned memory that is complete after
    `arrived`. The card itself may read it before, in the same order."""
    return tensor.to("cpu", non_blocking=tensor.device.type == "cuda")


def arrived(*devices: torch.device) -> None:
    """Wait until all that went `down` from these devices is complete."""
    for device in set(devices):
        if device.type == "cuda":
            torch.cuda.current_stream(device).synchronize()
