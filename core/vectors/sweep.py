"""Points of task arithmetic in a loaded model: writing a point, and restoring the base.

Owns the guarantee that the base's weights are restored bit for bit. Every point is computed from a
copy of the base and never from the previous point, since rounding errors would accumulate. Knows no
library of models, only a `torch.nn.Module` and mappings of tensors.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from core.errors import FamilyError, RunError
from core.models.checkpoint import TensorInfo
from core.models.pieces import Piece
from core.sizes import counted
from core.vectors.arithmetic import BASE, EVERYTHING, ArithmeticPoint, Restriction
from core.vectors.blocks import Block, WeightSource, Workspace, cut, spread, thread_count
from core.vectors.combination import Rounding, VectorCombination
from core.vectors.disk import Disk
from core.vectors.drops import Drops
from core.vectors.fused import Form, Kernels, Key
from core.vectors.selection import find_marks
from core.weights.moments import BLOCK

_ACCELERATED = 1 << 24  # elements of a block on a GPU, where the calls dominate the cost
_FUSED = 1 << 26  # of one that a kernel writes, which takes no memory beside the tensors
_AT_ONCE = 256  # blocks written between two pauses
_SPARE = 0.5
"""Share of a card's free memory that copies may take: the rest is for the model's own work."""

_SHARED = 1 << 21  # elements from which threads share the blocks: starting them takes longer
_HASHED = 1 << 26  # bytes brought to the CPU at a time


class Sweep:
    """Writes points into a loaded model; on leaving, restores the base's weights.

    `model` holds the base. `vectors`: the weights of each tuned model under the names of the base's
    parameters, on any device, as stored; they are only read. In an embedding the common rows are
    combined and the others stay the base's. `pieces`: the base's parameters in the common
    vocabulary; parameters outside of all pieces stay unchanged, and pieces without a parameter in
    the loaded model are left out. Nothing else may change the weights meanwhile. With a `disk`, the
    base and the vectors are read from there for each point and memory holds the model alone.
    `near`: copy the vectors to the model's cards where these have room. `kernels` write points that
    are not measured, where all tensors are on cards.
    """

    def __init__(
        self,
        model: nn.Module,
        vectors: Mapping[str, Mapping[str, Tensor]],
        pieces: Sequence[Piece],
        disk: Disk | None = None,
        *,
        near: bool = False,
        kernels: Kernels | None = None,
    ) -> None:
        named = tensors_of(model)
        self._model = model
        self._pieces = pieces = [piece for piece in pieces if piece.tensor in named]
        live = {p.tensor: named[p.tensor].detach() for p in pieces}
        refuse_misfits(pieces, live, {})
        self._infos = _infos(live, live)
        self._shaped = live
        self._live = {n: t.view(-1) for n, t in live.items()}
        self._tuned: dict[str, Mapping[str, TensorInfo]] = {}
        self._disk, self._memory, self._near = disk, _Memory({}, {}), near
        self._kernels, self._peaks = kernels, dict[str, float]()
        on_cpu = all(t.device.type == "cpu" for t in self._live.values())
        several = on_cpu and sum(t.numel() for t in self._live.values()) >= _SHARED
        self._threads = thread_count() if several else 1
        self._size = BLOCK if on_cpu else _ACCELERATED
        self._blocks: dict[tuple[Restriction, int], list[Block]] = {}
        self._thresholds: dict[Restriction, dict[Any, Any]] = {}
        self._workspaces = [Workspace() for _ in range(self._threads)]
        self._before = ""
        for vector, tensors in vectors.items():
            self.admit(vector, tensors)

    @property
    def base(self) -> Mapping[str, Tensor]:
        """The copy of the base's tensors by name, only to be read; empty with a `disk`."""
        return {n: t.view(self._shaped[n].shape) for n, t in self._memory.tensors.items()}

    def admit(self, vector: str, tensors: Mapping[str, Tensor]) -> None:
        """Let points name a further vector. Raises FamilyError for tensors that do not fit."""
        live = self._shaped
        refuse_misfits(self._pieces, live, {vector: tensors})
        self._tuned[vector] = _infos(tensors, live)
        flat = _flat(tensors, live)
        if self._near:
            copied = 0 if self._memory.tensors or self._disk else sum(map(_nbytes, live.values()))
            flat = _beside(self._live, flat, reserved=copied)
        self._memory.vectors[vector] = flat
        self._peaks.pop(vector, None)
        self._blocks.clear()
        self._thresholds.clear()

    def admit_from_disk(self, vector: str) -> None:
        """Let points name a vector of the disk. Raises FamilyError as `admit` does."""
        assert self._disk is not None
        infos = self._disk.infos(vector)
        refuse_misfits(self._pieces, self._shaped, {vector: infos})
        self._tuned[vector] = infos
        self._blocks.clear()
        self._thresholds.clear()

    def __enter__(self) -> Self:
        self._before = hash_parameters(self._model)
        if self._disk is None:
            self._memory = _Memory(_copies(self._live), self._memory.vectors)
        return self

    def set(
        self,
        point: ArithmeticPoint,
        restriction: Restriction = EVERYTHING,
        pause: Callable[[], None] = lambda: None,
        *,
        measured: bool = True,
    ) -> float | None:
        """Write a point into the model; returns its rounding loss (`Rounding.share`), or None if it
        is not `measured`, which takes fewer passes.

        Parameters outside of the restriction are the base's. `pause` is called every few blocks and
        may raise. Raises RunError if a value is not finite. After an error the model is between
        points until it is left or `set` again.
        """
        assert self._before, "a sweep is entered with 'with' before points are set"
        blocks, source = self._cut(restriction, self._size), self._source
        known = self._known(restriction)
        marks = find_marks(point, blocks, source, self._threads, known)
        finite = not measured and self._surely_finite(point)
        kernels = self._kernels if finite and self._on_kernels(point) else None
        combination = VectorCombination(point, marks, self._pieces, finite=finite, kernels=kernels)
        if kernels and combination.form and kernels.ready(self._keys(combination.form, point)):
            blocks = self._cut(restriction, _FUSED)
        free = list(self._workspaces)

        def write(share: Sequence[Block]) -> Rounding:
            space, rounding = free.pop(), Rounding()
            for block in share:
                out = self._live[block.tensor][block.elements]
                rounding += combination.write(block, source, out, space, measured=measured)
            free.append(space)
            return rounding

        rounding = Rounding()
        for turn in combination.turns(blocks):
            combination.prepare(turn, source)
            for start in range(0, len(turn), _AT_ONCE):
                pause()
                share = turn[start : start + _AT_ONCE]
                rounding += sum(spread(write, share, self._threads), Rounding())
        return rounding.share if measured else None

    def __exit__(self, *_: object) -> None:
        if self._disk is not None:
            self.set(BASE)
        else:
            for name, tensor in self._live.items():
                tensor.copy_(self._memory.tensors[name])
        self._memory = _Memory({}, self._memory.vectors)
        refuse_changed(self._model, self._before)

    def _known(self, restriction: Restriction) -> dict[Any, Any]:
        """The cache of a restriction's points. Drops, which take much memory, are cached for one
        restriction only."""
        for other, cache in self._thresholds.items():
            if other != restriction:
                cache.pop(Drops, None)
        return self._thresholds.setdefault(restriction, {})

    @property
    def _source(self) -> WeightSource:
        return self._memory if self._disk is None else self._disk

    def _on_kernels(self, point: ArithmeticPoint) -> bool:
        """Are the base and all vectors on devices of the kernels? Others have no room for the
        numbers of a block as large as a kernel writes."""
        sets = (self._memory.tensors, *(self._memory.vectors[v] for v in point.vectors))
        return self._kernels is not None and all(
            t.device.type == self._kernels.device for tensors in sets for t in tensors.values()
        )

    def _keys(self, form: Form, point: ArithmeticPoint) -> Iterable[Key]:
        """The kernels that write all tensors of a point."""
        base, vectors = self._memory.tensors, [self._memory.vectors[v] for v, _ in point.terms]
        return {
            Key(form, (base[n].dtype, *(v[n].dtype for v in vectors), live.dtype), live.device)
            for n, live in self._live.items()
        }

    def _surely_finite(self, point: ArithmeticPoint) -> bool:
        """Is every value of the point finite in the model's dtypes and in float32, in which they
        are computed, whatever is trimmed or elected? Known from the largest magnitudes, so that no
        pass has to look for it."""
        if self._disk is not None or point.drops or point.decomposes:
            return False
        for vector in ("", *point.vectors):
            if vector not in self._peaks:
                tensors = self._memory.vectors[vector] if vector else self._memory.tensors
                self._peaks[vector] = _peak(tensors.values())
        base = top = self._peaks[""]
        for vector, value in point.terms:
            top += abs(value) * (self._peaks[vector] + base)
        dtypes = {torch.float32, *(t.dtype for t in self._live.values())}
        return top < min(torch.finfo(dtype).max for dtype in dtypes) / 2

    def _cut(self, restriction: Restriction, size: int) -> list[Block]:
        if (restriction, size) not in self._blocks:
            tensors = restriction.tensors(self._pieces)
            blocks = cut(self._pieces, self._infos, self._tuned, tensors, size)
            self._blocks[restriction, size] = list(blocks)
        return self._blocks[restriction, size]


@contextmanager
def untied(model: nn.Module, pieces: Sequence[Piece]) -> Iterator[None]:
    """Untie these tensors inside the block: each tied one gets its own copy."""
    named = tensors_of(model)
    apart: list[tuple[nn.Module, str, nn.Parameter]] = []
    for tensor in dict.fromkeys(p.tensor for p in pieces if p.tensor not in named):
        owner, _, leaf = tensor.rpartition(".")
        module = dict(model.named_modules()).get(owner)
        shared = getattr(module, leaf, None)
        if module is not None and isinstance(shared, nn.Parameter):
            apart.append((module, leaf, shared))
            setattr(module, leaf, nn.Parameter(shared.detach().clone(), requires_grad=False))
    try:
        yield
    finally:
        for module, leaf, shared in apart:
            setattr(module, leaf, shared)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and saved floating-point buffers by name, tied ones once."""
    parameters: dict[str, Tensor] = dict(model.named_parameters())
    saved = model.state_dict().keys()
    buffers = {n: b for n, b in model.named_buffers() if n in saved and b.is_floating_point()}
    return parameters | buffers


def refuse_changed(model: nn.Module, before: str) -> None:
    """Raise RunError if the model's parameters have another hash than before."""
    if hash_parameters(model) != before:
        raise RunError(
            "The base's weights do not equal the weights before the change.",
            hint="Something else changed them meanwhile; load the model again.",
        )


def hash_parameters(model: nn.Module) -> str:
    """sha256 over the names and all bytes of a model's parameters and saved buffers, tied ones
    once.

    It is the hash of the parameters' own hashes, which are computed in threads.
    """
    named = sorted(tensors_of(model).items())
    with ThreadPoolExecutor(thread_count()) as pool:
        digests = pool.map(lambda item: _hash(item[1].detach()), named)
        whole = "".join(f"{n} {d}\n" for (n, _), d in zip(named, digests, strict=True))
    return hashlib.sha256(whole.encode()).hexdigest()


def _hash(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    flat, step = tensor.reshape(-1).view(torch.uint8), _HASHED
    for start in range(0, flat.numel(), step):
        part: Any = flat[start : start + step].cpu().numpy()
        digest.update(part)
    return digest.hexdigest()


class _Memory:
    """A `core.vectors.blocks.WeightSource` whose tensors are all in memory, flat."""

    def __init__(
        self, tensors: Mapping[str, Tensor], vectors: dict[str, Mapping[str, Tensor]]
    ) -> None:
        self.tensors = tensors
        self.vectors = vectors

    def base(self, block: Block, space: Workspace) -> Tensor:
        return self.tensors[block.tensor][block.elements]

    def tuned(self, vector: str, block: Block, space: Workspace) -> Tensor:
        return self.vectors[vector][block.tensor][block.elements]


def _infos(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, TensorInfo]:
    return {n: TensorInfo(tensors[n].dtype, tuple(tensors[n].shape)) for n in names}


def _flat(tensors: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    return {n: tensors[n].detach().reshape(-1) for n in names}


def _peak(tensors: Iterable[Tensor]) -> float:
    """The largest magnitude, NaN if a value is not a number."""
    tops = [torch.linalg.vector_norm(t, math.inf).double().cpu() for t in tensors if t.numel()]
    return float(torch.stack(tops).max()) if tops else 0.0


def _nbytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _beside(
    live: Mapping[str, Tensor], flat: Mapping[str, Tensor], *, reserved: int
) -> dict[str, Tensor]:
    """Tensors on the devices of the parameters of their names, if all their cards have room."""
    placed: dict[str, Tensor] = dict(flat)
    for device, names in _on_cards(live).items():
        if sum(_nbytes(flat[name]) for name in names) + reserved <= _room(device):
            placed |= {name: flat[name].to(device) for name in names}
    return placed


def _copies(live: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies beside the parameters; of a card without room for them in pinned memory of the
    host."""
    away: dict[str, Tensor] = {}
    for device, names in _on_cards(live).items():
        if sum(_nbytes(live[name]) for name in names) > _room(device):
            away |= {name: live[name].cpu().pin_memory() for name in names}
    return {name: away[name] if name in away else t.clone() for name, t in live.items()}


def _on_cards(live: Mapping[str, Tensor]) -> dict[torch.device, list[str]]:
    """The parameters of each card, by name."""
    names: dict[torch.device, list[str]] = {}
    for name, tensor in live.items():
        if tensor.device.type == "cuda":
            names.setdefault(tensor.device, []).append(name)
    return names


def _room(device: torch.device) -> float:
    """The bytes that copies may take on a card."""
    return _SPARE * torch.cuda.mem_get_info(device)[0]


def refuse_misfits(
    pieces: Sequence[Piece],
    live: Mapping[str, Tensor],
    vectors: Mapping[str, Mapping[str, Tensor | TensorInfo]],
) -> None:
    """Raise RunError if a parameter is not wholly in memory, and FamilyError if a tuned model's
    tensors, by name, do not fit the parameters."""
    for name, tensor in live.items():
        if tensor.is_meta or not tensor.is_contiguous():
            raise RunError(
                f"Parameter {name} is not wholly in memory, so arithmetic can't write to it.",
                hint="Load the model without offloading it to disk.",
            )
    by_token = {p.tensor for p in pieces if p.module in ("embedding", "unembedding")}
    for vector, tensors in vectors.items():
        missing = [name for name in live if name not in tensors]
        if missing:
            raise FamilyError(
                f"'{vector}' lacks {counted(len(missing), 'parameter')} of the base: "
                f"{', '.join(missing[:3])}."
            )
        for name, tensor in live.items():
            ours, theirs = list(tensor.shape), list(tensors[name].shape)
            if theirs != ours and (name not in by_token or theirs[1:] != ours[1:]):
                raise FamilyError(f"'{vector}': parameter {name} is {theirs}, in the base {ours}.")
