"""Tiny random models of every architecture that is declared, written by transformers itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, processors
from tokenizers.models import BPE
from torch import nn

from core.models import anatomy
from core.models.anatomy import Anatomy
from core.models.hooks import Neurons, locate, locate_heads
from core.models.loading import LoadedModel
from core.models.outline import of_module
from core.models.placement import Placement
from core.texts.probe import ProbeSet

_COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip
_EXPERTS = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_UNGATED = {k: v for k, v in _COMMON.items() if k != "num_key_value_heads"}

CONFIGS: dict[str, Any] = {
    "llama": lambda: hf.LlamaConfig(**_COMMON),
    "mistral": lambda: hf.MistralConfig(**_COMMON),
    "qwen2": lambda: hf.Qwen2Config(**_COMMON),
    "qwen3": lambda: hf.Qwen3Config(**_COMMON, head_dim=8),
    "phi3": lambda: hf.Phi3Config(**_COMMON),
    "gemma2": lambda: hf.Gemma2Config(**_COMMON, head_dim=8),
    "gemma3": lambda: hf.Gemma3TextConfig(**_COMMON, head_dim=8),
    "olmo2": lambda: hf.Olmo2Config(**_COMMON),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=1,
        eos_token_id=2,
    ),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**_UNGATED),
    "opt": lambda: hf.OPTConfig(
        vocab_size=40, hidden_size=32, ffn_dim=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=16, word_embed_proj_dim=32, bos_token_id=1, eos_token_id=2,
    ),
    "mixtral": lambda: hf.MixtralConfig(**_COMMON, num_local_experts=3),
    "qwen2_moe": lambda: hf.Qwen2MoeConfig(
        **_COMMON, **_EXPERTS, shared_expert_intermediate_size=24
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeConfig(**_COMMON, **_EXPERTS, head_dim=8),
}  # fmt: skip


def build(name: str, folder: Path, *, models: int = 1, dtype: torch.dtype = torch.float32) -> Any:
    """Save a base and `models` models with random updates of it; the models, base first."""
    torch.manual_seed(0)
    base = hf.AutoModelForCausalLM.from_config(CONFIGS[name]()).to(dtype)
    _randomise(base, 0.1)
    built = [base]
    base.save_pretrained(folder / "base")
    for i in range(models):
        torch.manual_seed(10 + i)
        tuned = hf.AutoModelForCausalLM.from_config(CONFIGS[name]()).to(dtype)
        tuned.load_state_dict(base.state_dict())
        _randomise(tuned, 0.01)
        tuned.save_pretrained(folder / f"tuned{i}")
        built.append(tuned)
    return built


@cache
def alive(name: str, dtype: torch.dtype = torch.float32) -> LoadedModel:
    """A random model in memory, as `core.models.loading` makes one. Shared: leave it as it was."""
    torch.manual_seed(3)
    module = hf.AutoModelForCausalLM.from_config(CONFIGS[name](), experts_implementation="eager")
    _randomise(module, 0.3)
    module.to(dtype).eval().requires_grad_(False)
    return LoadedModel(name, module, torch.device("cpu"), Placement({"": "cpu"}), module.config)


def found_in(model: LoadedModel) -> Neurons:
    """Where its neurons are."""
    return locate(model.module, anatomy_in(model.module).outlets)


def blocks(model: LoadedModel) -> Any:
    """Its layers, as the families have them that keep them in `model.layers`."""
    module: Any = model.module
    return module.model.layers


def heads_in(model: LoadedModel) -> Neurons:
    """Where its attention heads are."""
    return locate_heads(model.module, anatomy_in(model.module).outlets)


def anatomy_in(module: Any) -> Anatomy:
    """What a model's parameters are, tied ones once."""
    model = module.get_base_model() if hasattr(module, "get_base_model") else module
    outline = of_module(model)
    shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
    if model is not module:  # below an adapter
        shapes = {n.replace(".base_layer", ""): s for n, s in shapes.items() if ".lora_" not in n}
    return anatomy.read(outline.name, shapes, outline.body)


def probe(*lengths: int, seed: int = 0, vocabulary: int = 40) -> ProbeSet:
    """Documents of random tokens."""
    rng = np.random.default_rng(seed)
    ids = tuple(rng.integers(3, vocabulary, n) for n in lengths)
    return ProbeSet(tuple(f"document {i}" for i in range(len(ids))), ids, (1,) * len(ids))


def batch() -> Any:
    return next(probe(9, 5, 1, 7).batches(4))


def logits(model: Any, batch: Any) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.module(
            input_ids=batch.ids, attention_mask=batch.mask, use_cache=False
        ).logits
    return logits


def attached(module: nn.Module) -> list[str]:
    """What hangs on any part of a model."""
    return [
        name
        for name, part in module.named_modules()
        if part._forward_hooks or part._forward_pre_hooks or "forward" in vars(part)
    ]


LETTERS = "abcdefghijklmnopqrstuvwxyz ."


def write_tokenizer(
    folder: Path, *, letters: str = LETTERS, special: bool = True, padding: bool = False
) -> None:
    """A tokeniser of single letters, which drops what it doesn't know; `special` puts <s> first."""
    names = ["<pad>", "<s>", "</s>", *letters]
    made = Tokenizer(BPE({name: i for i, name in enumerate(names)}, []))
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    given = {"bos_token": "<s>", "eos_token": "</s>", **({"pad_token": "<pad>"} if padding else {})}
    hf.PreTrainedTokenizerFast(tokenizer_object=made, **given).save_pretrained(folder)


def _randomise(model: Any, size: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn(parameter.shape))
