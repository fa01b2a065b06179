"""Synthetic checkpoints with the widths of a 7B model, made once into a scratch folder.

Random weights of realistic scale with random updates of 2 % of their size; the time of reading
and of linear algebra does not depend on what the numbers are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

HIDDEN, INTERMEDIATE, KEY_VALUE = 3584, 18944, 512
CONFIG = {
    "model_type": "qwen2",
    "architectures": ["Qwen2ForCausalLM"],
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 8192,
    "tie_word_embeddings": True,
    "max_position_embeddings": 512,
    "torch_dtype": "bfloat16",
}


def family(folder: Path, *, tuned: int, layers: int) -> list[Path]:
    """A base and tuned models of the given number of layers; their folders, base first."""
    folders = []
    for i in range(tuned + 1):
        model = folder / f"model{i}"
        folders.append(model)
        if (model / "config.json").exists():
            continue
        model.mkdir(parents=True, exist_ok=True)
        save_file(_tensors(i, layers), model / "model.safetensors", metadata={"format": "pt"})
        (model / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": layers}))
    return folders


def _tensors(number: int, layers: int) -> dict[str, torch.Tensor]:
    base = torch.Generator().manual_seed(0)
    update = torch.Generator().manual_seed(number)

    def matrix(*shape: int) -> torch.Tensor:
        weights = torch.randn(*shape, generator=base).mul_(0.02)
        if number:
            weights += torch.randn(*shape, generator=update).mul_(0.0004)
        return weights.bfloat16()

    tensors = {
        "model.embed_tokens.weight": matrix(8192, HIDDEN),
        "model.norm.weight": matrix(HIDDEN),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}"
        for name, rows, columns in (
            ("self_attn.q_proj", HIDDEN, HIDDEN),
            ("self_attn.k_proj", KEY_VALUE, HIDDEN),
            ("self_attn.v_proj", KEY_VALUE, HIDDEN),
            ("self_attn.o_proj", HIDDEN, HIDDEN),
            ("mlp.gate_proj", INTERMEDIATE, HIDDEN),
            ("mlp.up_proj", INTERMEDIATE, HIDDEN),
            ("mlp.down_proj", HIDDEN, INTERMEDIATE),
        ):
            tensors[f"{prefix}.{name}.weight"] = matrix(rows, columns)
            if name[-6] in "qkv" and name.startswith("self_attn"):
                tensors[f"{prefix}.{name}.bias"] = matrix(rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{prefix}.{name}.weight"] = matrix(HIDDEN)
    return tensors


def best(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the fastest of several runs: the one that was disturbed least."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def least(work: Callable[[], object], times: int = 3) -> float:
    """Seconds of the processor, over all threads, of the run that took least: other work on the
    machine hardly adds to them."""
    return min(processor_time(work)[0] for _ in range(times))


def processor_time(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the processor that work takes, over all threads, and its result."""
    started = time.process_time()
    result = work()
    return time.process_time() - started, result
