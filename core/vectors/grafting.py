"""Parts of tuned models' weights in a loaded base: choosing them, and putting them in.

Owns the choice of parts (`Graft`) and the guarantee that the base's weights are restored bit for
bit. A tuned model's tensors are read when their stage begins, and dropped when it ends. Knows no
forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn

from core.errors import RunError
from core.models import checkpoint
from core.models.family import Member
from core.models.naming import GROUP_OF
from core.models.pieces import Piece
from core.models.transfers import arrived, down, up
from core.vectors.sweep import hash_parameters, refuse_changed, refuse_misfits, tensors_of
from core.weights import linalg

FULL = 1 << 30
"""The rank of a graft with the whole change of every matrix."""


@dataclass(frozen=True, slots=True)
class Graft:
    """A choice of a model's pieces: in these layers, of these modules (none: all).

    `layers` has None for the pieces outside of the layers. With a `rank`, only matrices are taken,
    and their changes are cut to their top `rank` singular directions.
    """

    layers: frozenset[int | None] | None = None
    modules: frozenset[str] | None = None
    rank: int | None = None

    def admits(self, piece: Piece) -> bool:
        """Is this piece the tuned model's?"""
        return (
            (self.layers is None or piece.layer in self.layers)
            and (self.modules is None or piece.module in self.modules)
            and (self.rank is None or piece.is_matrix)
        )


NOTHING = Graft(layers=frozenset())
EVERYTHING = Graft()


def of_group(name: str) -> frozenset[str]:
    """The modules of `attention` or `mlp`; of any other name that module alone."""
    return frozenset(m for m, group in GROUP_OF.items() if group == name) or frozenset((name,))


Configuration = tuple[int | None, tuple[int, ...]]
"""A graft's rank, and the positions of its pieces in a stage."""


class Grafting:
    """Puts parts of tuned models into a loaded base; on leaving, the base's weights are its own.

    `model` holds the base, `pieces` are its parameters in the common vocabulary. In an embedding
    the common rows are taken. Nothing else may change the weights meanwhile.
    """

    def __init__(
        self, model: nn.Module, pieces: Sequence[Piece], members: Mapping[str, Member]
    ) -> None:
        self._model, self._members = model, members
        named = tensors_of(model)
        self.pieces = [piece for piece in pieces if piece.tensor in named]
        self._live = {p.tensor: named[p.tensor].detach() for p in self.pieces}
        infos = {
            name: {n: member.checkpoint.tensors[stored] for n, stored in member.names.items()}
            for name, member in members.items()
        }
        refuse_misfits(self.pieces, self._live, infos)
        self._before = ""

    def __enter__(self) -> Self:
        self._before = hash_parameters(self._model)
        return self

    def __exit__(self, *_: object) -> None:
        refuse_changed(self._model, self._before)

    @contextmanager
    def stage(
        self, tuned: str, grafts: Sequence[Graft], admits: Callable[[Piece], bool]
    ) -> Iterator[Stage]:
        """These grafts of a tuned model among the admitted pieces; the base is restored at the
        end."""
        pieces = [p for p in self.pieces if admits(p) and any(graft.admits(p) for graft in grafts)]
        names = dict.fromkeys(piece.tensor for piece in pieces)
        live = {name: self._live[name] for name in names}
        stage = Stage(
            pieces=pieces,
            configurations=[_configuration(graft, pieces) for graft in grafts],
            live=live,
            base={name: tensor.clone() for name, tensor in live.items()},
            tuned=self._read(tuned, names),
            shared={p.tensor: sum(q.tensor == p.tensor for q in self.pieces) for p in pieces},
        )
        try:
            yield stage
        finally:
            for name, tensor in live.items():
                tensor.copy_(stage.base[name])

    def _read(self, tuned: str, names: Iterable[str]) -> dict[str, Tensor]:
        """A tuned model's tensors in the base's shapes, dtypes and places. Raises RunError, naming
        the tensor, if a value is not finite."""
        member = self._members[tuned]
        tensors, finite = {}, {}
        for name in names:
            live = self._live[name]
            stored = checkpoint.whole(member.checkpoint, member.names[name])
            tensor = up(stored, live.device).to(live.dtype)
            finite[name] = down(torch.isfinite(tensor).all())
            if tensor.shape != live.shape:
                common = min(len(tensor), len(live))
                tensor = torch.cat((tensor[:common], live[common:]))
            tensors[name] = tensor
        arrived(*(tensor.device for tensor in tensors.values()))
        for name, is_finite in finite.items():
            if not bool(is_finite):
                raise RunError(f"'{tuned}': tensor {name} has values that are not finite.")
        return tensors


@dataclass(slots=True)
class Stage:
    """The pieces of some grafts, in the base's and in the tuned model's version.

    `configurations`: of each graft. `shared`: the number of pieces in each tensor.
    """

    pieces: Sequence[Piece]
    configurations: Sequence[Configuration]
    live: Mapping[str, Tensor]
    base: Mapping[str, Tensor]
    tuned: Mapping[str, Tensor]
    shared: Mapping[str, int]
    _factors: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def put(self, configuration: Configuration) -> None:
        """Make exactly these pieces the tuned model's."""
        rank, chosen = configuration
        of: dict[str, list[int]] = {name: [] for name in self.live}
        for place in chosen:
            of[self.pieces[place].tensor].append(place)
        for name, places in of.items():
            if rank is None and len(places) == self.shared[name]:
                self.live[name].copy_(self.tuned[name])
                continue
            self.live[name].copy_(self.base[name])
            for place in places:
                self._write(place, rank)

    def _write(self, place: int, rank: int | None) -> None:
        piece = self.pieces[place]
        live, base, tuned = (
            _Region(piece, of[piece.tensor]) for of in (self.live, self.base, self.tuned)
        )
        if rank is None or rank >= min(piece.shape):
            live.write(tuned.read())
            return
        if place not in self._factors:
            change = linalg.working(_turned(piece, tuned.read() - base.read()))[None]
            ranks = [r or 0 for r, chosen in self.configurations if place in chosen]
            most = max(r for r in ranks if r < min(piece.shape))
            self._factors[place] = linalg.factors(change, most)
        left, right = self._factors[place]
        cut = _turned(piece, left[0, :, :rank] @ right[0, :rank])
        live.write(base.read() + cut.to(torch.float32))


class _Region:
    """A piece's elements of a tensor, as rows and columns."""

    def __init__(self, piece: Piece, tensor: Tensor) -> None:
        flat = tensor.view(-1, tensor.shape[-1] if tensor.dim() > 1 else 1)
        self._flat = flat if piece.columns is None else flat[:, slice(*piece.columns)]
        self._run = piece.rows[0] if len(piece.rows) == 1 else None
        self._rows = torch.cat([torch.arange(*span) for span in piece.rows]).to(tensor.device)

    def read(self) -> Tensor:
        """[rows, columns] float32."""
        if self._run is not None:
            return self._flat[slice(*self._run)].float()
        return self._flat.index_select(0, self._rows).float()

    def write(self, values: Tensor) -> None:
        """Round to the tensor's dtype."""
        self._flat.index_copy_(0, self._rows, values.to(self._flat))


def _turned(piece: Piece, matrix: Tensor) -> Tensor:
    """From the stored orientation to [d_out, d_in], or back."""
    return matrix.mT.contiguous() if piece.transposed else matrix


def _configuration(graft: Graft, pieces: Sequence[Piece]) -> Configuration:
    chosen = tuple(place for place, piece in enumerate(pieces) if graft.admits(piece))
    return (graft.rank if chosen else None), chosen
