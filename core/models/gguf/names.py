"""The recipe of each parameter from the tensors of a GGUF file.

Owns the conversion from llama.cpp's names and layouts to transformers' names. Follows transformers'
processors and operations by class name, on recipes instead of numbers. Refuses, by name,
architectures that transformers converts wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models.gguf.header import PLAIN, Header
from core.models.gguf.rows import BlockRecipe
from core.models.outline import Outline

_EXPERTS = re.compile(r"(?P<stack>.*\.ffn_(?P<which>gate|up|down)_exps)\.weight")
_TURNED = ("attn_qkv.weight", "ffn_down.weight", "ffn_up.weight", "attn_output.weight")
_UNREAD = re.compile(r"^rope_(freqs|factors_\w+)\.|\.attn_rot_embd\.")
"""Tensors of the rotary embedding; they are not parameters."""

_REASONS: Mapping[str, str] = {
    "gpt-oss": "leaves out the experts' gates and biases",
    "deci": "has no model of that type",
    "gemma4": "does not read the sizes of its heads and layers",
}
"""Faults of transformers by architecture, each as the end of a sentence about it."""


def refuse_misread(file: Path, header: Header) -> None:
    """Raise CheckpointError for a model that transformers misreads or can't read."""
    kind, why = header.architecture, _REASONS.get(header.architecture, "")
    if kind == "llama" and header.of_model("expert_count"):
        kind, why = "llama with experts (Mixtral)", "knows only llama without experts"
    if kind == "falcon" and header.of_model("attention.head_count_kv") != 1:
        kind, why = "falcon with several key-value heads", "does not undo their order"
    if why:
        raise CheckpointError(
            f"{file} is GGUF of architecture {kind}, which is not read: transformers {why}.",
            hint="Name the model that it was converted from.",
        )
    count = header.fields.get("split.count")
    if (isinstance(count, int) and count > 1) or re.search(r"-\d+-of-\d+\.gguf$", file.name):
        raise CheckpointError(
            f"{file} is one part of a GGUF model that was split, which transformers does not read.",
            hint="Join the parts: llama-gguf-split --merge FIRST-PART WHOLE.gguf.",
        )
    for name, tensor in header.tensors.items():
        if len(tensor.shape) == 1 and tensor.kind not in PLAIN:
            raise CheckpointError(f"{file}: the tensor {name} is a vector stored as {tensor.kind}.")


def recipes(
    file: Path, header: Header, outline: Outline
) -> tuple[dict[str, BlockRecipe], tuple[str, ...]]:
    """The recipe of each parameter by its name in memory, and the unused tensors.

    Raises CheckpointError if transformers has no conversion for the architecture, or an unknown
    one.
    """
    chosen = _by_operations if header.architecture in _operations() else _by_processor
    try:
        made = chosen(file, header, outline.module)
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        raise _unknown(file, header, " ".join(str(error).split())[:200]) from None
    used = {source for recipe in made.values() for source in recipe.sources}
    rest = (name for name in header.tensors if name not in used)
    return made, tuple(name for name in rest if not _UNREAD.search(name))


def _unknown(file: Path, header: Header, why: str) -> CheckpointError:
    return CheckpointError(
        f"{file} is GGUF of architecture '{header.architecture}', which can't be read: {why}",
        hint="Name the model that it was converted from.",
    )


def _operations() -> Mapping[str, Any]:
    """Architectures that transformers converts by operations; empty in its earlier versions."""
    try:
        from transformers.integrations.gguf import GGUF_ARCHS
    except ImportError:
        return {}
    operations: Mapping[str, Any] = GGUF_ARCHS
    return operations


def _by_processor(file: Path, header: Header, module: Any) -> dict[str, BlockRecipe]:
    from transformers import modeling_gguf_pytorch_utils as theirs

    processor = theirs.TENSOR_PROCESSORS.get(header.architecture, theirs.TensorProcessor)
    follow = _FOLLOWED.get(processor.__name__)
    if follow is None:
        raise ValueError(f"its {processor.__name__} is not known here.")
    settings = module.config
    mapping = theirs.get_gguf_hf_weights_map(module, processor(config=settings.to_dict()))
    made: dict[str, BlockRecipe] = {}
    for name, tensor in header.tensors.items():
        stack = _EXPERTS.fullmatch(name)
        if stack and stack["stack"] in mapping:
            target = mapping[stack["stack"]]
            made[target] = _experts(made.get(target), name, stack["which"], tensor.shape)
        elif name in mapping:
            made[mapping[name]] = follow(name, BlockRecipe((name,), tensor.shape), settings)
    return made


def _experts(
    before: BlockRecipe | None, name: str, which: str, shape: tuple[int, ...]
) -> BlockRecipe:
    """The stack of the down projections, or the stack of gate and up in each expert, gate first."""
    if which == "down":
        return BlockRecipe((name,), shape)
    whole = (shape[0], 2 * shape[1], *shape[2:])
    other = before.sources if before else ()
    return BlockRecipe((name, *other) if which == "gate" else (*other, name), whole)


def _as_stored(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    return recipe


def _llama(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    heads, key_value = settings.num_attention_heads, settings.num_key_value_heads
    if None in (heads, key_value) or not re.search(r"\.attn_[qk]\.", name):
        return recipe
    head_count = heads if ".attn_q." in name else key_value
    # The file interleaves the pairs of rows of each head; transformers has two halves.
    order = torch.arange(recipe.shape[0]).reshape(head_count, -1, 2).transpose(1, 2).reshape(-1)
    return BlockRecipe(recipe.sources, recipe.shape, order)


def _bloom(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    """The file stores q, k and v one after another; Bloom stores them head by head."""
    if "attn_qkv" not in name:
        return recipe
    rows, heads = recipe.shape[0], settings.n_head
    order = torch.arange(rows).reshape(3, heads, -1).transpose(0, 1).reshape(-1)
    return BlockRecipe(recipe.sources, recipe.shape, order)


def _gpt2(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    if not any(part in name for part in _TURNED):
        return recipe
    return BlockRecipe(recipe.sources, recipe.shape[::-1], turned=True)


def _mamba(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    if "ssm_conv1d.weight" in name:
        return BlockRecipe(recipe.sources, _unsqueezed(recipe.shape, 1))
    change = "log of the negative" if "ssm_a" in name else ""
    return BlockRecipe(recipe.sources, recipe.shape, change=change)


def _norms(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    """Stored norms include the 1 that these models add to their weights."""
    change = "less one" if "norm.weight" in name else ""
    return BlockRecipe(recipe.sources, recipe.shape, change=change)


def _qwen_moe(name: str, recipe: BlockRecipe, settings: Any) -> BlockRecipe:
    if "ffn_gate_inp_shexp" in name and len(recipe.shape) == 1:
        return BlockRecipe(recipe.sources, _unsqueezed(recipe.shape, 0))
    return recipe


_FOLLOWED: Mapping[str, Callable[[str, BlockRecipe, Any], BlockRecipe]] = {
    "TensorProcessor": _as_stored,
    "LlamaTensorProcessor": _llama,
    "Qwen2MoeTensorProcessor": _qwen_moe,
    "MiniMaxM2TensorProcessor": _as_stored,
    "BloomTensorProcessor": _bloom,
    "GPT2TensorProcessor": _gpt2,
    "MambaTensorProcessor": _mamba,
    "NemotronTensorProcessor": _norms,
    "Gemma2TensorProcessor": _norms,
}
"""transformers' processors by name, as functions on recipes."""


def _by_operations(file: Path, header: Header, module: Any) -> dict[str, BlockRecipe]:
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        rename_source_key,
    )

    mapping = _operations()[header.architecture](module.config)
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    by_pattern = {p: c for c in converters for p in c.source_patterns}
    known = module.state_dict()
    groups: dict[str, dict[str, str]] = {}
    for name in header.tensors:
        target, pattern = rename_source_key(name, renamings, converters)
        if target in known:
            groups.setdefault(target, {})[pattern or ""] = name
    made: dict[str, BlockRecipe] = {}
    for target, group in groups.items():
        converter = by_pattern.get(next(iter(group)))
        sources = tuple(group[p] for p in (converter.source_patterns if converter else group))
        recipe = BlockRecipe(sources, header.tensors[sources[0]].shape)
        for operation in converter.operations if converter else ():
            recipe = _operated(operation, recipe)
        made[target] = recipe
    return made


def _operated(operation: Any, recipe: BlockRecipe) -> BlockRecipe:
    """Apply one of transformers' operations to a recipe."""
    kind = type(operation).__name__
    given: dict[str, Any] = {
        "order": recipe.order, "columns": recipe.columns, "change": recipe.change
    }  # fmt: skip
    shape = recipe.shape
    if kind == "SubtractOne" and operation.offset == 1:
        given["change"] = "less one"
    elif kind == "LogNegate":
        given["change"] = "log of the negative"
    elif kind in ("PermuteRows", "TiledToGroupedRows"):
        given["order"] = _permuted(operation, shape[0])
    elif kind in ("PermuteInputFeatures", "TiledToGroupedInputs"):
        given["columns"] = operation.permutation
    elif kind == "Unsqueeze":
        if operation.expected_ndim is None or len(shape) < operation.expected_ndim:
            shape = _unsqueezed(shape, operation.dim)
    elif kind == "ConcatenateRows" and operation.dim == 1 and len(shape) == 3:
        shape = (shape[0], len(recipe.sources) * shape[1], shape[2])
    else:
        raise ValueError(f"the operation {kind} is not known here.")
    return BlockRecipe(recipe.sources, shape, **given)


def _permuted(operation: Any, rows: int) -> Tensor:
    order = torch.arange(rows)
    offset = int(operation.offset)
    order[offset:] = order[offset:][operation.permutation]
    return order


def _unsqueezed(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], 1, *shape[axis:])
