"""What columns change inside a forward pass."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from core.bench.columns import Ablated, Steered
from core.errors import StudyError


class Changes:
    """Changes of a loaded model's forward pass."""

    def prepared(self, change: Ablated | Steered | None) -> AbstractContextManager[None]:
        """The change, in effect inside the block; the weights may be others afterwards."""
        if change is None:
            return nullcontext()
        raise StudyError(f"The bench has no '{change.text}' yet.")
