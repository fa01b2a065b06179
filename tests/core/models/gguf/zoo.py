"""Tiny models of every architecture whose GGUF files are read, with settings that differ from the
defaults of their classes wherever the files state them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers as hf

_COMMON: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0, "max_position_embeddings": 64,
}  # fmt: skip
_EXPERTS = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
_ROPE = {"rope_type": "default", "rope_theta": 5000.0}
_PARTIAL = {**_ROPE, "partial_rotary_factor": 0.75}

CONFIGS: dict[str, Any] = {
    "llama": lambda: hf.LlamaConfig(**_COMMON, rope_parameters=_ROPE),
    "qwen2": lambda: hf.Qwen2Config(**_COMMON, rope_parameters=_ROPE),
    "qwen3": lambda: hf.Qwen3Config(**_COMMON, head_dim=8, rope_parameters=_ROPE),
    "qwen2_moe": lambda: hf.Qwen2MoeConfig(
        **_COMMON, **_EXPERTS, shared_expert_intermediate_size=64, rope_parameters=_ROPE
    ),
    "qwen3_moe": lambda: hf.Qwen3MoeConfig(
        **_COMMON, **_EXPERTS, head_dim=8, norm_topk_prob=True, rope_parameters=_ROPE
    ),
    "gemma2": lambda: hf.Gemma2Config(
        **_COMMON, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, rope_parameters=_ROPE
    ),
    "gemma3": lambda: hf.Gemma3TextConfig(
        **_COMMON, head_dim=16, query_pre_attn_scalar=16, sliding_window=8
    ),
    "gpt2": lambda: hf.GPT2Config(
        vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=64, n_inner=64, bos_token_id=1,
        eos_token_id=2,
    ),
    "phi3": lambda: hf.Phi3Config(**_COMMON, rope_parameters=_PARTIAL),
    "stablelm": lambda: hf.StableLmConfig(**_COMMON, rope_parameters=_PARTIAL),
    "starcoder2": lambda: hf.Starcoder2Config(**_COMMON, rope_parameters=_ROPE),
    "nemotron": lambda: hf.NemotronConfig(**_COMMON, rope_parameters=_PARTIAL),
    "bloom": lambda: hf.BloomConfig(vocab_size=40, hidden_size=32, n_layer=2, n_head=4),
    "falcon": lambda: hf.FalconConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        bos_token_id=1, eos_token_id=2, rope_parameters=_ROPE,
    ),
    "mamba": lambda: hf.MambaConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, state_size=4, time_step_rank=3,
        intermediate_size=64, bos_token_id=1, eos_token_id=2,
    ),
    "minimax_m2": lambda: hf.MiniMaxM2Config(
        **_COMMON, head_dim=8, num_local_experts=3, num_experts_per_tok=2,
        rope_parameters=_ROPE, rotary_dim=8,
    ),
    "lfm2": lambda: hf.Lfm2Config(
        **_COMMON, layer_types=["conv", "full_attention"], block_auto_adjust_ff_dim=False,
        rope_parameters=_ROPE,
    ),
    "qwen35": lambda: hf.Qwen3_5TextConfig(
        **_COMMON | {"num_hidden_layers": 4}, head_dim=16, linear_num_key_heads=2,
        linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=8,
        rope_parameters={**_ROPE, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1],
                         "mrope_interleaved": True},
    ),
}  # fmt: skip


def build(name: str, folder: Path, *, seed: int = 0, **changes: Any) -> Any:
    """A random model of an architecture, saved in a folder as transformers saves it."""
    torch.manual_seed(seed)
    config = CONFIGS[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    model = hf.AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.2 * torch.randn_like(tensor))
        for key, buffer in model.named_buffers():
            if key.endswith("e_score_correction_bias"):
                buffer.add_(torch.randn_like(buffer))
    model.save_pretrained(folder)
    return model
