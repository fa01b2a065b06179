"""Creating, writing and reading the Hugging Face directories of the demo family.

Owns the use of transformers; nothing else in the demo imports it. Knows nothing of corpora or
training. Weights go through safetensors directly, because save_pretrained and from_pretrained draw
progress bars, and the engine draws nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from core.demo import tokeniser
from core.demo.recipe import Architecture

WEIGHTS = "model.safetensors"


def new(architecture: Architecture, *, vocabulary: int, separator: int, seed: int) -> Any:
    """A freshly initialised model; the caller's random state stays unchanged."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=architecture.hidden,
        intermediate_size=architecture.intermediate,
        num_hidden_layers=architecture.layers,
        num_attention_heads=architecture.heads,
        num_key_value_heads=architecture.key_value_heads,
        max_position_embeddings=architecture.context,
        tie_word_embeddings=True,
        bos_token_id=separator,
        eos_token_id=separator,
        pad_token_id=separator,
        architectures=["LlamaForCausalLM"],
        dtype="float32",
    )
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).float()


def write(model: Any, tokenizer: Tokenizer, folder: Path) -> None:
    """Weights, configuration, generation configuration and tokeniser files."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.named_parameters()}
    save_file(tensors, str(folder / WEIGHTS), metadata={"format": "pt"})
    model.config.save_pretrained(str(folder))
    GenerationConfig(
        bos_token_id=model.config.bos_token_id,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    ).save_pretrained(str(folder))
    tokeniser.save(tokenizer, folder, context=model.config.max_position_embeddings)


def read(folder: Path) -> Any:
    """A model written by `write`, in float32 on the CPU."""
    config = LlamaConfig.from_pretrained(str(folder))
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        model = LlamaForCausalLM(config).float()
    # Tied embeddings are stored once, and named_parameters names them once too.
    missing, unexpected = model.load_state_dict(load_file(str(folder / WEIGHTS)), strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    return model
