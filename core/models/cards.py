"""The accelerators of this host: which one to use, its name, and why torch can't use them.

Owns the questions to torch and to the driver. Places no model.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from core.errors import StudyError, out_of_memory, reason

_DRIVER = Path("/proc/driver/nvidia/gpus")
"""A folder for each card, made by NVIDIA's driver on Linux."""

ROOM = 0.7
"""Share of a card's free memory that a model may take: the rest is for its activations."""

_SOLVES_FROM = 12, 2
"""CUDA whose cuSOLVER decomposes float32 matrices of low rank; earlier ones fail on some."""


def roomiest(nbytes: int = 0) -> int | None:
    """The card with most free memory, among several; None if a model of so many bytes does not fit
    on it, or there is no choice."""
    if torch.cuda.device_count() < 2:
        return None
    free = [_free(card) for card in range(torch.cuda.device_count())]
    best = max(range(len(free)), key=free.__getitem__)
    return best if nbytes <= ROOM * free[best] else None


def _free(card: int) -> int:
    """The free bytes of a card; 0 if this process can't use it, since others fill or reserve it."""
    try:
        return int(torch.cuda.mem_get_info(card)[0])
    except RuntimeError:
        return 0


def count(device: torch.device) -> int:
    """The cards of this host that torch can use, if this is one; else 1."""
    return torch.cuda.device_count() if device.type == "cuda" else 1


def kind(device: torch.device) -> str:
    """What a device is, for comparing speeds: a card's name, else the device's type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def wanted(asked: str) -> torch.device:
    """The device of the linear algebra, for a study's `run.device`. Raises StudyError if it is
    absent or full, or too old for this torch."""
    from core.weights.stream import choose_device

    device = choose_device(asked)
    try:
        torch.ones(1, device=device)  # memory alone would need no kernel
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        fault = "does not exist"
        if out_of_memory(error):
            fault = "has no free memory"
        elif "no kernel image" in str(error):
            fault = f"is too old for torch {torch.__version__}"
        raise StudyError(f"run.device: '{device}' {fault}.", hint="Use 'auto' or 'cpu'.") from None
    return device


def unused() -> str:
    """Why torch can't use this host's NVIDIA cards; empty if it can, or if there are none or they
    are hidden on purpose."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1")
    if hidden or not _DRIVER.is_dir() or not any(_DRIVER.iterdir()) or torch.cuda.is_available():
        return ""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
    except (RuntimeError, AssertionError) as error:
        return reason(error)
    return f"torch {torch.__version__} for CUDA {torch.version.cuda} finds none"


def outdated() -> str:
    """The fault of the CUDA version that torch is built for; empty for a version without one."""
    built: Any = torch.version.cuda
    if built is None or tuple(map(int, built.split(".")[:2])) >= _SOLVES_FROM:
        return ""
    least = ".".join(map(str, _SOLVES_FROM))
    return (
        f"torch is built for CUDA {built}, which fails on some matrices; install {least} or later"
    )


def listed() -> tuple[tuple[str, int], ...]:
    """The name and the bytes of each card that torch can use."""
    properties = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return tuple((card.name, card.total_memory) for card in properties)


def use_threads(count: int) -> None:
    """Compute with this number of threads in the calling thread."""
    torch.set_num_threads(count)


@contextmanager
def exact() -> Iterator[None]:
    """Multiply float32 in float32 inside the block, whatever the caller or an environment chose:
    TF32 and bfloat16 have three digits."""
    restore = _precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        restore()


def _precision() -> Callable[[], None]:
    """Return a function that restores the precision of products of float32. After a caller has set
    it by torch's newer settings, one for each library, torch refuses to read the older one."""
    try:
        return partial(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
    except RuntimeError:
        backends: Any = torch.backends
        libraries = backends.cuda.matmul, backends.mkldnn.matmul
        before = [each.fp32_precision for each in libraries]

    def restore() -> None:
        for each, precision in zip(libraries, before, strict=True):
            each.fp32_precision = precision

    return restore
