"""The neurons and heads of a loaded model: where they are, and how they are read and replaced.

A neuron is one input of a layer's down projection, a head a run of inputs of its output
projection. A tap sees them layer by layer as the model computes them, and may put other values in
their place; the taps of a `with` block are gone when it ends, however it ends. In a mixture of
experts an expert's neurons exist only at the tokens that were routed to it. Counts nothing and
knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core import architecture
from core.errors import FamilyError

ACTIVATIONS = ("act_fn", "activation_fn", "act")
"""What transformers calls the activation function of an MLP."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a layer's neurons, at some of its tokens.

    `product` [tokens, width]: the input h of the down projection. `gate` [tokens, width]: the
    activation a = act(W_g x), which is h itself where there is no gate. `start`: the place of its
    first neuron in the layer. `tokens` [tokens] int64: which of the batch's tokens, flattened;
    None: all of them.
    """

    start: int
    product: Tensor
    gate: Tensor
    tokens: Tensor | None = None


Tap = Callable[[int, Part], Tensor | None]
"""Sees a layer's number and a part of its neurons; a result replaces the part's product."""


@dataclass(frozen=True, slots=True)
class _Dense:
    """A down projection of its own with the activation that feeds it."""

    start: int
    width: int
    down: nn.Module
    activation: nn.Module | None


@dataclass(frozen=True, slots=True)
class _Experts:
    """A stack of experts [experts, d, 2 · width] that one module computes."""

    start: int
    count: int
    width: int
    module: Any


@dataclass(frozen=True, slots=True)
class Layer:
    """The neurons of one layer, and the module whose forward pass they belong to.

    `width` counts them; each is `group` inputs wide: 1, or a head's width where heads take the
    place of neurons.
    """

    number: int
    width: int
    module: nn.Module
    parts: tuple[_Dense | _Experts, ...]
    group: int = 1


@dataclass(frozen=True, slots=True)
class Neurons:
    """Where a loaded model has its neurons."""

    layers: tuple[Layer, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of neurons of each layer."""
        return tuple(layer.width for layer in self.layers)


def locate(model: nn.Module, architecture_name: str, layers: int) -> Neurons:
    """The neurons of a model of this architecture and so many layers. Raises FamilyError when one
    of them has none.

    An expert's neurons stand after those of the expert before; a shared expert's come last.
    """
    modules = dict(model.named_modules())
    found: dict[int, list[_Dense | _Experts]] = {}
    holders: dict[int, nn.Module] = {}
    for name, module in modules.items():
        place = architecture.output_at(architecture_name, name)
        if place is None or place.module == "o":
            continue
        experts = isinstance(getattr(module, "down_proj", None), nn.Parameter)
        if place.stacked != experts:
            continue
        parts = found.setdefault(place.layer, [])
        holders[place.layer] = modules[place.layer_name]
        if experts:
            parts.append(_experts(module))
        else:
            parts.append(_dense(module, modules, name, gated=place.module == "down"))
    for number in range(layers):
        if number not in found:
            raise FamilyError(f"No MLP can be recognised in layer {number} of the loaded model.")
    return Neurons(tuple(_layer(n, holders[n], found[n]) for n in sorted(found)))


def locate_heads(model: nn.Module, architecture_name: str, width: int) -> Neurons:
    """The attention heads of a model, `width` inputs each, in the place of neurons."""
    modules = dict(model.named_modules())
    found = []
    for name, module in modules.items():
        place = architecture.output_at(architecture_name, name)
        if place is not None and place.module == "o":
            part = _Dense(0, _inputs(module), module, None)
            holder = modules[place.layer_name]
            found.append(Layer(place.layer, part.width // width, holder, (part,), width))
    return Neurons(tuple(sorted(found, key=lambda layer: layer.number)))


@contextmanager
def tapping(
    neurons: Neurons, *taps: Tap, after: Callable[[int], None] | None = None
) -> Iterator[None]:
    """Call the taps with every part of every layer while the block lasts, in the order given.

    `after` is called when a layer's forward pass has ended.
    """
    with ExitStack() as attached:
        for layer in neurons.layers:
            for part in layer.parts:
                if isinstance(part, _Experts):
                    attached.enter_context(_tapped_experts(layer.number, part, taps))
                else:
                    attached.enter_context(_tapped_dense(layer.number, part, taps))
            if after is not None:
                attached.callback(_told(layer, after).remove)
        yield


def _told(layer: Layer, after: Callable[[int], None]) -> Any:
    def ended(module: nn.Module, given: Any, result: Any) -> None:
        after(layer.number)

    return layer.module.register_forward_hook(ended)


def _layer(number: int, module: nn.Module, parts: list[_Dense | _Experts]) -> Layer:
    """The parts one after the other: routed experts first, as they lie on disk."""
    placed: list[_Dense | _Experts] = []
    start = 0
    for part in sorted(parts, key=lambda p: isinstance(p, _Dense)):
        placed.append(replace(part, start=start))
        start += part.width * (part.count if isinstance(part, _Experts) else 1)
    return Layer(number, start, module, tuple(placed))


def _dense(down: nn.Module, modules: dict[str, nn.Module], name: str, *, gated: bool) -> _Dense:
    parent = modules[name.rpartition(".")[0]]
    activation = next((c for n, c in parent.named_children() if n in ACTIVATIONS), None)
    if gated and activation is None:
        raise FamilyError(f"The activation function of {name} can't be found.")
    return _Dense(0, _inputs(down), down, activation if gated else None)


def _inputs(down: nn.Module) -> int:
    """The inputs of a linear map, however it stores them (GPT-2's is transposed)."""
    own: Any = getattr(down, "base_layer", down)  # PEFT wraps what it adapts
    return int(own.in_features) if hasattr(own, "in_features") else int(own.weight.shape[0])


def _experts(module: Any) -> _Experts:
    count, _, width = module.down_proj.shape
    return _Experts(0, int(count), int(width), module)


@contextmanager
def _tapped_dense(layer: int, part: _Dense, taps: tuple[Tap, ...]) -> Iterator[None]:
    gate: list[Tensor] = []

    def activated(module: nn.Module, given: Any, result: Tensor) -> None:
        gate[:] = [result]

    def entering(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        product: Tensor = given[0]
        flat = product.reshape(-1, product.shape[-1])
        if part.activation is not None and not gate:
            raise FamilyError(
                f"The activation function of layer {layer} is computed out of sight.",
                hint="Something has put a fused MLP in the place of the model's own.",
            )
        own = gate.pop().reshape(flat.shape) if gate else flat
        changed = _passed(layer, Part(part.start, flat, own), taps)
        return None if changed is None else (changed.reshape(product.shape), *given[1:])

    handles = [part.down.register_forward_pre_hook(entering)]
    if part.activation is not None:
        handles.append(part.activation.register_forward_hook(activated))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _tapped_experts(layer: int, part: _Experts, taps: tuple[Tap, ...]) -> Iterator[None]:
    """Compute the experts one by one here, since the module does so out of sight."""
    module = part.module
    # accelerate puts its own forward before the module's and keeps that one under this name.
    name = "_old_forward" if hasattr(module, "_old_forward") else "forward"
    own = vars(module).get(name)

    def forward(hidden: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        result = torch.zeros_like(hidden)
        for expert in torch.unique(top_k_index).tolist():
            if expert >= part.count:
                continue
            tokens, choice = torch.where(top_k_index == expert)
            raw = functional.linear(hidden[tokens], module.gate_up_proj[expert])
            gate, up = raw.chunk(2, dim=-1)
            gate = module.act_fn(gate)
            seen = Part(part.start + expert * part.width, gate * up, gate, tokens)
            changed = _passed(layer, seen, taps)
            product = seen.product if changed is None else changed
            out = functional.linear(product, module.down_proj[expert])
            out = out * top_k_weights[tokens, choice, None]
            result.index_add_(0, tokens, out.to(result.dtype))
        return result

    setattr(module, name, forward)
    try:
        yield
    finally:
        if own is None:
            delattr(module, name)
        else:
            setattr(module, name, own)


def _passed(layer: int, part: Part, taps: tuple[Tap, ...]) -> Tensor | None:
    """Show a part to every tap; what the last one put in its place, if any did."""
    replaced = None
    for tap in taps:
        changed = tap(layer, part)
        if changed is not None:
            replaced, part = changed, replace(part, product=changed)
    return replaced
