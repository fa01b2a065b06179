"""One pass over the weights of a family, shared by every analysis of weights.

A slice is one layer, or all parameters outside of layers. Each of its modules is read once from the
base and from every wanted tuned model, and passed to all readers: first the updates, matrix by
matrix and model by model, then the moments of the whole module. Memory holds one matrix of each
model, never a model; embeddings are streamed by rows. Knows no analysis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import groupby
from typing import Protocol

import torch
from torch import Tensor

from core.engine.measurement import Unit, UnitPart, UnitResult
from core.errors import CheckpointError
from core.models import cards
from core.models.adapters.checkpoint import Adapter
from core.models.family import Family, Member
from core.models.naming import ORDER
from core.models.pieces import Piece
from core.weights import bases, linalg
from core.weights.moments import MemberTensor, Moments, accumulate
from core.weights.pairs import Pairing
from core.weights.parts import SliceParts

STREAMED = ("embedding", "unembedding")
"""Modules too large for memory: read by blocks of rows."""

_SHARED = 8
"""Top directions of an update that are computed at once: analyses ask for 1 to 8."""

RELATIVE = "{model}|{parent}"
"""Name of the extra row of moments for a model's vector from its tuned parent."""


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
        own = [m for piece, m in self.pieces if (model, piece.tensor) not in self.lacking]
        if not own:
            return None
        total = Moments.zero(self.total.models)
        for moments in own:
            total += moments
        return total


@dataclass(slots=True)
class MatrixView:
    """One base matrix W [d_out, d_in] with its singular basis, computed on first use."""

    piece: Piece
    matrix: Tensor
    solve: Callable[[Tensor], linalg.Singular] = linalg.singular
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
            self._bases[key] = linalg.basis_of(batch, known, energy=energy, rank=rank)
        return self._bases[key]

    @property
    def known(self) -> linalg.Basis | None:
        """The basis of the whole matrix, if an analysis has asked for it."""
        return next((b for (_, _, by_head), b in self._bases.items() if not by_head), None)

    def directions(self, rank: int) -> linalg.Directions:
        """W's top singular directions, from a basis if one with so many is known."""
        if self.known is not None:
            return self.known.directions(rank)
        own = linalg.working(self.matrix[None])
        return linalg.directions(own, linalg.gram(own), rank=rank)

    def by_head(self, matrix: Tensor) -> Tensor:
        """The heads' blocks of a matrix of this shape: rows of q, k, v; columns of o."""
        count = self.piece.heads
        rows, columns = matrix.shape
        if self.piece.module == "o":
            return matrix.reshape(rows, count, columns // count).transpose(0, 1).contiguous()
        return matrix.reshape(count, rows // count, columns)


class UpdateView:
    """The update Δ [d_out, d_in] of one matrix by one model, with its spectrum."""

    def __init__(self, model: str, delta: Tensor) -> None:
        self.model = model
        self.delta = delta
        self._directions: linalg.Directions | None = None

    @cached_property
    def is_zero(self) -> bool:
        return not bool((self.delta != 0).any())

    @cached_property
    def working(self) -> Tensor:
        """Δ as a batch of one, in working precision."""
        return linalg.working(self.delta[None])

    @cached_property
    def gram(self) -> Tensor:
        return linalg.gram(self.working)

    @cached_property
    def spectrum(self) -> linalg.Spectrum:
        return linalg.spectrum_of_gram(self.gram)

    def directions(self, rank: int) -> linalg.Directions:
        """Δ's top singular directions, computed again only for a higher rank than before."""
        asked = min(rank, self.gram.shape[-1])
        if self._directions is None or self._directions.rank < asked:
            most = min(max(rank, _SHARED), self.gram.shape[-1])
            self._directions = linalg.directions(self.working, self.gram, most)
        return self._directions.first(rank)


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

    def measure(self, matrix: MatrixView, update: UpdateView) -> UnitPart:
        """The result for one matrix's update; called for each model in `updates_of`."""

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        """Called with the result of `measure` for each matrix and model, from now or before a kill,
        in the order of the matrices."""

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        """The finished units, after reading the slice."""


def read_slice(
    family: Family,
    layer: int | None,
    readers: Sequence[Reader],
    *,
    device: torch.device,
    pause: Callable[[], None],
    parts: SliceParts,
) -> None:
    """Read one slice of the family once and pass it to the readers.

    Saved `parts` are neither read nor measured again. `pause` is called between matrices and may
    raise. Raises CheckpointError on values that are not finite.
    """
    wanted = {m for reader in readers for m in (*reader.moments_of, *reader.updates_of)}
    members = [family.tuned[name] for name in family.tuned if name in wanted]
    store = _Store(family, members, family.pieces(layer))
    lacking = frozenset((m.name, tensor) for m in members for tensor in m.lacks)
    pairing = next(filter(None, (getattr(r, "pairing", None) for r in readers)), None)
    with ThreadPoolExecutor(_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        found: dict[str, list[tuple[Piece, Moments]]] = {}
        for piece in _ordered(family.pieces(layer)):
            module = piece.module
            seeing = [r for r in readers if r.updates_of and r.wants_updates(module)]
            shown = seeing if piece.is_matrix and module not in STREAMED else []
            steps = _steps(family, piece, shown)
            missing = [step for step in steps if parts.find(step.name) is None]
            rows = _rows(family, members)
            moments = Moments.of_part(rows, parts.find(_summing(piece)), pairing)
            if missing or moments is None:
                store.hold(piece, whole=bool(missing))
            if moments is None:
                moments = _moments(family, store, members, piece, pool, pairing)
                parts.add(_summing(piece), moments.as_part())
            found.setdefault(module, []).append((piece, moments))
            if missing:
                _measure(family, store, piece, missing, device, pause, parts)
            for step in steps:
                known = parts.find(step.name)
                assert known is not None
                step.reader.take(piece, step.model, known)
            store.drop(piece)
            pause()
    for module in sorted(found, key=ORDER.index):
        total = Moments.zero(_rows(family, members), pairing)
        for _, moments in found[module]:
            total += moments
        for reader in readers:
            reader.see_module(ModuleMoments(layer, module, total, tuple(found[module]), lacking))


def _threads() -> int:
    return max(1, min(8, os.cpu_count() or 1))


def _ordered(pieces: Iterable[Piece]) -> list[Piece]:
    """Pieces by module; pieces in the same rows of a parameter follow one another."""
    first: dict[tuple[str, int | None], int] = {}
    for piece in pieces:
        place = ORDER.index(piece.module)
        region = piece.tensor, piece.expert
        first[region] = min(place, first.get(region, place))

    def order(piece: Piece) -> tuple[int, int, str, int]:
        region = piece.tensor, piece.expert
        return first[region], piece.expert or 0, piece.tensor, ORDER.index(piece.module)

    return sorted(pieces, key=order)


def _rows(family: Family, members: Sequence[Member]) -> tuple[str, ...]:
    """The rows of moments: every wanted model, then the models relative to a wanted tuned
    parent."""
    names = [m.name for m in members]
    relative = [
        RELATIVE.format(model=n, parent=family.parent(n))
        for n in names
        if family.parent(n) in names
    ]
    return (*names, *relative)


@dataclass(frozen=True, slots=True)
class _Held:
    """Rows from `start` of a stored tensor, in memory until the piece `until` is done."""

    start: int
    rows: Tensor
    until: Piece


def _spans(pieces: Iterable[Piece]) -> dict[tuple[str, int | None], tuple[int, int]]:
    """The first and last rows of the pieces of a parameter (of one of its experts)."""
    found: dict[tuple[str, int | None], tuple[int, int]] = {}
    for piece in pieces:
        region = piece.tensor, piece.expert
        start, stop = found.get(region, (piece.rows[0][0], 0))
        found[region] = min(start, piece.rows[0][0]), max(stop, piece.rows[-1][1])
    return found


class _Store:
    """Reads rows of the members' tensors, from memory if they are cached."""

    def __init__(self, family: Family, members: Sequence[Member], pieces: Sequence[Piece]) -> None:
        self.family = family
        self.members = [family.base, *members]
        self._last = {(p.tensor, p.expert): p for p in _ordered(pieces)}
        self._spans = _spans(pieces)
        self._held: dict[tuple[str, str], _Held] = {}

    def hold(self, piece: Piece, *, whole: bool) -> None:
        """Cache rows that are needed more than once, for every member that stores them.

        A piece in one run of rows is needed again if it is read as a `whole`; an interleaved piece
        caches all rows that it shares with others, until the last one is done.
        """
        interleaved = piece.columns is not None or len(piece.rows) > 1
        if not whole and not interleaved:
            return
        for member in self.members:
            name = member.names[piece.tensor]
            if isinstance(member.checkpoint, Adapter) or (member.name, name) in self._held:
                continue
            if interleaved:
                region = piece.tensor, piece.expert
                span, until = self._spans[region], self._last[region]
            else:
                span, until = piece.rows[0], piece
            rows = member.checkpoint.read(name, *span)
            self._held[member.name, name] = _Held(span[0], rows, until)

    def drop(self, piece: Piece) -> None:
        """Drop the rows cached until this piece."""
        self._held = {k: held for k, held in self._held.items() if held.until is not piece}

    def read(
        self, member: Member, tensor: str, start: int, stop: int, into: Tensor | None = None
    ) -> Tensor:
        """Rows of a tensor, by its name in the base, as the member stores them."""
        name = member.names[tensor]
        held = self._held.get((member.name, name))
        if held is not None:
            return held.rows[start - held.start : stop - held.start]
        return member.checkpoint.read(name, start, stop, into)

    def columns(self, member: Member, piece: Piece) -> MemberTensor:
        """A member's columns of a piece: its update if that is stored, else its weights."""
        span = slice(None) if piece.columns is None else slice(*piece.columns)
        adapter, name = member.checkpoint, member.names[piece.tensor]
        direct = (
            isinstance(adapter, Adapter)
            and adapter.over is self.family.base.checkpoint
            and name not in adapter.replaced
        )
        if not direct:
            return MemberTensor(
                lambda a, b, into: self.read(member, piece.tensor, a, b, into)[:, span],
                quantisation=_quantisation(member, piece),
            )
        assert isinstance(adapter, Adapter)
        update = adapter.updates.get(name)
        if update is None:
            width = adapter.tensors[name].columns
            return MemberTensor(lambda a, b, into: torch.zeros(b - a, width)[:, span], True)
        return MemberTensor(lambda a, b, into: update.rows(a, b)[:, span], True)

    def matrix(self, given: MemberTensor, piece: Piece, device: torch.device) -> Tensor:
        """A whole piece [d_out, d_in], float32 on the device."""
        spans = [given.read(start, stop, None) for start, stop in piece.rows]
        stored = spans[0] if len(spans) == 1 else torch.cat(spans)
        matrix = stored.to(device).float()
        return (matrix.mT if piece.transposed else matrix).contiguous()


def _quantisation(member: Member, piece: Piece) -> Callable[[int, int], float]:
    """The energy of quantisation in rows of a piece; of some columns, their share of the rows'."""
    name = member.names[piece.tensor]
    measured = getattr(member.checkpoint, "rounding", None)
    if measured is None:
        return lambda start, stop: 0.0
    columns = member.checkpoint.tensors[name].columns
    share = piece.width / columns
    return lambda start, stop: (measured(name, start, stop) or 0.0) * share


def _moments(
    family: Family,
    store: _Store,
    members: Sequence[Member],
    piece: Piece,
    pool: ThreadPoolExecutor,
    pairing: Pairing | None,
) -> Moments:
    rows = _common(family, piece)
    names = [m.name for m in members]
    relative = [
        (1 + names.index(n), 1 + names.index(p))
        for n in names
        if (p := family.parent(n)) is not None and p in names
    ]
    found = accumulate(
        _rows(family, members),
        store.columns(family.base, piece),
        [store.columns(m, piece) for m in members],
        rows,
        piece.width,
        pool,
        _threads(),
        relative,
        pairing,
    )
    for row, name in enumerate(("base", *names)):
        if not found.finite(row):
            _refuse_non_finite(family, name, piece)
    return found


def _refuse_non_finite(family: Family, name: str, piece: Piece) -> None:
    member = family.base if name == "base" else family.tuned[name]
    raise CheckpointError(
        f"'{name}' ({member.where}): tensor {member.names[piece.tensor]} contains values that are "
        "not finite.",
        hint="Leave the model out, or use another checkpoint of it.",
    )


def _common(family: Family, piece: Piece) -> Sequence[tuple[int, int]]:
    common = family.common_rows.get(piece.tensor)
    return piece.rows if common is None else ((0, common),)


@dataclass(frozen=True, slots=True)
class _Step:
    """A reader's measurement of one matrix and model."""

    name: str
    reader: Reader
    model: str


def _steps(family: Family, piece: Piece, readers: Sequence[Reader]) -> list[_Step]:
    return [
        _Step(f"{reader.name} {model} {piece}", reader, model)
        for model in family.tuned
        for reader in readers
        if model in reader.updates_of
    ]


def _summing(piece: Piece) -> str:
    return f"moments {piece}"


def _measure(
    family: Family,
    store: _Store,
    piece: Piece,
    steps: Sequence[_Step],
    device: torch.device,
    pause: Callable[[], None],
    parts: SliceParts,
) -> None:
    """Call the readers' `measure` for one matrix's update, model by model."""
    base = store.matrix(store.columns(family.base, piece), piece, device)
    solve = partial(bases.solve, memory=parts.sink, base=family.base.fingerprint, piece=piece)
    view = MatrixView(piece, base, solve)
    for model, own in groupby(steps, key=lambda step: step.model):
        given = store.columns(family.tuned[model], piece)
        matrix = store.matrix(given, piece, device)
        update = UpdateView(model, matrix if given.is_update else matrix - base)
        for step in own:
            parts.add(step.name, step.reader.measure(view, update))
        pause()


def choose_device(wanted: str) -> torch.device:
    """The device of the linear algebra; auto chooses CUDA if available (of several cards the one
    with most free memory), else the CPU.

    MPS has no float64 for the sums, so the CPU replaces it.
    """
    if wanted == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        card = cards.roomiest()
        return torch.device("cuda") if card is None else torch.device("cuda", card)
    if wanted == "mps":
        return torch.device("cpu")
    return torch.device(wanted)
