"""What goes into the down projections of a model, without tauscope.

Every product that a down projection's weight takes part in is watched, whatever module computes
it and however the weight is stored. Owns what down projections are called.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.models.truth import columns_are_inputs, is_transposed, layers

_DOWN = frozenset({
    "down_proj", "dense_4h_to_h", "fc2", "fc_out", "c_proj", "w2", "wo", "output_linear", "w_out",
    "down", "ff_out", "ffn.2", "mlp.Wo",
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


@dataclass(slots=True)
class Activity:
    """What goes into the down projections of one layer: `widths` by parameter, how many inputs are
    positive, and how often one was seen."""

    widths: dict[str, int] = field(default_factory=dict)
    positive: int = 0
    seen: int = 0

    def percent(self, tokens: int) -> float:
        return 100 * self.positive / (tokens * sum(self.widths.values()))


@contextmanager
def watching(model: Any) -> Iterator[dict[int, Activity]]:
    """What goes into the down projections of each layer while the block lasts."""
    found: dict[int, Activity] = {}
    watched: dict[tuple[int, int], Activity] = {}
    for number, parameters in down_projections(model).items():
        found[number] = Activity({name: width for name, (_, width) in parameters.items()})
        for parameter, _ in parameters.values():
            watched[number, _storage(parameter)] = found[number]
    watch = _Watch(watched)

    def entering(number: int) -> Any:
        return lambda *_: setattr(watch, "layer", number)

    _, blocks = layers(model)
    handles = [b.register_forward_pre_hook(entering(number)) for number, b in enumerate(blocks)]
    try:
        with watch:
            yield found
    finally:
        for handle in handles:
            handle.remove()


def logits(model: Any, ids: Any) -> Tensor:
    """The logits of one document [1, tokens, vocabulary]."""
    given = torch.as_tensor(np.asarray(ids))[None]
    with torch.no_grad():
        found: Tensor = model(
            input_ids=given, attention_mask=torch.ones_like(given), use_cache=False
        ).logits
    return found


def down_projections(model: Any) -> dict[int, dict[str, tuple[Tensor, int]]]:
    """The weights that neurons go into: by layer and name, with the number of their neurons."""
    where, blocks = layers(model)
    found: dict[int, dict[str, tuple[Tensor, int]]] = {}
    for number, block in enumerate(blocks):
        for name, module in block.named_modules():
            for leaf, parameter in module.named_parameters(recurse=False):
                width = _neurons(name, leaf, module, parameter)
                if width:
                    full = f"{where}.{number}.{name}.{leaf}"
                    found.setdefault(number, {})[full] = (parameter, width)
    return found


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


def _width_of_expert(module: Any, parameter: Tensor) -> int:
    """Neurons of one expert: the axis that is not the model's width."""
    return int(parameter.shape[1 if is_transposed(module) else 2])


class _Watch(TorchFunctionMode):
    """Counts the positive inputs of the products that watched weights take part in.

    `layer` is the layer that computes: one weight may belong to several.
    """

    def __init__(self, watched: Mapping[tuple[int, int], Activity]) -> None:
        super().__init__()
        self._watched = watched
        self.layer = -1

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _PRODUCTS:
            self._see([a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)])
        return func(*args, **kwargs)

    def _see(self, operands: list[Tensor]) -> None:
        weights = [t for t in operands if (self.layer, _storage(t)) in self._watched]
        if weights:
            activity = self._watched[self.layer, _storage(weights[0])]
            inputs = next(t for t in operands if t is not weights[0] and t.dim() >= 2)
            activity.positive += int((inputs > 0).sum())
            activity.seen += 1


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
