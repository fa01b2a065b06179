"""The pass over the weights on a card, against a plain copy of the same bytes to it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from tests.benchmarks.report import Row
from tests.benchmarks.weights import moments_pass
from tests.benchmarks.workload import best, family

PIECE = 1 << 26
"""Bytes of one plain copy."""


def rows(folder: Path, device: torch.device) -> Iterator[Row]:
    """Every row about a card, as it is measured."""
    folders = family(folder, tuned=1, layers=2)
    nbytes = sum((each / "model.safetensors").stat().st_size for each in folders)
    copied = best(partial(copy, nbytes, device), 5)
    passed = best(partial(moments_pass, folders, device), 5)
    yield Row(
        "elementwise pass of a pair on a card, over a plain copy", passed / copied, "≤", 1.4,
        f"{passed:.3f} s against {copied:.3f} s, {nbytes / copied / 1e9:.0f} GB/s",
    )  # fmt: skip


def copy(nbytes: int, device: torch.device) -> None:
    """Send so many bytes of pinned memory to a card, and nothing else."""
    pinned = torch.empty(PIECE, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(PIECE, dtype=torch.uint8, device=device)
    for _ in range(-(-nbytes // PIECE)):
        target.copy_(pinned, non_blocking=True)
    torch.cuda.synchronize(device)
