"""The pass over the weights on a card, and a mix written there, against plain copies of as many
bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from core.models.pieces import Piece
from core.vectors.arithmetic import parse
from core.vectors.fused import Form, Kernels, Key
from core.vectors.sweep import Sweep
from tests.benchmarks.report import Row
from tests.benchmarks.weights import moments_pass
from tests.benchmarks.workload import best, family

PIECE = 1 << 26
"""Bytes of one plain copy."""
MATRICES, SHAPE = 8, (18944, 3584)
"""The matrices of a mix, as those of an MLP of a 7B model."""


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
    yield mix(device, MATRICES)


def mix(device: torch.device, count: int) -> Row:
    """A point of two bfloat16 vectors in so many matrices: four passes over the weights, base and
    vectors read and the result written, against two copies of them."""
    model = nn.ParameterDict({f"m{n}": torch.randn(SHAPE).bfloat16() for n in range(count)})
    model.requires_grad_(False).to(device)
    live = dict(model.named_parameters())
    vectors = {name: {n: 1.01 * tensor for n, tensor in live.items()} for name in "ab"}
    pieces = [
        Piece(tensor=n, module="up", layer=0, expert=None, shape=SHAPE, rows=((0, SHAPE[0]),))
        for n in live
    ]
    point, kernels = parse("a=0.7,b=-0.4", ("a", "b")), Kernels(device.type)
    kernels.prepare(Key(Form(2), (torch.bfloat16,) * 4, device))
    kernels.join()
    with Sweep(model, vectors, pieces, kernels=kernels) as sweep:
        took = best(partial(sweep.set, point, measured=False), 10)
        copied = 2 * best(partial(_copy_all, sweep.base, vectors["a"], device), 10)
    size = sum(tensor.numel() for tensor in live.values())
    words = " ".join(kernels.complaints()) or (
        f"{1000 * took:.1f} ms against {1000 * copied:.1f} ms, {size / 1e9:.1f} billion "
        f"parameters, {8 * size / took / 1e9:.0f} GB/s"
    )
    return Row(
        "a mix of two vectors on a card, over plain copies of as many bytes", took / copied, "≤",
        1.2, words,
    )  # fmt: skip


def _copy_all(
    read: Mapping[str, Tensor], written: Mapping[str, Tensor], device: torch.device
) -> None:
    for name, tensor in read.items():
        written[name].copy_(tensor)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy(nbytes: int, device: torch.device) -> None:
    """Send so many bytes of pinned memory to a card, and nothing else."""
    pinned = torch.empty(PIECE, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(PIECE, dtype=torch.uint8, device=device)
    for _ in range(-(-nbytes // PIECE)):
        target.copy_(pinned, non_blocking=True)
    torch.cuda.synchronize(device)
