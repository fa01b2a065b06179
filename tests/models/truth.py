"""What is true of a model as transformers loads it, in float64 and without tauscope.

Owns how a model's layers, output projections and experts are found: by the module tree and by
lists of names. Knows no study and no file but what `from_pretrained` reads.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

_LISTS = frozenset({"layers", "h", "blocks", "layer", "block"})
_TOWER = re.compile(r"vision|visual|audio|speech|image|tower|talker|code2wav|token2wav")
_OUTPUT = frozenset({"o_proj", "out_proj", "dense", "c_proj", "wo", "Wo", "proj", "out"})
_ATTENTION = re.compile(r"attn|attention", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Size:
    """Sums over elements of a base W and its update Δ."""

    base2: float = 0.0
    delta2: float = 0.0
    count: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.base2 + other.base2, self.delta2 + other.delta2, self.count + other.count)

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


@dataclass(frozen=True, slots=True)
class Experts:
    """The matrices [d_out, d_in] of the first expert of a layer, by module: base and Δ."""

    layer: int
    matrices: Mapping[str, tuple[Any, Any]]


def load(folder: Path) -> Any:
    """The model in a folder, as the class that its config.json names, in float32.

    Raises LookupError when transformers finds no weights for a part of it: that part is random.
    """
    config = json.loads((folder / "config.json").read_text())
    cls = getattr(transformers, config["architectures"][0])
    model, report = cls.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True, output_loading_info=True
    )
    missing = sorted(report["missing_keys"])
    if missing:
        words = f"transformers finds no weights for {len(missing)} tensors: {missing[:3]}"
        raise LookupError(words)
    for parameter in model.parameters():
        # Gate and up may come as views of one tensor; each is to be told by where it is stored.
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    return model.eval().requires_grad_(False)


def layers(model: Any) -> tuple[str, nn.ModuleList]:
    """The name and the list of the text part's layers. Raises LookupError when there is none."""
    config = model.config.get_text_config(decoder=True)
    keys = ("num_hidden_layers", "num_layers", "num_blocks", "decoder_layers")
    wanted = {getattr(config, key, None) for key in keys}
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
        and len(module) in wanted
        and name.rpartition(".")[2] in _LISTS
    ]
    if not lists:
        raise LookupError(f"{type(model).__name__} has no list of its layers")

    def distance(pair: tuple[str, nn.ModuleList]) -> tuple[bool, bool, int]:
        name, _ = pair
        return bool(_TOWER.search(name)), "encoder" in name, name.count(".")

    return min(lists, key=distance)


def state(model: Any) -> dict[str, Tensor]:
    """Every floating-point tensor that is saved, those of several names once."""
    seen: set[int] = set()
    tensors = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen:
            seen.add(id(tensor))
            tensors[name] = tensor.detach()
    return tensors


def sizes(base: Mapping[str, Tensor], tuned: Mapping[str, Tensor]) -> dict[str, Size]:
    """The sums of each tensor, by its name."""
    by_name = {}
    for name, tensor in base.items():
        w, t = tensor.double(), tuned[name].double()
        by_name[name] = Size(float((w * w).sum()), float(((t - w) ** 2).sum()), w.numel())
    return by_name


def total(parts: Iterable[Size]) -> Size:
    return sum(parts, Size())


def scopes(model: Any, by_name: Mapping[str, Size], decoder: set[str]) -> dict[str, Size]:
    """The sums over all tensors, and over those that a comparison may reasonably mean; `decoder`
    names those of the text part."""
    parameters = {name for name, _ in model.named_parameters()}
    chosen = {
        "all tensors": set(by_name),
        "without buffers": parameters,
        "text part": decoder,
        "text part without buffers": decoder & parameters,
    }
    return {
        scope: total(size for name, size in by_name.items() if name in names)
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
        if _mixes(base, number):
            continue  # what takes the place of attention has heads of its own
        for name, module in block.named_modules():
            leaf = name.rpartition(".")[2]
            weight = getattr(module, "weight", None)
            attends = leaf == "o_proj" or (leaf in _OUTPUT and _ATTENTION.search(name))
            if not attends or "linear" in name.lower():
                continue
            if weight is None or weight.dim() != 2 or heads is None:
                continue
            there = tuned.get_submodule(f"{where}.{number}.{name}").weight
            w, t = (columns_are_inputs(module, x).double().numpy() for x in (weight, there))
            if w.shape[1] % heads == 0 and w.shape[0] == width:
                return Outputs(number, heads, w, t - w)
    return None


def experts(base: Any, tuned: Any) -> Experts | None:
    """The first expert of the first layer whose experts are stacks.

    The modules of transformers that hold such stacks say whether they are transposed, and whether
    gate and up lie one after the other or row by row.
    """
    where, blocks = layers(base)
    for number, block in enumerate(blocks):
        for name, module in block.named_modules():
            stack = getattr(module, "gate_up_proj", None)
            if not isinstance(stack, nn.Parameter) or stack.dim() != 3:
                continue
            there = tuned.get_submodule(f"{where}.{number}.{name}")
            ours, theirs = _first_expert(module), _first_expert(there)
            return Experts(number, {m: (w, theirs[m] - w) for m, w in ours.items()})
    return None


def _first_expert(module: Any) -> dict[str, Any]:
    fused, down = (p[0].detach().double() for p in (module.gate_up_proj, module.down_proj))
    if is_transposed(module):
        fused, down = fused.T, down.T
    if getattr(module, "is_concatenated", True):
        gate, up = fused.chunk(2)
    else:
        gate, up = fused[0::2], fused[1::2]
    return {"gate": gate.numpy(), "up": up.numpy(), "down": down.numpy()}


def _mixes(model: Any, number: int) -> bool:
    """Is a layer's attention a linear one, a convolution or a state space, by the configuration?"""
    config = model.config.get_text_config(decoder=True)
    kinds = getattr(config, "layer_types", None) or getattr(config, "layers_block_type", None)
    if not isinstance(kinds, list) or number >= len(kinds):
        return False
    return bool(re.search("linear|conv|mamba|recurrent", str(kinds[number])))


def _heads(model: Any, number: int) -> tuple[int | None, int | None]:
    """The query heads of a layer and the width of the model, as the configuration has them."""
    config = model.config.get_text_config(decoder=True)
    per_layer = getattr(config, "per_layer_config", None)
    if per_layer is not None:
        config = per_layer[number]
    heads = getattr(config, "num_attention_heads", None)
    by_layer = getattr(config, "num_attention_heads_per_layer", None)
    return by_layer[number] if by_layer else heads, getattr(config, "hidden_size", None)


def columns_are_inputs(module: Any, weight: Tensor) -> Tensor:
    return weight.T if type(module).__name__ == "Conv1D" else weight


def is_transposed(module: Any) -> bool:
    """Does a stack of experts hold them as [d_in, d_out]? Llama 4's does and does not say so."""
    silent = type(module).__name__ == "Llama4TextExperts"
    return silent or bool(getattr(module, "is_transposed", False))
