"""The losses of a base with parts of a tuned model, for many choices of parts at once.

All grafts are carried through the layers side by side: two of them share a hidden state up to the
first layer in which they differ, and a layer's weights are read once for all. Where a model's
layers can't be called one by one, every graft takes a whole forward pass. Knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.loading import LoadedModel, halving
from core.models.pieces import Piece
from core.models.replay import Replay, UnsteppableError
from core.neurons.activity import refuse_unknown_ids
from core.texts.probe import Batch, ProbeSet
from core.vectors.grafting import EVERYTHING, NOTHING, Configuration, Graft, Grafting, Stage

Losses = NDArray[np.float64]
"""[grafts, documents]: the mean negative log-likelihood of a document, in nats a scored token; NaN
where it has no scored token."""

STATES = 4 << 30
"""Bytes of hidden states in memory at once."""

_TRIED = 2
"""Documents on which the steps are compared with whole passes."""

_SAME = 1e-4
"""Nats within which the two must agree."""


_BROKEN = (RuntimeError, LookupError, TypeError, ValueError, AttributeError)
"""Errors of a layer that is called without the state that another one leaves for it."""


@dataclass(frozen=True, slots=True)
class Grafted:
    """`passes`: the computation, in forward passes of the whole model over the probe set."""

    losses: Losses
    passes: float


class Bed:
    """A base in memory with a probe set, on which grafts are tried.

    `pause` may raise; `on_halved` is called with a reduced batch size. `steps` says if the layers
    can be called one by one; None before the first try.
    """

    def __init__(
        self,
        model: LoadedModel,
        grafting: Grafting,
        probe: ProbeSet,
        *,
        batch_size: int,
        pause: Callable[[], None],
        on_halved: Callable[[int], None],
    ) -> None:
        refuse_unknown_ids(model, probe)
        self._grafting, self._probe, self._size = grafting, probe, batch_size
        self._pause, self._on_halved = pause, on_halved
        self._replay = Replay(model)
        self.steps: bool | None = None

    def losses(self, tuned: str, grafts: Sequence[Graft]) -> Grafted:
        """The losses of the base with each of these grafts of a tuned model."""
        result: list[Losses] = []
        if self.steps is None:
            self.steps = self._agrees(tuned)
        self._replay.calls = count = 0

        def work(size: int) -> None:
            nonlocal count
            batches = list(self._probe.batches(size))
            count = len(batches)
            run = self._walked if self.steps else self._whole
            result[:] = [run(tuned, grafts, batches)]

        with torch.inference_mode():
            halving(work, self._size, self._on_halved)
        layers = len(self._replay.layers)
        return Grafted(result[0], self._replay.calls / (layers * count))

    def _agrees(self, tuned: str) -> bool:
        """Do the steps and whole passes give the same losses on a few documents?

        State that a layer leaves for a later one shows here: grafts and batches take turns.
        """
        layers = len(self._replay.layers)
        small = self._probe.first(_TRIED)
        tried = [NOTHING, *(Graft(frozenset((n,))) for n in {0, layers - 1}), EVERYTHING]
        with torch.inference_mode():
            batches = list(small.batches(1))
            whole = self._whole(tuned, tried, batches)[:, : len(small.ids)]
            try:
                steps = self._walked(tuned, tried, batches)[:, : len(small.ids)]
            except (UnsteppableError, *_BROKEN):
                return False
        return bool(np.allclose(steps, whole, rtol=_SAME, atol=_SAME, equal_nan=True))

    def _whole(self, tuned: str, grafts: Sequence[Graft], batches: Sequence[Batch]) -> Losses:
        losses = self._empty(grafts)
        with self._grafting.stage(tuned, grafts, lambda piece: True) as stage:
            for row, configuration in enumerate(stage.configurations):
                stage.put(configuration)
                for batch in batches:
                    self._pause()
                    losses[row, list(batch.documents)] = self._replay.whole(batch)
        return losses

    def _walked(self, tuned: str, grafts: Sequence[Graft], batches: Sequence[Batch]) -> Losses:
        """In groups of as many grafts as may have their states in memory at once."""
        self._replay.begin()
        nbytes = sum(self._replay.enter(batch).nbytes for batch in batches)
        most = max(2, STATES // nbytes)
        return np.concatenate(
            [
                self._together(tuned, grafts[start : start + most], batches)
                for start in range(0, len(grafts), most)
            ]
        )

    def _together(self, tuned: str, grafts: Sequence[Graft], batches: Sequence[Batch]) -> Losses:
        replay, losses = self._replay, self._empty(grafts)
        outside = _at(None)
        with self._grafting.stage(tuned, grafts, outside) as stage:
            front = _Front(grafts, [torch.empty(0)] * len(batches))
            front.move(stage, lambda batch, state: replay.enter(batches[batch]), self._pause)
        for number in range(len(replay.layers)):
            with self._grafting.stage(tuned, grafts, _at(number)) as stage:
                step = _advancing(replay, number, batches)
                front.move(stage, step, self._pause)
        with self._grafting.stage(tuned, grafts, outside) as stage:
            for row, configuration in enumerate(stage.configurations):
                twin = front.twin(row)
                if twin < row:
                    losses[row] = losses[twin]
                    continue
                stage.put(configuration)
                for batch, state in zip(batches, front.states_of(row), strict=True):
                    self._pause()
                    losses[row, list(batch.documents)] = replay.leave(batch, state)
        return losses

    def _empty(self, grafts: Sequence[Graft]) -> Losses:
        return np.full((len(grafts), len(self._probe.ids)), np.nan)


class _Front:
    """The hidden states of all grafts at one depth. Grafts that were alike so far share theirs:
    `_of` has the number of each graft's history, `_states` each history's state by batch."""

    def __init__(self, grafts: Sequence[Graft], states: list[Tensor]) -> None:
        self._of = [0] * len(grafts)
        self._states: dict[int, list[Tensor]] = {0: states}

    def move(
        self, stage: Stage, step: Callable[[int, Tensor], Tensor], pause: Callable[[], None]
    ) -> None:
        """Take every history one step further, under each configuration that its grafts have."""
        pairs = list(zip(self._of, stage.configurations, strict=True))
        number: dict[tuple[int, Configuration], int] = {}
        for pair in pairs:
            number.setdefault(pair, len(number))
        made: dict[int, list[Tensor]] = {}
        waiting = {h: sum(owner == h for owner, _ in number) for h in self._states}
        for configuration in dict.fromkeys(c for _, c in number):
            stage.put(configuration)
            for history, other in number:
                if other != configuration:
                    continue
                moved = []
                for batch, state in enumerate(self._states[history]):
                    pause()
                    moved.append(step(batch, state))
                made[number[history, configuration]] = moved
                waiting[history] -= 1
                if not waiting[history]:
                    del self._states[history]
        self._of, self._states = [number[pair] for pair in pairs], made

    def states_of(self, row: int) -> list[Tensor]:
        """The states of one graft, by batch."""
        return self._states[self._of[row]]

    def twin(self, row: int) -> int:
        """The first graft that is alike."""
        return self._of.index(self._of[row])


def _at(layer: int | None) -> Callable[[Piece], bool]:
    return lambda piece: piece.layer == layer


def _advancing(
    replay: Replay, number: int, batches: Sequence[Batch]
) -> Callable[[int, Tensor], Any]:
    return lambda batch, state: replay.advance(batches[batch], number, state)
