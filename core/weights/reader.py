"""The default answers of a reader of one slice, for analyses of weights to build on.

Owns no measure. Imports torch only for types; `core.weights.views` declares the protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.models.naming import GROUP_OF

if TYPE_CHECKING:
    from core.engine.measurement import UnitPart
    from core.models.pieces import Piece
    from core.weights.views import MatrixView, ModuleMoments, Pending, UpdateView


class SliceReader:
    """Sees nothing: a reader overrides the methods for the parts that it asks for."""

    moments_of: tuple[str, ...] = ()
    updates_of: tuple[str, ...] = ()

    def wants_updates(self, module: str) -> bool:
        return module in GROUP_OF

    def see_module(self, module: ModuleMoments) -> None:
        """Does nothing."""

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        raise NotImplementedError

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        raise NotImplementedError
