"""What goes into the down projections of a model, without tauscope.

Every product that a down projection's weight takes part in is watched, whatever module computes
it and however the weight is stored. Owns what down projections are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.models.truth import columns_are_inputs, is_transposed, layers

_DOWN = frozenset({
    "down_proj", "dense_4h_to_h", "fc2", "fc_out", "c_proj", "w2", "wo", "output_linear", "w_out",
    "down", "ff_out", "ffn.2", "mlp.Wo", "output.dense", "feed_forward.value", "proj_down",
})  # fmt: skip
"""What down projections are called; with a dot where the module around it has to be named too."""
_NO_MLP = re.compile(
    r"attn|attention|mixer\.(?!experts|shared|down)|mamba|conv|rnn|recurrent|temporal_block"
    r"|norm|router|per_layer|laurel|adapter|lora|(^|\.)gate\.",
    re.IGNORECASE,
)
_PRODUCTS = frozenset({
    "linear", "matmul", "bmm", "addmm", "mm", "__matmul__", "_grouped_mm", "grouped_mm", "einsum",
    "baddbmm",
})  # fmt: skip
"""The functions of torch by which an input meets a weight."""
_GATES = {
    "down_proj": ("gate_proj", "gate_up_proj"), "output_linear": ("input_linear",), "w2": ("w1",),
}  # fmt: skip
"""By the name of a down projection what its gate may be called, alone or before the up projection.
"""
_KEEP_SIGNS = frozenset({
    "silu", "swish", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "quick_gelu", "relu",
    "relu2",
})  # fmt: skip
"""Activations that are positive where their input is, and nowhere else."""


@dataclass(slots=True)
class Activity:
    """What goes into the down projections of one layer: `widths` by parameter, how many inputs are
    positive, and how often one was seen.

    `gates` counts the gates before them that let their neuron through; None where there are none,
    or none whose sign their activation is known to keep.
    """

    widths: dict[str, int] = field(default_factory=dict)
    positive: int = 0
    seen: int = 0
    gates: int | None = None

    def percent(self, tokens: int) -> float:
        """The share of positive inputs."""
        return 100 * self.positive / (tokens * sum(self.widths.values()))

    def gated_percent(self, tokens: int) -> float | None:
        """The share of gates that are open."""
        if self.gates is None:
            return None
        return 100 * self.gates / (tokens * sum(self.widths.values()))


@contextmanager
def watching(model: Any) -> Iterator[dict[int, Activity]]:
    """What goes into the down projections of each layer while the block lasts."""
    by_layer: dict[int, Activity] = {}
    watch = _Watch()
    for number, parameters in down_projections(model).items():
        by_layer[number] = Activity({name: width for name, (_, width) in parameters.items()})
        for parameter, _ in parameters.values():
            watch.inputs[number, _storage(parameter)] = by_layer[number]
        gates = [gate for name in parameters if (gate := _gate(model, name)) is not None]
        if len(gates) == len(parameters):
            by_layer[number].gates = 0
            for gate in gates:
                watch.gates[number, _storage(gate.weight)] = (by_layer[number], gate)

    def entering(number: int) -> Any:
        return lambda *_: setattr(watch, "layer", number)

    _, blocks = layers(model)
    handles = [b.register_forward_pre_hook(entering(number)) for number, b in enumerate(blocks)]
    try:
        with watch:
            yield by_layer
    finally:
        for handle in handles:
            handle.remove()


def logits(model: Any, ids: Any) -> Tensor:
    """The logits of one document [1, tokens, vocabulary]."""
    given = torch.as_tensor(np.asarray(ids))[None]
    with torch.no_grad():
        result: Tensor = model(
            input_ids=given, attention_mask=torch.ones_like(given), use_cache=False
        ).logits
    return result


def down_projections(model: Any) -> dict[int, dict[str, tuple[Tensor, int]]]:
    """The weights that neurons go into: by layer and name, with the number of their neurons."""
    where, blocks = layers(model)
    by_layer: dict[int, dict[str, tuple[Tensor, int]]] = {}
    for number, block in enumerate(blocks):
        for name, module in block.named_modules():
            for leaf, parameter in module.named_parameters(recurse=False):
                width = _neurons(name, leaf, module, parameter)
                if width:
                    full = f"{where}.{number}.{name}.{leaf}"
                    by_layer.setdefault(number, {})[full] = (parameter, width)
    return by_layer


def _neurons(name: str, leaf: str, module: Any, parameter: Tensor) -> int:
    """The neurons of a down projection; 0 for any other parameter."""
    path = (name if leaf == "weight" else f"{name}.{leaf}").split(".")
    called = path[-1] in _DOWN or ".".join(path[-2:]) in _DOWN
    if not called or _NO_MLP.search(name):
        return 0
    if parameter.dim() == 3:
        return int(parameter.shape[0]) * _width_of_expert(module, parameter)
    if parameter.dim() != 2:
        return 0
    if leaf != "weight":  # experts one below the other, each as [neurons, d]
        return int(parameter.shape[0])
    return int(columns_are_inputs(module, parameter).shape[1])


@dataclass(frozen=True, slots=True)
class _Gate:
    """A weight whose products are gates: all of them, their first half, or every second."""

    weight: Tensor
    shape: Literal["alone", "first", "second"]

    def of(self, products: Tensor) -> Tensor:
        if self.shape == "alone":
            return products
        return products.chunk(2, dim=-1)[0] if self.shape == "first" else products[..., ::2]


def _gate(model: Any, down: str) -> _Gate | None:
    """The gate that belongs to the down projection of this name; None if its sign can't be told."""
    holder, leaf = down.removesuffix(".weight").rpartition(".")[::2]
    module = model.get_submodule(holder)
    config = model.config.get_text_config(decoder=True)
    named = (getattr(config, key, None) for key in ("hidden_act", "hidden_activation"))
    keeps = next((n for n in named if n is not None), "silu") in _KEEP_SIGNS
    # A bias is added to the products of a stack of experts afterwards, and what an adapter says in
    # Zamba 2; some layers of Gemma 3n let the largest gates alone through.
    further = ("has_bias", "activation_sparsity", "gate_up_proj_adapter_list")
    if not keeps or any(getattr(module, what, False) for what in further):
        return None
    for called in _GATES.get(leaf, ()):
        gate = getattr(module, called, None)
        weight = getattr(gate, "weight", gate)
        if isinstance(weight, Tensor):
            fused = called in ("gate_up_proj", "input_linear")
            halves: Literal["first", "second"] = (
                "first" if getattr(module, "is_concatenated", True) else "second"
            )
            return _Gate(weight, halves if fused else "alone")
    return None


def _width_of_expert(module: Any, parameter: Tensor) -> int:
    """Neurons of one expert: the axis that is not the model's width."""
    return int(parameter.shape[1 if is_transposed(module) else 2])


class _Watch(TorchFunctionMode):
    """Counts positive `inputs` and open `gates`, by layer and by where a weight is stored.

    `layer` is the layer that computes: one weight may belong to several.
    """

    def __init__(self) -> None:
        super().__init__()
        self.inputs: dict[tuple[int, int], Activity] = {}
        self.gates: dict[tuple[int, int], tuple[Activity, _Gate]] = {}
        self.layer = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") in _PRODUCTS:
            self._see([a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)], result)
        return result

    def _see(self, operands: list[Tensor], result: Tensor) -> None:
        for tensor in operands:
            place = self.layer, _storage(tensor)
            if place in self.inputs:
                activity = self.inputs[place]
                inputs = next(t for t in operands if t is not tensor and t.dim() >= 2)
                activity.positive += int((inputs > 0).sum())
                activity.seen += 1
            if place in self.gates:
                activity, gate = self.gates[place]
                activity.gates = (activity.gates or 0) + int((gate.of(result) > 0).sum())


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
