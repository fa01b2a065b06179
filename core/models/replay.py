"""A loaded model's forward pass in steps: up to its layers, each layer, and from the last layer on.

A hidden state can be stored between two layers and continued under other weights, so that layers
below a change need not be computed again. Owns the stepping, and refuses a model that does more
between its layers than hand on the hidden state. Knows no weights and no analysis.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from core.models.loading import LoadedModel
from core.models.outline import of_module
from core.models.transfers import down, up
from core.texts.probe import Batch

_LOGITS = 1 << 26
"""Logits in memory at once."""


class UnsteppableError(Exception):
    """The model does more between its layers than hand on one hidden state."""


@dataclass(slots=True)
class _Call:
    """The arguments of one layer's call, without the hidden state."""

    rest: tuple[Any, ...]
    named: Mapping[str, Any]
    key: str | None  # the hidden state's name, if it is a keyword argument

    def again(self, layer: nn.Module, state: Tensor) -> Any:
        if self.key is None:
            return layer(state, *self.rest, **self.named)
        return layer(*self.rest, **{**self.named, self.key: state})


class Replay:
    """The steps of one model's forward pass over batches of documents.

    Call `begin` with the batches, then for each of them `enter`, `advance` through every layer in
    order, and `leave`. States are on the CPU. States that come from a card are complete for its
    next step, and for the host after `transfers.arrived`. `calls` counts the computed layers.
    """

    def __init__(self, model: LoadedModel) -> None:
        body = of_module(model.module).body
        self._model = model
        self.layers: Sequence[nn.Module] = [
            model.module.get_submodule(f"{body.layers}.{number}") for number in range(body.count)
        ]
        self._beside: list[tuple[Any, ...] | None] = []
        self._arguments: dict[tuple[int, ...], list[_Call]] = {}
        self.calls = 0
        takes = inspect.signature(model.module.forward).parameters
        self._takes_positions = "logits_to_keep" in takes

    def begin(self) -> None:
        """Forget the batches before."""
        self._arguments.clear()

    def enter(self, batch: Batch) -> Tensor:
        """The hidden state [B, T, d] before the first layer. Raises UnsteppableError."""
        if not self._beside:
            self._learn(batch)
        calls: list[_Call] = []
        seen: list[Tensor] = []

        def passed(number: int, *given: Any, **named: Any) -> Any:
            key = None if given else next(iter(named))
            state = given[0] if key is None else named.pop(key)
            if number != len(calls) or (seen and state is not seen[-1]):
                raise UnsteppableError(f"layer {number} does not follow on the one before")
            calls.append(_Call(given[1:], named, key))
            seen.append(state)
            return self._returned(number, state)

        with self._instead(passed):
            self._forward(batch, torch.zeros(1, dtype=torch.int64))
        if len(calls) != len(self.layers):
            raise UnsteppableError(f"{len(calls)} of {len(self.layers)} layers were called")
        self._arguments[batch.documents] = calls
        return self._apart(seen[0])

    def advance(self, batch: Batch, number: int, state: Tensor) -> Tensor:
        """The hidden state after layer `number`, of the one before it."""
        self.calls += 1
        result = self._arguments[batch.documents][number].again(
            self.layers[number], up(state, self._model.device)
        )
        hidden: Tensor = result[0] if isinstance(result, tuple) else result
        return self._apart(hidden)

    def leave(self, batch: Batch, state: Tensor) -> NDArray[np.float64]:
        """The mean negative log-likelihood of each document [B], in nats a scored token, from the
        hidden state after the last layer; NaN for a document without a scored token."""
        on_device, last = up(state, self._model.device), len(self.layers) - 1

        def passed(number: int, *given: Any, **named: Any) -> Any:
            before = given[0] if given else next(iter(named.values()))
            return self._returned(number, on_device if number == last else before)

        losses: list[Tensor] = []
        rows, length = batch.ids.shape
        step = max(1, _LOGITS // (rows * self._model.vocabulary))
        with self._instead(passed):
            for start in range(0, length, step if self._takes_positions else length):
                places = torch.arange(start, min(start + step, length))
                losses.append(self._losses(batch, places if self._takes_positions else None))
        return _means(losses, batch)

    def whole(self, batch: Batch) -> NDArray[np.float64]:
        """The result of `leave`, from one uninterrupted forward pass."""
        self.calls += len(self.layers)
        return _means([self._losses(batch, None)], batch)

    def _losses(self, batch: Batch, places: Tensor | None) -> Tensor:
        """The summed negative log-likelihood of each document at these places [B], float32."""
        logits = self._forward(batch, places)
        selected = slice(None) if places is None else places
        wanted, scored = (
            up(each[:, selected], logits.device) for each in (batch.following, batch.scored)
        )
        lost = functional.cross_entropy(logits.float().mT, wanted, reduction="none")
        return (lost * scored).sum(1)

    def _forward(self, batch: Batch, places: Tensor | None) -> Tensor:
        more: dict[str, Any] = {}
        if places is not None and self._takes_positions:
            more["logits_to_keep"] = places.tolist()  # the head may be on another device
        logits: Tensor = self._model.module(
            input_ids=up(batch.ids, self._model.device),
            attention_mask=up(batch.mask, self._model.device), use_cache=False, **more,
        ).logits  # fmt: skip
        return logits

    def _learn(self, batch: Batch) -> None:
        """Learn the values that each layer returns beside the hidden state; None without any."""
        arguments: dict[int, tuple[Any, ...] | None] = {}
        forwards = [layer.forward for layer in self.layers]

        def passed(number: int, *given: Any, **named: Any) -> Any:
            result = forwards[number](*given, **named)
            arguments[number] = result[1:] if isinstance(result, tuple) else None
            return result

        with self._instead(passed):
            self._forward(batch, torch.zeros(1, dtype=torch.int64))
        if sorted(arguments) != list(range(len(self.layers))):
            raise UnsteppableError(f"{len(arguments)} of {len(self.layers)} layers were called")
        self._beside = [arguments[number] for number in range(len(self.layers))]

    def _apart(self, state: Tensor) -> Tensor:
        """A state on the CPU. Another card than the next layer's does not wait for it, so the host
        does."""
        return down(state) if state.device == self._model.device else state.cpu()

    def _returned(self, number: int, state: Tensor) -> Any:
        beside = self._beside[number]
        return state if beside is None else (state, *beside)

    @contextmanager
    def _instead(self, called: Callable[..., Any]) -> Iterator[None]:
        """Call `called` with a layer's number and arguments instead of the layer."""
        before = [vars(layer).get("forward") for layer in self.layers]
        try:
            for number, layer in enumerate(self.layers):
                layer.forward = _bound(called, number)
            yield
        finally:
            for layer, original in zip(self.layers, before, strict=True):
                if original is None:
                    vars(layer).pop("forward", None)
                else:
                    layer.forward = original


def _bound(called: Callable[..., Any], number: int) -> Callable[..., Any]:
    def forward(*given: Any, **named: Any) -> Any:
        return called(number, *given, **named)

    return forward


def _means(losses: Sequence[Tensor], batch: Batch) -> NDArray[np.float64]:
    """The mean over the scored tokens of each document, of sums in blocks of positions."""
    total = torch.zeros(len(batch.lengths), dtype=torch.float64)
    for each in torch.stack(tuple(losses)).cpu():
        total += each
    counts = batch.scored.sum(1).double()
    means: NDArray[np.float64] = (total / counts.masked_fill(counts == 0, torch.nan)).numpy()
    return means
