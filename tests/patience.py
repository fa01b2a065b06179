"""Waiting for other threads and processes, as long as a busy machine may take and no longer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120.0
"""Seconds; what is awaited mostly comes within two or three."""

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], patience: float = PATIENCE) -> Found:
    """What `look` gives as soon as that is anything, or what it gives in the end."""
    end = time.monotonic() + patience
    while not (result := look()) and time.monotonic() < end:
        time.sleep(0.05)
    return result
