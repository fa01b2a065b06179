"""The data for readers of the weights: base matrices, their updates, and moments of modules.

Owns the protocol of a reader. Reads no file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from torch import Tensor

from core.engine.measurement import Unit, UnitPart, UnitResult
from core.models.pieces import Piece
from core.models.transfers import down
from core.weights import linalg
from core.weights.moments import Moments

_SHARED = 8
"""Top directions of an update that are computed at once: analyses ask for 1 to 8."""


@dataclass(frozen=True, slots=True)
class ModuleMoments:
    """A module of a layer: its total moments, and the moments of each stored tensor's piece.

    `lacking`: pairs of a model and a tensor that it lacks.
    """

    layer: int | None
    module: str
    total: Moments
    pieces: tuple[tuple[Piece, Moments], ...]
    lacking: frozenset[tuple[str, str]] = frozenset()

    def of(self, model: str) -> Moments | None:
        """The moments over the tensors that a model has; None if it lacks the module."""
        if not self.lacking:
            return self.total
        present = [m for piece, m in self.pieces if (model, piece.tensor) not in self.lacking]
        if not present:
            return None
        total = Moments.zero(self.total.models)
        for moments in present:
            total += moments
        return total


@dataclass(slots=True)
class MatrixView:
    """One base matrix W [d_out, d_in] with its singular basis, computed on first use.

    `models`: the tuned models of the study, so that a resumed run computes as a whole one does.
    `terms`: 1 if W is stored as bfloat16, see `linalg.gram`.
    """

    piece: Piece
    matrix: Tensor
    solve: Callable[[Tensor], linalg.Singular] = linalg.singular
    models: int = 1
    terms: int = 0
    _singular: dict[bool, linalg.Singular] = field(default_factory=dict)
    _bases: dict[tuple[float, int | None, bool], linalg.Basis] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        return self.piece.shape[0], self.piece.shape[1]

    @property
    def has_heads(self) -> bool:
        """Do its rows (the columns of o) belong to attention heads?"""
        return self.piece.heads > 0

    def basis(self, energy: float, rank: int | None, *, by_head: bool = False) -> linalg.Basis:
        """The basis of W as a batch of one, or of its heads' blocks as a batch [heads]."""
        key = (energy, rank, by_head)
        if key not in self._bases:
            batch = linalg.working(self.by_head(self.matrix) if by_head else self.matrix[None])
            if by_head not in self._singular:
                solve = linalg.singular if by_head else self.solve
                self._singular[by_head] = solve(batch)
            known = self._singular[by_head]
            self._bases[key] = linalg.basis_of(
                batch, known, energy=energy, rank=rank, uses=self.models, terms=self.terms
            )
        return self._bases[key]

    @property
    def known(self) -> linalg.Basis | None:
        """The basis of the whole matrix, if an analysis has asked for it."""
        return next((b for (_, _, by_head), b in self._bases.items() if not by_head), None)

    def directions(self, rank: int) -> linalg.Directions:
        """W's top singular directions, from a basis if one with so many is known."""
        if self.known is not None:
            return self.known.directions(rank)
        matrix = linalg.working(self.matrix[None])
        return linalg.directions(matrix, linalg.gram(matrix, self.terms), rank=rank)

    def by_head(self, matrix: Tensor) -> Tensor:
        """The heads' blocks of a matrix of this shape: rows of q, k, v; columns of o."""
        count = self.piece.heads
        rows, columns = matrix.shape
        if self.piece.module == "o":
            return matrix.reshape(rows, count, columns // count).transpose(0, 1).contiguous()
        return matrix.reshape(count, rows // count, columns)


class UpdateView:
    """The update Δ [d_out, d_in] of one matrix by one model, with its spectrum.

    `factors`: left [d_out, r] and right [r, d_in], on the host, with Δ = left · right. `narrow`: Δ
    is the difference of two matrices that are stored as bfloat16.
    """

    def __init__(
        self,
        model: str,
        delta: Tensor,
        factors: tuple[Tensor, Tensor] | None = None,
        narrow: bool = False,
    ) -> None:
        self.model = model
        self.narrow = narrow
        self.delta = delta
        self._factors = factors
        self._directions: linalg.Directions | None = None

    @cached_property
    def is_zero(self) -> bool:
        """Is Δ known to be zero? On a card it is not asked: see `changed`."""
        return self.delta.device.type == "cpu" and not bool(self.changed)

    @cached_property
    def changed(self) -> Tensor:
        """Is any element not 0? On the host, as what went `down`."""
        return down((self.delta != 0).any())

    @cached_property
    def working(self) -> Tensor:
        """Δ as a batch of one, in working precision."""
        return linalg.working(self.delta[None])

    @cached_property
    def gram(self) -> Tensor:
        # The rounding error of a sum of two bfloat16 numbers is one: two terms are exact.
        return linalg.gram(self.working, 2 if self.narrow else 0)

    @cached_property
    def spectrum(self) -> linalg.Spectrum:
        if self._factors is not None:
            return linalg.spectrum_of_factors(*self._factors)
        return linalg.spectrum_of_gram(self.gram)

    def directions(self, rank: int) -> linalg.Directions:
        """Δ's top singular directions, computed again only for a higher rank than before."""
        asked = min(rank, self.gram.shape[-1])
        if self._directions is None or self._directions.rank < asked:
            most = min(max(rank, _SHARED), self.gram.shape[-1])
            self._directions = linalg.directions(self.working, self.gram, most)
        return self._directions.first(rank)


Pending = Callable[[], UnitPart]
"""A result that is called once, after the card has computed it."""


class Reader(Protocol):
    """An analysis's reader of one slice; one for each analysis with units in it.

    A reader with an attribute `pairing` (a `Pairing` of models in `moments_of`) finds the sums of
    these pairs in the moments.
    """

    name: str
    """The name of its analysis."""
    moments_of: tuple[str, ...]
    """Models with wanted moments."""
    updates_of: tuple[str, ...]
    """Models with wanted updates, matrix by matrix."""

    def wants_updates(self, module: str) -> bool:
        """Does it need the updates of this module's matrices?"""

    def see_module(self, module: ModuleMoments) -> None:
        """Called once for each module, after its matrices."""

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        """The result for one matrix's update; called for each model in `updates_of`.

        On a card it asks for everything and waits for nothing: what it brings `down` is complete
        when the result is called.
        """

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        """Called with the result of `measure` for each matrix and model, from now or before a kill,
        in the order of the matrices."""

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        """The finished units, after reading the slice."""
