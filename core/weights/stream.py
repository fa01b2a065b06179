"""One pass over the weights of a family, shared by every analysis of weights.

A slice is one layer, or all parameters outside of layers. Each of its modules is read once from the
base and from every wanted tuned model, and passed to all readers: first the updates, matrix by
matrix and model by model, then the moments of the whole module. Memory holds one matrix of each
model, never a model; embeddings are streamed by rows. Knows no analysis.
"""

from __future__ import annotations

import os
import time
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
from core.models.adapters.updates import LowRank
from core.models.family import Family, Member
from core.models.naming import ORDER
from core.models.pieces import Piece
from core.models.transfers import arrived, down
from core.weights import bases, card_moments, linalg
from core.weights.moments import MemberTensor, Moments, accumulate
from core.weights.pairs import Pairing
from core.weights.parts import SliceParts
from core.weights.uploads import Sent, Uploads

STREAMED = ("embedding", "unembedding")
"""Modules too large for memory: read by blocks of rows."""

UNSETTLED = 5.0
"""Seconds after which the results on a card are taken, and may be saved, before the slice's end."""

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
        present = [m for piece, m in self.pieces if (model, piece.tensor) not in self.lacking]
        if not present:
            return None
        total = Moments.zero(self.total.models)
        for moments in present:
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
        matrix = linalg.working(self.matrix[None])
        return linalg.directions(matrix, linalg.gram(matrix), rank=rank)

    def by_head(self, matrix: Tensor) -> Tensor:
        """The heads' blocks of a matrix of this shape: rows of q, k, v; columns of o."""
        count = self.piece.heads
        rows, columns = matrix.shape
        if self.piece.module == "o":
            return matrix.reshape(rows, count, columns // count).transpose(0, 1).contiguous()
        return matrix.reshape(count, rows // count, columns)


class UpdateView:
    """The update Δ [d_out, d_in] of one matrix by one model, with its spectrum.

    `factors`: left [d_out, r] and right [r, d_in], on the host, with Δ = left · right.
    """

    def __init__(
        self, model: str, delta: Tensor, factors: tuple[Tensor, Tensor] | None = None
    ) -> None:
        self.model = model
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
        return linalg.gram(self.working)

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
    ordered = _ordered(family.pieces(layer))
    store = _Store(family, members, ordered)
    lacking = frozenset((m.name, tensor) for m in members for tensor in m.lacks)
    pairing = next(filter(None, (getattr(r, "pairing", None) for r in readers)), None)
    by_module: dict[str, list[tuple[Piece, Moments]]] = {}
    waiting: list[Callable[[], None]] = []

    def settle() -> None:
        """Take the results that were asked for."""
        if waiting and store.uploads is not None:
            arrived(device)
        for take in waiting:
            take()
        waiting.clear()

    with ThreadPoolExecutor(_threads(), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        if device.type == "cuda":
            store.uploads = Uploads(device, pool, _threads())
        settled = time.monotonic()
        tasks = [_Task.of(family, members, piece, readers, parts, pairing) for piece in ordered]
        for task, following in zip(tasks, [*tasks[1:], None], strict=True):
            task.hold(store)
            if following is not None and store.uploads is not None:
                following.hold(store)  # it is read while this one is computed
            if task.known is None:
                sums = _moments(family, store, members, task.piece, pool, pairing, device)
                waiting.append(partial(task.sum, family, members, sums, parts))
            waiting.append(partial(task.note, by_module))
            try:
                if task.missing:
                    waiting += _measure(family, store, task, device, pause, parts, settle)
            except (RuntimeError, ValueError, IndexError):
                settle()  # which names values that are not finite
                raise
            waiting.append(partial(task.take, parts))
            store.drop(task.piece)
            if store.uploads is None or time.monotonic() - settled > UNSETTLED:
                settle()
                settled = time.monotonic()
            pause()
        settle()
    for module in sorted(by_module, key=ORDER.index):
        total = Moments.zero(_rows(family, members), pairing)
        for _, moments in by_module[module]:
            total += moments
        for reader in readers:
            reader.see_module(
                ModuleMoments(layer, module, total, tuple(by_module[module]), lacking)
            )


def _threads() -> int:
    return max(1, min(8, os.cpu_count() or 1))


@dataclass(slots=True)
class _Task:
    """One piece of a slice, and what is left to compute of it. `known`: its moments."""

    piece: Piece
    known: Moments | None
    steps: list[_Step]
    missing: list[_Step]

    @classmethod
    def of(
        cls,
        family: Family,
        members: Sequence[Member],
        piece: Piece,
        readers: Sequence[Reader],
        parts: SliceParts,
        pairing: Pairing | None,
    ) -> _Task:
        seeing = [r for r in readers if r.updates_of and r.wants_updates(piece.module)]
        shown = seeing if piece.is_matrix and piece.module not in STREAMED else []
        steps = _steps(family, piece, shown)
        known = Moments.of_part(_rows(family, members), parts.find(_summing(piece)), pairing)
        missing = [step for step in steps if parts.find(step.name) is None]
        return cls(piece, known, steps, missing)

    def hold(self, store: _Store) -> None:
        if self.missing or self.known is None:
            store.hold(self.piece, whole=bool(self.missing))

    def sum(
        self,
        family: Family,
        members: Sequence[Member],
        sums: Callable[[], Moments],
        parts: SliceParts,
    ) -> None:
        """Take the moments."""
        self.known = sums()
        for row, name in enumerate(("base", *(m.name for m in members))):
            if not self.known.finite(row):
                _refuse_non_finite(family, name, self.piece)
        parts.add(_summing(self.piece), self.known.as_part())

    def note(self, by_module: dict[str, list[tuple[Piece, Moments]]]) -> None:
        assert self.known is not None
        by_module.setdefault(self.piece.module, []).append((self.piece, self.known))

    def take(self, parts: SliceParts) -> None:
        """Pass the measured parts to their readers."""
        for step in self.steps:
            known = parts.find(step.name)
            assert known is not None
            step.reader.take(self.piece, step.model, known)


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
    """Rows from `start` of a stored tensor, in memory or on their way to a card, until the piece
    `until` is done."""

    start: int
    stored: Tensor | Sent
    until: Piece

    @property
    def rows(self) -> Tensor:
        return self.stored.rows if isinstance(self.stored, Sent) else self.stored


def _spans(pieces: Iterable[Piece]) -> dict[tuple[str, int | None], tuple[int, int]]:
    """The first and last rows of the pieces of a parameter (of one of its experts)."""
    spans: dict[tuple[str, int | None], tuple[int, int]] = {}
    for piece in pieces:
        region = piece.tensor, piece.expert
        start, stop = spans.get(region, (piece.rows[0][0], 0))
        spans[region] = min(start, piece.rows[0][0]), max(stop, piece.rows[-1][1])
    return spans


class _Store:
    """Reads rows of the members' tensors, from memory if they are cached. With `uploads` all rows
    are on the card."""

    def __init__(self, family: Family, members: Sequence[Member], pieces: Sequence[Piece]) -> None:
        self.family = family
        self.members = [family.base, *members]
        self._last = {(p.tensor, p.expert): p for p in _ordered(pieces)}
        self._spans = _spans(pieces)
        self._held: dict[tuple[str, str], _Held] = {}
        self.uploads: Uploads | None = None

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
            rows = self._read(member, name, *span)
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
        rows = self._read(member, name, start, stop, into)
        return rows.rows if isinstance(rows, Sent) else rows

    def _read(
        self, member: Member, name: str, start: int, stop: int, into: Tensor | None = None
    ) -> Tensor | Sent:
        checkpoint = member.checkpoint
        if self.uploads is None:
            return checkpoint.read(name, start, stop, into)
        info = checkpoint.tensors[name]
        dtype = info.dtype
        if isinstance(checkpoint, Adapter) or dtype is None:
            dtype = checkpoint.read(name, start, min(start + 1, stop)).dtype
        return self.uploads.send(partial(checkpoint.read, name), start, stop, info.columns, dtype)

    def columns(self, member: Member, piece: Piece) -> MemberTensor:
        """A member's columns of a piece: its update if that is stored, else its weights."""
        span = slice(None) if piece.columns is None else slice(*piece.columns)
        adapter, name = member.checkpoint, member.names[piece.tensor]
        if not self._is_direct(member, piece):
            return MemberTensor(
                lambda a, b, into: self.read(member, piece.tensor, a, b, into)[:, span],
                quantisation=_quantisation(member, piece),
            )
        assert isinstance(adapter, Adapter)
        update = adapter.updates.get(name)
        width = adapter.tensors[name].columns
        if update is None:
            device = torch.device("cpu") if self.uploads is None else self.uploads.device
            return MemberTensor(
                lambda a, b, into: torch.zeros(b - a, width, device=device)[:, span], True
            )
        if self.uploads is None:
            return MemberTensor(lambda a, b, into: update.rows(a, b)[:, span], True)
        uploads = self.uploads

        def sent(start: int, stop: int, into: Tensor | None) -> Tensor:
            made = uploads.send(
                lambda a, b, _: update.rows(a, b), start, stop, width, torch.float32
            )
            return made.rows[:, span]

        return MemberTensor(sent, True)

    def factors(self, member: Member, piece: Piece) -> tuple[Tensor, Tensor] | None:
        """The factors left and right of an adapter's whole update of a piece, if it stores them."""
        adapter = member.checkpoint
        if not self._is_direct(member, piece):
            return None
        assert isinstance(adapter, Adapter)
        update = adapter.updates.get(member.names[piece.tensor])
        if not isinstance(update, LowRank):
            return None
        columns = slice(None) if piece.columns is None else slice(*piece.columns)
        left = torch.cat([update.left[start:stop] for start, stop in piece.rows])
        right = update.right[:, columns]
        return (right.mT, left.mT) if piece.transposed else (left, right)

    def _is_direct(self, member: Member, piece: Piece) -> bool:
        """Does the member store its update of the base's tensor alone?"""
        adapter = member.checkpoint
        return (
            isinstance(adapter, Adapter)
            and adapter.over is self.family.base.checkpoint
            and member.names[piece.tensor] not in adapter.replaced
        )

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
    device: torch.device,
) -> Callable[[], Moments]:
    rows = _common(family, piece)
    names = [m.name for m in members]
    relative = [
        (1 + names.index(n), 1 + names.index(p))
        for n in names
        if (p := family.parent(n)) is not None and p in names
    ]
    names_of_rows, base = _rows(family, members), store.columns(family.base, piece)
    tuned = [store.columns(member, piece) for member in members]
    if store.uploads is not None:
        return card_moments.accumulate(
            names_of_rows, base, tuned, rows, piece.width, relative, pairing, device
        )
    return partial(
        accumulate, names_of_rows, base, tuned, rows, piece.width, pool, _threads(), relative,
        pairing,
    )  # fmt: skip


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
    task: _Task,
    device: torch.device,
    pause: Callable[[], None],
    parts: SliceParts,
    settle: Callable[[], None],
) -> list[Callable[[], None]]:
    """Call the readers' `measure` for one matrix's update, model by model; returns what takes the
    results. On the processor they are taken at once, so that a kill loses little."""
    piece = task.piece
    later: list[Callable[[], None]] = []
    if store.uploads is None:
        settle()
    base = store.matrix(store.columns(family.base, piece), piece, device)
    solve = partial(bases.solve, memory=parts.sink, base=family.base.fingerprint, piece=piece)
    view = MatrixView(piece, base, solve)
    for model, steps in groupby(task.missing, key=lambda step: step.model):
        given = store.columns(family.tuned[model], piece)
        matrix = store.matrix(given, piece, device)
        delta = matrix if given.is_update else matrix - base
        update = UpdateView(model, delta, store.factors(family.tuned[model], piece))
        for step in steps:
            pending = step.reader.measure(view, update)
            if store.uploads is None:
                parts.add(step.name, pending())
            else:
                later.append(partial(_take, step, pending, parts))
        pause()
    return later


def _take(step: _Step, pending: Pending, parts: SliceParts) -> None:
    parts.add(step.name, pending())


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
