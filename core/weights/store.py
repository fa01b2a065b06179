"""Rows of a family's tensors in one slice, read once and cached while they are needed.

Owns the cached rows, and the columns, factors and matrices of pieces. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from core.models.adapters.checkpoint import Adapter
from core.models.adapters.updates import LowRank
from core.models.family import Family, Member
from core.models.naming import ORDER
from core.models.pieces import Piece
from core.weights.moments import MemberTensor
from core.weights.uploads import Sent, Uploads


def in_order(pieces: Iterable[Piece]) -> list[Piece]:
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


class Store:
    """Reads rows of the members' tensors, from memory if they are cached. With `uploads` all rows
    are on the card."""

    def __init__(self, family: Family, members: Sequence[Member], pieces: Sequence[Piece]) -> None:
        self.family = family
        self.members = [family.base, *members]
        self._last = {(p.tensor, p.expert): p for p in in_order(pieces)}
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

    def matrix(
        self, given: MemberTensor, piece: Piece, device: torch.device
    ) -> tuple[Tensor, bool]:
        """A whole piece [d_out, d_in], float32 on the device; and whether it is a bfloat16 one."""
        spans = [given.read(start, stop, None) for start, stop in piece.rows]
        stored = spans[0] if len(spans) == 1 else torch.cat(spans)
        matrix = stored.to(device).float()
        whole = (matrix.mT if piece.transposed else matrix).contiguous()
        return whole, stored.dtype == torch.bfloat16


def _quantisation(member: Member, piece: Piece) -> Callable[[int, int], float]:
    """The energy of quantisation in rows of a piece; of some columns, their share of the rows'."""
    name = member.names[piece.tensor]
    measured = getattr(member.checkpoint, "rounding", None)
    if measured is None:
        return lambda start, stop: 0.0
    columns = member.checkpoint.tensors[name].columns
    share = piece.width / columns
    return lambda start, stop: (measured(name, start, stop) or 0.0) * share
