"""A reader that leaves the collecting to another one.

Owns the forwarding alone. Imports torch only for types, so a declaration can build on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from core.states.forward import Reader, Seen
    from core.texts.probe import Batch


class Forwarding:
    """Passes all that it sees to its `collector`."""

    collector: Reader

    @property
    def layers(self) -> Collection[int]:
        return self.collector.layers

    def begin(self, batch: Batch) -> None:
        self.collector.begin(batch)

    def see_layer(self, layer: int, states: Tensor) -> None:
        self.collector.see_layer(layer, states)

    def see(self, seen: Seen) -> None:
        self.collector.see(seen)

    def commit(self) -> None:
        self.collector.commit()
