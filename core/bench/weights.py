"""The weights of columns in one loaded model: written, held apart, and swapped in.

Owns which weights the model has, and how many further sets memory holds. Every set is computed from
the base (`core.vectors.sweep`); on leaving, the base's weights are its own bit for bit. Knows no
text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from torch import Tensor, nn

from core.bench.recipes import BASE, Weights
from core.models.family import Family
from core.models.loading import LoadedModel
from core.vectors.grafting import Graft, Grafting, of_group
from core.vectors.sweep import Sweep, tensors_of, untied

Say = Callable[[str], None]


class Shelf:
    """The loaded base, and the weights that it is given.

    `budget`: bytes for sets of weights beside the loaded one. `say` reports the work in hand.
    """

    def __init__(self, model: LoadedModel, family: Family, say: Say, budget: int) -> None:
        self._module: nn.Module = model.module
        self._family, self._say = family, say
        self._budget = budget
        self._entered = ExitStack()
        self._vectors: dict[str, int] = {}
        self._held: dict[Weights, Mapping[str, Tensor]] = {}
        self._written: Weights | None = None
        self.shown = BASE

    def __enter__(self) -> Self:
        pieces = self._family.anatomy.pieces
        self._entered.enter_context(untied(self._module, pieces))
        self._sweep = self._entered.enter_context(Sweep(self._module, {}, pieces))
        self._own: dict[str, Tensor] = tensors_of(self._module)
        self._live = {name: tensor.detach() for name, tensor in self._own.items()}
        self.size = sum(map(_bytes, self._live.values()))
        self._written = self.shown = BASE
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show(self._live)
        self.drop()
        self._entered.__exit__(kind, error, trace)

    @property
    def ready(self) -> set[Weights]:
        """The weights that the model can have without being written."""
        return {*self._held, *([self._written] if self._written else [])}

    @property
    def nbytes(self) -> Mapping[str, int]:
        """Bytes by device: the loaded weights, the base's copy, further sets, and on the CPU the
        vectors."""
        found: Counter[str] = Counter()
        for tensor in self._live.values():
            found[str(tensor.device)] += (2 + len(self._held)) * _bytes(tensor)
        found["cpu"] += sum(self._vectors.values())
        return found

    def put(self, weights: Weights) -> None:
        """Give the model these weights.

        Raises RunError for values that are not finite, StudyError for layers that the model lacks.
        """
        if weights != self.shown:
            held = self._held.get(weights)
            self._show(self._live if held is None else held)
            if held is None and weights != self._written:
                self._write(weights)
            self.shown = weights

    def hold(self, wanted: Sequence[Weights]) -> bool:
        """Have all these weights in memory, if the budget allows; else leave it at that."""
        if len(wanted) * self.size > self._budget + self.size:
            return False
        for other in [weights for weights in self._held if weights not in wanted]:
            del self._held[other]
        missing = [weights for weights in wanted if weights not in self._held]
        for weights in sorted(missing, key=lambda w: w != self._written)[:-1]:
            self.put(weights)
            self._held[weights] = {name: tensor.clone() for name, tensor in self._live.items()}
        if missing:
            self.put(next(w for w in wanted if w not in self._held))
        return True

    def drop(self) -> None:
        """Free all weights but the loaded ones."""
        if self.shown in self._held:
            self._show(self._live)
            self.shown = self._written or BASE
        self._held.clear()

    def _show(self, tensors: Mapping[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self._own[name].data = tensor

    def _write(self, weights: Weights) -> None:
        self._written = None  # until the last value is written
        for vector in weights.point.vectors:
            if vector not in self._vectors:
                self._say(f"reading the weights of {vector}")
                tensors = self._family.tuned[vector].weights()
                self._sweep.admit(vector, tensors)
                self._vectors[vector] = sum(map(_bytes, tensors.values()))
        if weights.rank is None:
            self._sweep.set(weights.point, weights.restriction)
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
            layers=frozenset(n for own in ranges for n in own) if ranges else None,
            modules=frozenset().union(*groups) if groups else None,
            rank=rank,
        )
        self._sweep.set(BASE.point)
        grafting = Grafting(self._module, pieces, self._family.tuned)
        with grafting.stage(tuned, [graft], lambda piece: True) as stage:
            stage.put(stage.configurations[0])
            made = {name: tensor.clone() for name, tensor in stage.live.items()}
        for name, tensor in made.items():
            self._live[name].copy_(tensor)


def token_counts(family: Family, most: int) -> dict[str, int]:
    """The number of tokens that the base, which has `most`, and each tuned model have."""
    tokens = [p for p in family.anatomy.pieces if p.module in ("embedding", "unembedding")]
    named = [p.tensor for p in tokens if p.rows[-1][1] >= most]
    return {
        name: min([most, *(m.checkpoint.tensors[m.names[n]].rows for n in named if n in m.names)])
        for name, m in family.tuned.items()
    }


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
