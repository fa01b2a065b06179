"""Adapters of every kind that PEFT has, over small random models of several families."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import peft
import torch
import transformers as hf
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS
from peft.mapping import PEFT_TYPE_TO_PREFIX_MAPPING as PREFIXES
from safetensors.torch import save_file

from core.models.checkpoint import Checkpoint, whole

SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
    "pad_token_id": 0,
}  # fmt: skip

EXPERTS = {"num_experts": 3, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}


def llama(**given: Any) -> Any:
    return hf.LlamaForCausalLM(
        hf.LlamaConfig(**{"tie_word_embeddings": False, **SIZES, "attention_bias": True, **given})
    )


def gpt2() -> Any:
    return hf.GPT2LMHeadModel(
        hf.GPT2Config(vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=16,
                      bos_token_id=1, eos_token_id=2)
    )  # fmt: skip


def gemma3() -> Any:
    text = {**SIZES, "head_dim": 8}
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    return hf.Gemma3ForConditionalGeneration(
        hf.Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=4)
    )


def gpt_oss() -> Any:
    return hf.GptOssForCausalLM(
        hf.GptOssConfig(**{**SIZES, "intermediate_size": 32}, num_local_experts=3, head_dim=8,
                        num_experts_per_tok=2)
    )  # fmt: skip


BASES: dict[str, Callable[[], Any]] = {
    "llama": llama, "gpt2": gpt2, "gemma3": gemma3, "gpt_oss": gpt_oss,
    "tied": lambda: llama(tie_word_embeddings=True),
    "mixtral": lambda: hf.MixtralForCausalLM(hf.MixtralConfig(**SIZES, num_local_experts=3)),
    "qwen3_moe": lambda: hf.Qwen3MoeForCausalLM(hf.Qwen3MoeConfig(**SIZES, **EXPERTS)),
}  # fmt: skip

LINEAR = ["q_proj", "v_proj", "down_proj"]

EVERY_LINEAR: dict[str, dict[str, Any]] = {
    "LOHA": {"r": 3}, "LOKR": {"r": 2}, "IA3": {"feedforward_modules": ["down_proj"]},
    "OFT": {"oft_block_size": 4}, "BOFT": {"boft_block_size": 4}, "HRA": {"r": 4},
    "FOURIERFT": {"n_frequency": 30}, "C3A": {"block_size": 8}, "ROAD": {"group_size": 16},
    "SHIRA": {"r": 2}, "MISS": {"r": 8}, "DELORA": {}, "WAVEFT": {"n_frequency": 30},
    "HIRA": {"r": 4}, "GRALORA": {"r": 8}, "VBLORA": {"num_vectors": 8, "vector_length": 8},
    "GLORA": {"r": 4}, "DEFT": {"r": 4}, "PEANUT": {"r": 4}, "OSF": {}, "SUPERTUNING": {},
    "VERA": {"r": 4}, "ADALORA": {"total_step": 10, "init_r": 4},
}  # fmt: skip

STACKS = ["experts.gate_up_proj", "experts.down_proj"]

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    **{k.lower(): ("llama", k, {"target_modules": LINEAR, **v}) for k, v in EVERY_LINEAR.items()},
    "lora": ("llama", "LORA", {"target_modules": LINEAR}),
    "patterns": ("llama", "LORA", {
        "target_modules": LINEAR, "use_rslora": True, "rank_pattern": {"v_proj": 2},
        "alpha_pattern": {"layers.1.self_attn.v_proj": 3},
    }),
    "lora bias": ("llama", "LORA", {"target_modules": ["q_proj"], "lora_bias": True}),
    "all biases": ("llama", "LORA", {"target_modules": ["q_proj"], "bias": "all"}),
    "its biases": ("llama", "LORA", {"target_modules": ["q_proj"], "bias": "lora_only"}),
    "dora": ("llama", "LORA", {"target_modules": LINEAR, "use_dora": True}),
    "dora embedding": ("llama", "LORA", {"target_modules": ["embed_tokens"], "use_dora": True}),
    "embedding": ("llama", "LORA", {"target_modules": ["embed_tokens", "lm_head"]}),
    "pissa": ("llama", "LORA", {"target_modules": LINEAR, "init_lora_weights": "pissa"}),
    "olora": ("llama", "LORA", {"target_modules": LINEAR, "init_lora_weights": "olora"}),
    "mica": ("llama", "LORA", {"target_modules": LINEAR, "init_lora_weights": "mica"}),
    "saved": ("llama", "LORA", {
        "target_modules": ["o_proj"], "modules_to_save": ["embed_tokens", "lm_head", "norm"],
    }),
    "token rows": ("llama", "LORA", {
        "target_modules": ["o_proj"],
        "trainable_token_indices": {"embed_tokens": [3, 7], "lm_head": [5]},
    }),
    "tokens": ("llama", "TRAINABLE_TOKENS", {
        "target_modules": ["embed_tokens"], "token_indices": [1, 5, 9],
    }),
    "norms": ("llama", "LN_TUNING", {"target_modules": ["input_layernorm", "norm"]}),
    "tied tokens": ("tied", "LORA", {
        "target_modules": ["o_proj"], "trainable_token_indices": [3, 7],
    }),
    "tied head tokens": ("tied", "LORA", {
        "target_modules": ["o_proj"], "trainable_token_indices": {
            "embed_tokens": [3, 7], "lm_head": [3, 7]},
    }),
    "tied saved": ("tied", "LORA", {
        "target_modules": ["o_proj"], "modules_to_save": ["embed_tokens", "lm_head"],
    }),
    "tied head": ("tied", "LORA", {"target_modules": ["o_proj"], "modules_to_save": ["lm_head"]}),
    "tied embedding": ("tied", "LORA", {
        "target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"],
    }),
    "kept tie": ("tied", "LORA", {
        "target_modules": ["o_proj"], "modules_to_save": ["embed_tokens"],
        "ensure_weight_tying": True,
    }),
    "conv1d": ("gpt2", "LORA", {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True}),
    "conv1d dora": ("gpt2", "LORA", {
        "target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "use_dora": True,
    }),
    "conv1d ia3": ("gpt2", "IA3", {
        "target_modules": ["c_attn", "mlp.c_proj"], "feedforward_modules": ["mlp.c_proj"],
        "fan_in_fan_out": True,
    }),
    "conv1d vera": ("gpt2", "VERA", {
        "target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "r": 4,
        "save_projection": False,
    }),
    "experts": ("mixtral", "LORA", {
        "target_modules": ["q_proj"], "target_parameters": STACKS, "rank_pattern": {
            "experts.down_proj": 3}, "alpha_pattern": {"experts.down_proj": 5},
    }),
    "one stack": ("qwen3_moe", "LORA", {
        "target_modules": ["q_proj"], "target_parameters": [*STACKS[:1], "mlp.gate.weight"],
    }),
    "turned experts": ("gpt_oss", "LORA", {
        "target_modules": ["q_proj"], "target_parameters": STACKS,
    }),
    "vision-language": ("gemma3", "LORA", {
        "target_modules": r".*language_model.*\.(q_proj|down_proj)", "modules_to_save": ["lm_head"],
    }),
}  # fmt: skip


def noisy(module: Any, *parts: str) -> None:
    """Move the parameters whose names have one of these parts."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if any(part in name for part in parts):
                parameter.add_(0.1 * torch.randn(parameter.shape))


def trained(base: str, kind: str, settings: dict[str, Any], folder: Path) -> Any:
    """The base; an adapter over it, moved by noise, is in the folder."""
    torch.manual_seed(0)
    plain = BASES[base]()
    noisy(plain, "")
    known = CONFIGS[kind].__dataclass_fields__
    given = {"r": 4, **settings} if "r" in known and kind != "OFT" else settings
    adapted = peft.get_peft_model(deepcopy(plain), CONFIGS[kind](**given))
    adapted.requires_grad_(True)
    noisy(adapted, PREFIXES[kind], "modules_to_save", "trainable_tokens", "q_proj.base_layer.bias")
    adapted.save_pretrained(folder)
    return plain


def merged(plain: Any, folder: Path) -> dict[str, torch.Tensor]:
    """What PEFT makes of base and adapter, by the names in memory."""
    model = peft.PeftModel.from_pretrained(deepcopy(plain), folder).merge_and_unload()
    tensors: dict[str, torch.Tensor] = model.state_dict()
    return tensors


def tensor(of: Checkpoint, name: str) -> torch.Tensor:
    return whole(of, name)


def by_hand(folder: Path, settings: dict[str, Any], shapes: dict[str, tuple[int, int]]) -> None:
    """A LoRA of rank 2 on matrices of these shapes, under names that PEFT would not give today."""
    folder.mkdir()
    peft.LoraConfig(r=2, lora_alpha=6, **settings).save_pretrained(folder)
    torch.manual_seed(5)
    stored = {}
    for name, (rows, columns) in shapes.items():
        stored[f"base_model.model.{name}.lora_A.weight"] = torch.randn(2, columns)
        stored[f"base_model.model.{name}.lora_B.weight"] = torch.randn(rows, 2)
    save_file(stored, folder / "adapter_model.safetensors")
