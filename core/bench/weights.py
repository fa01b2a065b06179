"""The weights of columns in one loaded model: written, held apart, and swapped in.

Owns the model's current weights and the further sets in memory. Every set is computed from the base
(`core.vectors.sweep`); the end restores the base's weights bit for bit. Knows no text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

import torch
from torch import Tensor, nn

from core.bench.recipes import BASE, Weights
from core.models.family import Family
from core.models.loading import LoadedModel
from core.models.pieces import Piece
from core.vectors.disk import Disk
from core.vectors.fused import Form, Kernels, Key
from core.vectors.grafting import Graft, Grafting, of_group
from core.vectors.sweep import Sweep, tensors_of, untied

_COMMON = (Form(1), Form(2), Form(2, trims=True, elects=True))
"""Mixes of one vector and of two, and TIES of two."""

Say = Callable[[str], None]
Pause = Callable[[], None]


class Shelf:
    """The loaded base, and the weights that it is given.

    `budget`: bytes for sets of weights beside the loaded one; None where memory holds one model
    alone, and all others are read from disk. `say` reports the work in hand; `pause` may raise.
    """

    def __init__(
        self, model: LoadedModel, family: Family, say: Say, pause: Pause, budget: int | None
    ) -> None:
        self._module: nn.Module = model.module
        self._family, self._say, self._pause = family, say, pause
        self._budget = budget
        self._entered = ExitStack()
        self._vectors: dict[str, Mapping[str, int]] = {}
        self._held: dict[Weights, Mapping[str, Tensor]] = {}
        self._times: Counter[Weights] = Counter()
        self._written: Weights | None = None
        self.shown: Weights | None = None
        self._kernels = Kernels()

    def __enter__(self) -> Self:
        pieces = self._family.anatomy.pieces
        self._entered.enter_context(untied(self._module, pieces))
        disk = Disk(self._family) if self._budget is None else None
        self._compile()
        self._sweep = self._entered.enter_context(
            Sweep(self._module, {}, pieces, disk, kernels=self._kernels)
        )
        self._own: dict[str, Tensor] = tensors_of(self._module)
        self._live = {name: tensor.detach() for name, tensor in self._own.items()}
        self.size = sum(map(_bytes, self._live.values()))
        self._base = self._sweep.base
        self._written = self.shown = BASE
        return self

    def __exit__(self, *raised: Any) -> None:
        self._kernels.stop()
        self._show(self._live)
        self.drop()
        self._entered.__exit__(*raised)

    @property
    def ready(self) -> set[Weights]:
        """The weights that need no writing."""
        written = [self._written] if self._written else []
        return {*self._held, *written, *([BASE] if self._base else [])}

    @property
    def nbytes(self) -> Mapping[str, int]:
        """Bytes by device: the loaded weights, the base's copy, further sets, and the vectors."""
        sets = (1 if self._budget is None else 2) + len(self._held)
        live = _by_device(self._live.values())
        total = Counter({device: sets * nbytes for device, nbytes in live.items()})
        for vector in self._vectors.values():
            total.update(vector)
        return total

    def complaints(self) -> Iterator[str]:
        """Reasons why mixes take longer than they need; each once."""
        return self._kernels.complaints()

    def put(self, weights: Weights) -> None:
        """Give the model these weights.

        Raises RunError for values that are not finite, StudyError for layers that the model lacks.
        """
        if weights not in {self.shown, *self.ready}:
            if self._written and self._times[self._written] > 1:
                self._hold(self._written)  # weights asked for twice may be asked for again
            self._times[weights] += 1
        self._put(weights)

    def hold(self, wanted: Sequence[Weights]) -> bool:
        """Hold all these weights in memory; False, without a change, beyond the budget."""
        apart = [w for w in wanted if w != BASE or not self._base]
        if (len(apart) - 1) * self.size > (self._budget or 0):
            return False
        for other in [weights for weights in self._held if weights not in wanted]:
            del self._held[other]
        missing = [w for w in apart if w not in self._held]
        missing.sort(key=lambda weights: weights != self._written)
        for weights in missing:
            self._put(weights)
            if weights != missing[-1]:  # the last ones stay in the model
                self._hold(weights)
        return True

    def drop(self) -> None:
        """Free all weights but the loaded ones."""
        if self.shown in self._held:
            self._show(self._live)
            self.shown = self._written
        self._held.clear()

    def _compile(self) -> None:
        """Begin to compile the kernels of common mixes, so that they are ready when a vector is."""
        live = {(t.device, t.dtype) for t in tensors_of(self._module).values() if t.dim() > 1}
        for device, dtype in live:
            for form in _COMMON if device.type == "cuda" else ():
                self._kernels.prepare(Key(form, (dtype,) * (form.vectors + 2), device))

    def _put(self, weights: Weights) -> None:
        if weights == self.shown:
            return
        tensors = self._live if weights == self._written else self._apart(weights)
        self._show(tensors or self._live)
        self.shown = None  # until the last value is written
        if tensors is None:
            self._write(weights)
        self.shown = weights

    def _apart(self, weights: Weights) -> Mapping[str, Tensor] | None:
        """A set of weights that is held apart from the written one."""
        return self._held.get(weights) or (self._base or None if weights == BASE else None)

    def _hold(self, weights: Weights) -> None:
        """Hold a copy of the written weights; the sets held longest make room for it."""
        if weights in self._held:
            return
        while self._held and (len(self._held) + 1) * self.size > (self._budget or 0):
            del self._held[next(iter(self._held))]
        if self.size <= (self._budget or 0):
            self._held[weights] = {name: tensor.clone() for name, tensor in self._live.items()}

    def _show(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self._own[name].data = tensor

    def _write(self, weights: Weights) -> None:
        self._written = None
        for vector in weights.point.vectors:
            if vector not in self._vectors:
                self._admit(vector)
        if weights.rank is None:
            self._sweep.set(weights.point, weights.restriction, self._pause, measured=False)
        else:
            self._graft(weights, weights.rank)
        self._written = weights

    def _graft(self, weights: Weights, rank: int) -> None:
        """Write the base with parts of a tuned model, each change cut to a rank."""
        ((tuned, _),) = weights.point.coefficients
        pieces, restriction = self._family.anatomy.pieces, weights.restriction
        restriction.tensors(pieces)  # refuses layers that the model lacks
        groups = [of_group(group) for group in restriction.groups]
        ranges = [range(first, last + 1) for first, last in restriction.layers]
        graft = Graft(
            layers=frozenset(n for span in ranges for n in span) if ranges else None,
            modules=frozenset().union(*groups) if groups else None,
            rank=rank,
        )
        self._sweep.set(BASE.point, pause=self._pause, measured=False)
        grafting = Grafting(self._module, pieces, self._family.tuned)
        for layer in self._family.layers:
            self._pause()
            with grafting.stage(tuned, [graft], _of_layer(layer)) as stage:
                stage.put(stage.configurations[0])
                made = {name: tensor.clone() for name, tensor in stage.live.items()}
            for name, tensor in made.items():
                self._live[name].copy_(tensor)

    def _admit(self, vector: str) -> None:
        """Read a vector into the GPU's memory if there is room, else into the CPU's. A bench of one
        model at a time leaves it on disk."""
        if self._budget is None:
            self._sweep.admit_from_disk(vector)
            self._vectors[vector] = {}
            return
        self._say(f"reading the weights of {vector}")
        tensors = self._family.tuned[vector].weights()
        devices = {tensor.device for tensor in self._live.values()}
        if len(devices) == 1 and (device := devices.pop()).type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if sum(map(_bytes, tensors.values())) < free // 2:
                tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
        self._sweep.admit(vector, tensors)
        self._vectors[vector] = _by_device(tensors.values())


def _of_layer(layer: int | None) -> Callable[[Piece], bool]:
    return lambda piece: piece.layer == layer


def _by_device(tensors: Iterable[Tensor]) -> Counter[str]:
    nbytes: Counter[str] = Counter()
    for tensor in tensors:
        nbytes[str(tensor.device)] += _bytes(tensor)
    return nbytes


def token_counts(family: Family, most: int) -> dict[str, int]:
    """The number of tokens of each tuned model; `most`: the base's."""
    tokens = [p for p in family.anatomy.pieces if p.module in ("embedding", "unembedding")]
    named = [p.tensor for p in tokens if p.rows[-1][1] >= most]
    return {
        name: min([most, *(m.checkpoint.tensors[m.names[n]].rows for n in named if n in m.names)])
        for name, m in family.tuned.items()
    }


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
