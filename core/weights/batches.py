"""Batches of small eigenproblems from a card, as of the heads of a layer, on the host's threads.

Before version 2.12, torch solves matrices of more than 32 rows one by one on a card, each in
milliseconds for which the card is nearly idle. A core of the host is as fast, and there are
several. Later versions solve them at once.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor

from core.models.transfers import up

ONE_BY_ONE = torch.__version__ < "2.12"

LEAST = 32
"""Size of the largest matrices that a card solves as a batch."""

MOST = 512
"""Size of the largest matrices that are sent to the host."""


def applies(product: Tensor) -> bool:
    """Is this a batch on a card that the card would solve one by one?"""
    size = product.shape[-1] if ONE_BY_ONE and product.device.type != "cpu" else 0
    return len(product) > 1 and LEAST < size <= MOST


def eigh(product: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending eigenvalues [B, n] and vectors [B, n, n], computed in float64. Waits for the card
    once."""
    host = product.to("cpu", non_blocking=True)
    torch.cuda.current_stream(product.device).synchronize()
    solved = list(_threads().map(lambda matrix: torch.linalg.eigh(matrix.double()), host))
    parts = (torch.stack([each[part] for each in solved]) for part in (0, 1))
    values, vectors = (up(part.to(product.dtype), product.device) for part in parts)
    return values, vectors


@cache
def _threads() -> ThreadPoolExecutor:
    """Threads that each solve on one core."""
    count = max(1, min(16, os.cpu_count() or 1))
    return ThreadPoolExecutor(
        count, thread_name_prefix="heads", initializer=torch.set_num_threads, initargs=(1,)
    )
