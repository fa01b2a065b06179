"""The neurons and heads of a loaded model: finding, reading and replacing them.

A neuron is one input of a layer's down projection, a head a run of inputs of its output projection.
A tap receives their values layer by layer as the model computes them, and may replace them. The
taps of a `with` block are removed when it ends, also by an error. In a mixture of experts an
expert's neurons exist only at the tokens routed to it. Counts nothing and knows no analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn

from core.errors import FamilyError
from core.models.layer import Outlet
from core.models.sight import ExpertSight, GateSight

ACTIVATIONS = ("act_fn", "activation_fn", "activation_func", "act", "activation")
"""transformers' names of an MLP's activation function."""


@dataclass(frozen=True, slots=True)
class Activations:
    """Some of a layer's neurons, at some of its tokens.

    `product` [tokens, width]: the input h of the down projection. `gate` [tokens, width]: the
    activation a = act(W_g x); h itself if there is no gate. `start`: the index of its first neuron
    in the layer. `tokens` [tokens] int64: indices of the batch's flattened tokens; None: all.
    """

    start: int
    product: Tensor
    gate: Tensor
    tokens: Tensor | None = None


Tap = Callable[[int, Activations], Tensor | None]
"""Called with a layer's number and a part of its neurons; a result replaces the part's product."""


@dataclass(frozen=True, slots=True)
class _Inputs:
    """A module that takes neurons or heads as input: a projection, or a stack of `experts`.

    `host`: the module that calls it. `activation`: the module that computes the gate, if any.
    """

    start: int
    width: int
    module: nn.Module
    host: nn.Module
    experts: int = 0
    gated: bool = False
    activation: nn.Module | None = None

    @property
    def count(self) -> int:
        """The number of its neurons."""
        return self.width * max(1, self.experts)


@dataclass(frozen=True, slots=True)
class LayerNeurons:
    """The neurons of one layer, and the module that computes them.

    `width`: their number; `group`: the inputs of each, 1 for neurons or a head's width for heads.
    """

    number: int
    width: int
    module: nn.Module
    parts: tuple[_Inputs, ...]
    group: int = 1


@dataclass(frozen=True, slots=True)
class Neurons:
    """The neurons of a loaded model. `unseen`: layers without a visible gate in a forward pass; the
    product replaces the gate there."""

    layers: tuple[LayerNeurons, ...]
    unseen: set[int] = field(default_factory=set, compare=False)

    @property
    def widths(self) -> tuple[int, ...]:
        """The number of neurons of each layer."""
        return tuple(layer.width for layer in self.layers)


def locate(model: nn.Module, outlets: Sequence[Outlet]) -> Neurons:
    """The neurons of a model with these outlets. A layer without an MLP has none.

    Experts' neurons follow in the order of experts; a shared expert's come last.
    """
    by_layer: dict[int, list[tuple[Outlet, _Inputs]]] = {}
    unwrapped = _unwrapped(model)
    for outlet in outlets:
        if outlet.role == "o":
            continue
        module = _submodule(unwrapped, outlet)
        host = module
        if not hasattr(module, "down_proj"):
            host = unwrapped.get_submodule(outlet.module.rpartition(".")[0])
        children = host.named_children() if outlet.gated and not outlet.experts else ()
        activation = next((c for n, c in children if n in ACTIVATIONS), None)
        inputs = _Inputs(0, outlet.width, module, host, outlet.experts, outlet.gated, activation)
        by_layer.setdefault(outlet.layer, []).append((outlet, inputs))
    return Neurons(
        tuple(
            _layer(number, unwrapped.get_submodule(parts[0][0].holder), [p for _, p in parts])
            for number, parts in sorted(by_layer.items())
        )
    )


def locate_heads(model: nn.Module, outlets: Sequence[Outlet]) -> Neurons:
    """The attention heads of a model in the form of neurons, each as wide as its inputs."""
    unwrapped = _unwrapped(model)
    layers: list[LayerNeurons] = []
    for outlet in outlets:
        if outlet.role == "o" and outlet.layer not in {layer.number for layer in layers}:
            module = _submodule(unwrapped, outlet)
            count = _inputs(module) // outlet.width
            holder = unwrapped.get_submodule(outlet.holder)
            part = _Inputs(0, count * outlet.width, module, holder)
            layers.append(LayerNeurons(outlet.layer, count, holder, (part,), outlet.width))
    return Neurons(tuple(sorted(layers, key=lambda layer: layer.number)))


@contextmanager
def tapping(
    neurons: Neurons, *taps: Tap, after: Callable[[int], None] | None = None
) -> Iterator[None]:
    """Call the taps, in order, with every part of every layer inside the block.

    `after` is called at the end of a layer's forward pass.
    """
    with ExitStack() as attached:
        for layer in neurons.layers:
            for part in layer.parts:
                tapped = _tapped_experts if part.experts else _tapped_dense
                attached.enter_context(tapped(neurons, layer.number, part, taps))
            if after is not None:
                attached.callback(_told(layer, after).remove)
        yield


def _told(layer: LayerNeurons, after: Callable[[int], None]) -> Any:
    def ended(module: nn.Module, given: Any, result: Any) -> None:
        after(layer.number)

    return layer.module.register_forward_hook(ended)


def _unwrapped(model: Any) -> Any:
    """The model under a PEFT adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _submodule(model: Any, outlet: Outlet) -> Any:
    try:
        module: Any = model.get_submodule(outlet.module)
    except AttributeError:
        raise FamilyError(
            f"The loaded model has no module {outlet.module}, although its files have one.",
            hint="Another kind of module has replaced the model's own.",
        ) from None
    while outlet.experts and hasattr(module, "base_layer"):  # PEFT wraps adapted modules
        module = module.base_layer
    return module


def _layer(number: int, module: nn.Module, parts: Sequence[_Inputs]) -> LayerNeurons:
    """The parts in order: routed experts first, as on disk."""
    placed: list[_Inputs] = []
    start = 0
    for part in sorted(parts, key=lambda p: not p.experts):
        placed.append(replace(part, start=start))
        start += part.count
    return LayerNeurons(number, start, module, tuple(placed))


def _inputs(down: nn.Module) -> int:
    """The number of inputs of a linear map, in either orientation (GPT-2's is transposed)."""
    linear: Any = getattr(down, "base_layer", down)  # PEFT wraps adapted modules
    return (
        int(linear.in_features) if hasattr(linear, "in_features") else int(linear.weight.shape[0])
    )


@contextmanager
def _tapped_dense(
    neurons: Neurons, layer: int, part: _Inputs, taps: tuple[Tap, ...]
) -> Iterator[None]:
    gates: list[Tensor] = []
    sight = GateSight() if part.gated and part.activation is None else None

    def activated(module: nn.Module, given: Any, result: Tensor) -> None:
        gates[:] = [result]

    def entering(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
        product: Tensor = given[0]
        flat = product.reshape(-1, product.shape[-1])
        gate = gates.pop() if gates else None
        if sight is not None:
            gate = sight.gate(product)
            sight.forget()
        if part.gated and (gate is None or gate.shape != product.shape):
            neurons.unseen.add(layer)
            gate = None
        flat_gate = flat if gate is None else gate.reshape(flat.shape)
        changed = _passed(layer, Activations(part.start, flat, flat_gate), taps)
        return None if changed is None else (changed.reshape(product.shape), *given[1:])

    with ExitStack() as handles:
        handles.callback(part.module.register_forward_pre_hook(entering).remove)
        if part.activation is not None:
            handles.callback(part.activation.register_forward_hook(activated).remove)
        if sight is not None:
            handles.enter_context(_within(part.host, lambda: sight))
        yield


@contextmanager
def _tapped_experts(
    neurons: Neurons, layer: int, part: _Inputs, taps: tuple[Tap, ...]
) -> Iterator[None]:
    """Tap the host's own forward pass, which computes all experts in one call."""

    def seen(expert: int, product: Tensor, gate: Tensor | None, tokens: Tensor | None) -> Any:
        if gate is None and part.gated:
            neurons.unseen.add(layer)
        start = part.start + expert * part.width
        shown = Activations(start, product, product if gate is None else gate, tokens)
        return _passed(layer, shown, taps)

    def watching() -> ExpertSight:
        module: Any = part.module  # offloaded weights are in memory only during the module's call
        return ExpertSight(
            module.down_proj if hasattr(module, "down_proj") else module.weight, seen
        )

    with _within(part.host, watching), _one_by_one(part.host):
        yield


@contextmanager
def replaced(holder: Any, name: str, value: Any) -> Iterator[None]:
    """Replace an attribute of a module or a configuration inside the block."""
    in_instance = name in vars(holder) or name in vars(holder).get("_modules", ())
    before = getattr(holder, name)
    setattr(holder, name, value)
    try:
        yield
    finally:
        if in_instance:
            setattr(holder, name, before)
        else:
            delattr(holder, name)


@contextmanager
def _within(module: Any, watching: Callable[[], GateSight]) -> Iterator[None]:
    """Run a module's own forward pass under a sight."""
    # accelerate puts its own forward before the module's and keeps that one under this name.
    name = "_old_forward" if hasattr(module, "_old_forward") else "forward"
    original = getattr(module, name)

    def forward(*given: Any, **named: Any) -> Any:
        with watching():
            return original(*given, **named)

    with replaced(module, name, forward):
        yield


@contextmanager
def _one_by_one(module: Any) -> Iterator[None]:
    """Make a stack compute its experts one by one instead of by one grouped kernel."""
    config = getattr(module, "config", None)
    key = "_experts_implementation_internal"
    chosen = getattr(config, key, None) is not None
    with replaced(config, key, "eager") if chosen else nullcontext():
        yield


def _passed(layer: int, part: Activations, taps: tuple[Tap, ...]) -> Tensor | None:
    """Pass a part to every tap; the last tap's replacement, or None."""
    replacement = None
    for tap in taps:
        changed = tap(layer, part)
        if changed is not None:
            replacement, part = changed, replace(part, product=changed)
    return replacement
