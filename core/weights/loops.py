"""Whether loops over weights run compiled, which takes numba (the extra `fast`).

Owns the choice. Imports numba only when there is enough work to be worth its start.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

WORTH = 1 << 20
"""Elements of a tensor from which the compiled loops are used: numba starts in half a second."""


def compiled(elements: int) -> Any:
    """The module `core.weights.compiled` for a tensor of so many elements; None if the tensor is
    small, or numba is absent, does not fit the installed numpy or is switched off."""
    return _load() if elements >= WORTH else None


@lru_cache(1)
def _load() -> Any:
    try:
        import numba
    except ImportError:
        return None
    if numba.config.DISABLE_JIT:
        return None
    return importlib.import_module("core.weights.compiled")
