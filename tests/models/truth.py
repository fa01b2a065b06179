"""What is true of a model as transformers loads it, in float64 and without tauscope.

Owns how a model's layers, output projections and down projections are found: by the module tree
and by lists of names. Knows no study and no file but what `from_pretrained` reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_LISTS = frozenset({"layers", "h", "blocks", "layer", "block"})
_TOWER = re.compile(r"vision|visual|audio|encoder|speech|image|tower|talker|code2wav|token2wav")
_OUTPUT = frozenset({"o_proj", "out_proj", "dense", "c_proj", "wo", "Wo", "proj", "out"})
_DOWN = frozenset({
    "down_proj", "dense_4h_to_h", "fc2", "fc_out", "c_proj", "w2", "wo", "output_linear", "w_out",
    "down", "ff_out", "ffn.2", "mlp.Wo",
})  # fmt: skip
"""What down projections are called; with a dot where the module around it has to be named too."""
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)
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


@dataclass(frozen=True, slots=True)
class Size:
    """Sums over elements of a base W and its update Δ."""

    base2: float = 0.0
    delta2: float = 0.0
    count: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(
            self.base2 + other.base2, self.delta2 + other.delta2, self.count + other.count
        )

    @property
    def relative_norm(self) -> float:
        return math.sqrt(self.delta2 / self.base2)


@dataclass(frozen=True, slots=True)
class Outputs:
    """The output projection of one layer's attention, [d_out, heads · width] of base and Δ."""

    layer: int
    heads: int
    base: Any
    delta: Any


@dataclass(slots=True)
class Activity:
    """What goes into the down projections of one layer: `widths` by parameter, how many inputs are
    positive, and how often one was seen."""

    widths: dict[str, int] = field(default_factory=dict)
    positive: int = 0
    seen: int = 0

    def percent(self, tokens: int) -> float:
        return 100 * self.positive / (tokens * sum(self.widths.values()))


def load(folder: Path) -> Any:
    """The model in a folder, as the class that its config.json names, in float32."""
    config = json.loads((folder / "config.json").read_text())
    cls = getattr(transformers, config["architectures"][0])
    model = cls.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return model.eval().requires_grad_(False)


def layers(model: Any) -> tuple[str, nn.ModuleList]:
    """The name and the list of the text part's layers. Raises LookupError when there is none."""
    config = model.config.get_text_config(decoder=True)
    keys = ("num_hidden_layers", "num_layers", "num_blocks", "decoder_layers")
    wanted = {getattr(config, key, None) for key in keys}
    found = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) in wanted
        and name.rpartition(".")[2] in _LISTS
    ]
    text = [pair for pair in found if not _TOWER.search(pair[0])] or found
    if not text:
        raise LookupError(f"{type(model).__name__} has no list of its layers")
    return min(text, key=lambda pair: pair[0].count("."))


def state(model: Any) -> dict[str, Tensor]:
    """Every floating-point tensor that is saved, those of several names once."""
    seen: set[int] = set()
    found = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen:
            seen.add(id(tensor))
            found[name] = tensor.detach()
    return found


def sizes(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> dict[str, Size]:
    """The sums of each tensor, by its name."""
    found = {}
    for name, tensor in base.items():
        w, t = tensor.double(), tuned[name].double()
        found[name] = Size(float((w * w).sum()), float(((t - w) ** 2).sum()), w.numel())
    return found


def total(parts: Iterable[Size]) -> Size:
    return sum(parts, Size())


def scopes(model: Any, found: Mapping[str, Size], decoder: set[str]) -> dict[str, Size]:
    """The sums over all tensors, and over those that a comparison may reasonably mean; `decoder`
    names those of the text part."""
    parameters = {name for name, _ in model.named_parameters()}
    chosen = {
        "all tensors": set(found),
        "without buffers": parameters,
        "text part": decoder,
        "text part without buffers": decoder & parameters,
    }
    return {
        scope: total(size for name, size in found.items() if name in names)
        for scope, names in chosen.items()
    }


def text_names(model: Any, where: str) -> set[str]:
    """The names of the tensors of the text part: its decoder with the layers that are at `where`,
    its embedding and its head."""
    holder = where.rpartition(".")[0]
    outside = [
        name
        for name, module in model.named_modules()
        if module is not None
        and module in (model.get_input_embeddings(), model.get_output_embeddings())
    ]
    inside = [f"{holder}." if holder else "", *(f"{name}." for name in outside)]
    return {name for name in model.state_dict() if name.startswith(tuple(inside))}


def outputs(base: Any, tuned: Any) -> Outputs | None:
    """The first attention output whose columns the configuration's heads divide."""
    where, blocks = layers(base)
    for number, block in enumerate(blocks):
        heads, width = _heads(base, number)
        for name, module in block.named_modules():
            leaf = name.rpartition(".")[2]
            weight = getattr(module, "weight", None)
            attends = leaf == "o_proj" or (leaf in _OUTPUT and _ATTENTION.search(name))
            if not attends or "linear" in name.lower():
                continue
            if weight is None or weight.dim() != 2 or heads is None:
                continue
            there = tuned.get_submodule(f"{where}.{number}.{name}").weight
            w, t = (_columns_are_inputs(module, x).double().numpy() for x in (weight, there))
            if w.shape[1] % heads == 0 and w.shape[0] == width:
                return Outputs(number, heads, w, t - w)
    return None


def _heads(model: Any, number: int) -> tuple[int | None, int | None]:
    """The query heads of a layer and the width of the model, as the configuration has them."""
    config = model.config.get_text_config(decoder=True)
    own = getattr(config, "per_layer_config", None)
    if own is not None:
        config = own[number]
    return getattr(config, "num_attention_heads", None), getattr(config, "hidden_size", None)


def _columns_are_inputs(module: Any, weight: Tensor) -> Tensor:
    return weight.T if type(module).__name__ == "Conv1D" else weight


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
    return int(_columns_are_inputs(module, parameter).shape[1])


def _width_of_expert(module: Any, parameter: Tensor) -> int:
    """Neurons of one expert: the axis that is not the model's width."""
    if getattr(module, "is_transposed", False):
        return int(parameter.shape[1])
    return int(parameter.shape[2])


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
