"""A tiny configuration of every model type that transformers generates text with.

Owns the sizes that a configuration is shrunk to and what single types need besides. Knows no
weights and no files.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

LAYERS = 4
WIDTH = 64

_SIZES: tuple[tuple[int, str], ...] = (
    (WIDTH, """
        hidden_size d_model n_embd dim model_dim embed_dim emb_dim embedding_size projection_dim
        word_embed_proj_dim out_hidden_size lru_width mamba_d_ssm hidden_dim output_dim
        cross_attention_hidden_size vision_output_dim output_proj_dims conv_hidden_size
        vision_embedding_dim projector_hidden_size text_hidden_size text_embed_dim
        encoder_hidden_size decoder_hidden_size reduction_hidden_size qformer_hidden_size
        embedding_dim encoder_dim"""),
    (96, """
        intermediate_size ffn_dim n_inner ffn_hidden_size d_ff intermediate_size_mlp mlp_dim
        dense_intermediate_size encoder_ffn_dim decoder_ffn_dim mlp_hidden_size
        shared_intermediate_size_mlp"""),
    (LAYERS, """
        num_hidden_layers n_layer n_layers num_layers decoder_layers num_decoder_layers num_blocks"""),
    (2, """
        depth encoder_layers num_encoder_layers num_global_layers num_hidden_layers_vision
        num_key_value_heads num_kv_heads multi_query_group_num swa_num_key_value_heads
        num_global_key_value_heads n_head_kv num_attention_groups
        num_experts_per_tok num_experts_per_token moe_k moe_topk top_k_experts experts_per_token
        num_selected_experts moe_top_k top_k
        index_n_heads linear_num_key_heads attn_layer_period expert_layer_period
        interleave_moe_layer_step altup_num_inputs indexer_n_heads hc_count full_attn_interval"""),
    (4, """
        num_attention_heads n_head n_heads num_heads encoder_attention_heads
        decoder_attention_heads swa_num_attention_heads
        num_experts num_local_experts n_routed_experts moe_num_experts ffn_num_experts
        mamba_n_heads mamba_num_heads linear_num_value_heads mamba_d_conv conv_kernel mamba_dt_rank
        time_step_rank indexer_compress_ratio"""),
    (16, """
        head_dim d_kv kv_channels global_head_dim swa_head_dim swa_v_head_dim kv_lora_rank
        qk_nope_head_dim v_head_dim o_lora_rank index_head_dim index_topk indexer_head_dim
        linear_key_head_dim linear_value_head_dim mamba_d_head mamba_head_dim mamba_chunk_size
        chunk_size block_size num_position_embeddings mamba_headdim attention_head_dim
        n_mels_vision"""),
    (24, "q_lora_rank qk_head_dim"),
    (8, """
        qk_rope_head_dim mamba_d_state ssm_state_size state_size hidden_size_per_layer_input
        laurel_rank rotary_dim rank hc_lowrank"""),
    (32, """
        moe_intermediate_size expert_intermediate_size moe_ffn_hidden_size expert_ffn_hidden_size
        expert_ffn_size ffn_hidden_size_moe sliding_window sliding_window_size window_size
        indexer_budget"""),
    (48, """
        shared_expert_intermediate_size moe_shared_expert_intermediate_size
        shared_intermediate_size shared_experts_intermediate_size"""),
    (64, "attention_chunk_size adapter_in_dim adapter_input_size moe_hidden_size"),
    (1, """
        n_shared_experts num_shared_experts moe_num_shared_experts first_k_dense_replace
        num_dense_layers moe_layer_start_index n_group topk_group num_expert_group zero_expert_num
        mamba_n_groups mamba_ngroups n_groups mamba_expand attn_layer_offset expert_layer_offset
        moe_layer_freq bos_token_id indexer_kv_heads decoder_start_token_id"""),
    (0, "num_kv_shared_layers num_nextn_predict_layers nb_mtp pad_token_id"),
    (3, "conv_L_cache num_channels in_channels in_chans"),
    (512, "vocab_size vocab_size_per_layer_input text_vocab_size"),
    (256, """
        max_position_embeddings n_positions max_seq_len seq_length max_sequence_length
        max_source_positions max_target_positions n_ctx"""),
    (28, "image_size"),
    (14, "patch_size"),
)
"""The small size of each key of a configuration that speaks of one."""

_SPECIAL_TOKENS: dict[str, Any] = {
    "eos_token_id": 2, "image_token_id": 500, "video_token_id": 501, "audio_token_id": 502,
    "image_token_index": 500, "video_token_index": 501, "audio_token_index": 502,
    "boi_token_index": 503, "boi_token_id": 503, "eoi_token_index": 504, "eoi_token_id": 504,
    "vision_start_token_id": 505, "vision_end_token_id": 506, "boa_token_id": 507,
    "eoa_token_index": 508, "eoa_token_id": 508,
}  # fmt: skip

_SHORT_LISTS: dict[str, Any] = {"fullatt_block_indexes": [1], "deepstack_visual_indexes": [0, 1]}

SMALL: dict[str, Any] = {
    **{key: size for size, keys in _SIZES for key in keys.split()},
    **_SPECIAL_TOKENS,
    **_SHORT_LISTS,
}

_UNSAID = frozenset({
    "architectures", "transformers_version", "_name_or_path", "id2label", "label2id",
    "torch_dtype", "dtype", "per_layer_config",
})  # fmt: skip
"""Keys that a configuration is written with and does not need, or that speak of many layers."""

_LEFT_EMPTY = frozenset({
    "n_inner", "pad_token_id", "num_key_value_heads", "sliding_window", "rotary_dim",
})  # fmt: skip
"""Keys whose None has a meaning of its own."""


class _Absent:
    """Takes a key out of a configuration."""


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Entry:
    """A model to make: its type and what its shrunk configuration is changed by.

    `changes` are merged key by key, parts of the configuration within them too; ABSENT takes a key
    out.
    """

    model_type: str
    changes: Mapping[str, Any] = field(default_factory=dict)


def entries() -> dict[str, Entry]:
    """Every type that transformers makes a text generator of, and the variants that matter."""
    names = [
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        *getattr(modeling_auto, "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES", ()),
    ]
    plain = {name: Entry(name, _CHANGES.get(name, {})) for name in sorted(set(names))}
    return plain | _VARIANTS


def tiny(entry: Entry) -> Any:
    """The configuration of an entry, as an object of transformers' class."""
    cls = CONFIG_MAPPING[entry.model_type]
    return cls(**_merged(_shrunk(cls().to_dict()), entry.changes))


def model_class(config: Any) -> Any:
    """The class that transformers generates text with for a configuration. Raises KeyError."""
    mappings = (
        modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
        modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING,
        modeling_auto.MODEL_FOR_MULTIMODAL_LM_MAPPING,
    )
    for mapping in mappings:
        if type(config) in mapping:
            found = mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise KeyError(config.model_type)


def _shrunk(config: Mapping[str, Any], *, inside: bool = False) -> dict[str, Any]:
    found = {}
    for key, value in config.items():
        if key in _UNSAID or (key == "model_type" and not inside):
            continue
        if key in ("rope_parameters", "rope_scaling") and isinstance(value, dict):
            found[key] = _short_rope(value)
        elif isinstance(value, dict):
            found[key] = _shrunk(value, inside=True)
        elif isinstance(value, list):
            found[key] = _SHORT_LISTS.get(key) or _short_list(key, value, config)
        else:
            found[key] = _small(key, value)
    return found | _latent_sizes(found)


def _latent_sizes(config: Mapping[str, Any]) -> dict[str, Any]:
    """The heads of latent attention, whose sizes follow from one another."""
    if not isinstance(config.get("kv_lora_rank"), int) or "qk_rope_head_dim" not in config:
        return {}
    rope = config["qk_rope_head_dim"]
    wanted = {
        "num_key_value_heads": config["num_attention_heads"], "head_dim": rope,
        "qk_head_dim": config.get("qk_nope_head_dim", 0) + rope,
    }  # fmt: skip
    return {key: size for key, size in wanted.items() if key in config}


def _small(key: str, value: Any) -> Any:
    if isinstance(value, bool) or (value is None and key in _LEFT_EMPTY):
        return value
    return SMALL.get(key, value)


def _short_list(key: str, value: list[Any], config: Mapping[str, Any]) -> list[Any]:
    """As many entries as there are layers, of every kind where a pattern has several."""
    if len(value) < 2 * LAYERS and len(value) != config.get("num_hidden_layers"):
        return value
    if not key.endswith(("types", "block_type", "pattern")):
        return value[:LAYERS]
    kinds = list(dict.fromkeys(value))
    return [kinds[i % len(kinds)] for i in range(LAYERS)]


def _short_rope(rope: dict[str, Any]) -> dict[str, Any]:
    """Plain rotary positions in place of those that stretch a long context."""
    if "mrope_section" in rope:
        return {**rope, "mrope_section": [2, 3, 3]}
    plain = rope.get("rope_type") in (None, "default")
    if plain or any(isinstance(value, dict) for value in rope.values()):
        return rope
    kept = ("rope_theta", "partial_rotary_factor")
    return {"rope_type": "default", **{key: rope[key] for key in kept if key in rope}}


def _merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(config)
    for key, change in changes.items():
        if change is ABSENT:
            found.pop(key, None)
        elif isinstance(change, Mapping) and isinstance(found.get(key), dict):
            found[key] = _merged(found[key], change)
        else:
            found[key] = copy.deepcopy(change)
    return found


_YARN = {
    "rope_type": "yarn", "type": "yarn", "rope_theta": 1e6, "factor": 4.0, "beta_fast": 32.0,
    "original_max_position_embeddings": 64, "beta_slow": 1.0, "mscale_all_dim": 1.0, "mscale": 1.0,
    "llama_4_scaling_beta": 0.1,
}  # fmt: skip
_MIXED = ["sliding_attention", "full_attention"] * 2
_LINEAR_MIXED = ["linear_attention", "full_attention"] * 2
_GEMMA4 = {"global_head_dim": 32, "layer_types": _MIXED}
_QWEN4 = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 16, "indexer_budget": 32,
    "indexer_compress_ratio": 4, "hc_count": 2, "hc_lowrank": 8,
    "layer_types": ["linear_attention", "indexed_attention"] * 2,
}  # fmt: skip
_DOTS3 = {
    "head_dim": 32,
    "per_layer_config": {
        number: {
            "num_attention_heads": 2, "num_key_value_heads": 2, "kv_lora_rank": 24,
            "qk_nope_head_dim": 24,
        }
        for number in ("1", "3")
    },
}  # fmt: skip
_SECTIONS = {"text_config": {"rope_parameters": {"mrope_section": [2, 3, 3]}}}
"""Sections of positions in time, height and width; they add up to half of a head."""
_VISION_TOKENS = {"vision_start_token_id": 505, "vision_end_token_id": 506}
_TINY_VQ = {"base_channels": 32, "num_embeddings": 64, "channel_multiplier": [1, 1], "num_res_blocks": 1}

_CHANGES: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1, 3]},
    "blt": {
        "encoder_hash_byte_group_vocab": 500,
        "encoder_config": {"hidden_size_global": 64}, "decoder_config": {"hidden_size_global": 64},
    },
    "chameleon": {"vocabulary_map": {"<image>": 500}, "image_token_id": 500, "vq_config": _TINY_VQ},
    "cohere_compass_text": {
        "rope_parameters": {
            "full_attention": {
                "rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3],
            },
        },
    },
    "cohere_compass": {
        "text_config": {
            "rope_parameters": {
                "full_attention": {
                    "rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3],
                },
            },
        },
    },
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 64, "ffn_hidden_size": 96},
    },
    "deepseek_ocr2": {
        "text_config": {
            "mlp_layer_types": ["dense", "sparse", "sparse", "sparse"], "n_group": 1,
            "topk_group": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
        },
    },
    "dots3_note": {"text_config": _DOTS3},
    "dots3_note_text": _DOTS3,
    "emu3": {
        "vocabulary_map": {"<image>": 500}, "image_token_id": 500,
        "vq_config": {
            "codebook_size": 64, "base_channels": 32, "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
        },
    },
    "ernie4_5_vl_moe": {
        "text_config": {
            "moe_intermediate_size": [32, 32], "rope_parameters": {"mrope_section": [3, 3, 2]},
        },
    },
    "falcon": {"new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False},
    "florence2": {
        "vision_config": {
            "depths": [1, 1, 1, 1], "embed_dim": [16, 16, 32, 64], "num_heads": [1, 1, 2, 4],
            "num_groups": [1, 1, 2, 4],
        },
    },
    "fun_asr_nano": {
        "adaptor_config": {"intermediate_size": 16},
        "audio_config": {"num_timestamp_prediction_layers": 2},
    },
    "gemma4": {"text_config": _GEMMA4},
    "gemma4_text": _GEMMA4,
    "gemma4_unified": {"text_config": _GEMMA4},
    "gemma4_unified_text": _GEMMA4,
    "glm46v": _SECTIONS,
    "glm4v": _SECTIONS,
    "glm4v_moe": {"text_config": {"rope_parameters": {"mrope_section": [1, 1, 2]}}},
    "glm5_next": {
        "text_config": {
            "num_key_value_heads": 4, "qk_rope_head_dim": 0, "head_dim": 0, "qk_head_dim": 16,
            "linear_head_dim": 16, "linear_num_heads": 4,
            "layer_types": ["linear_attention", "indexed_attention"] * 2,
        },
    },
    "glm_ocr": _SECTIONS,
    "glmga": _SECTIONS,
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gpt_oss": {"layer_types": _MIXED},
    "granite4_vision": {
        "downsample_rate": "1/2", "deepstack_layer_map": [[0, 1]], "spatial_target_layers": [0, 1, 2, 3],
    },
    "granitemoehybrid": {"layer_types": _LINEAR_MIXED},
    "hunyuan_vl": {"text_config": {"rope_parameters": {"mrope_section": [2, 2, 2, 2]}}},
    "jamba": {"use_mamba_kernels": False},
    "janus": {"vq_config": _TINY_VQ},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"] * 2},
    "llama4": {"text_config": {"moe_layers": [1, 3]}},
    "llama4_text": {"moe_layers": [1, 3]},
    "mamba2": {"num_heads": 8, "expand": 2},
    "ministral3": {"rope_parameters": _YARN},
    "mistral4": {"head_dim": 16, "rope_parameters": {**_YARN, "partial_rotary_factor": 0.5}},
    "molmo2": {"adapter_config": {"vision_feature_layer": [3, 1]}},
    "mpt": {"expansion_ratio": 2},
    "muse_spark": {
        "text_config": {"moe_hidden_size": 64},
        "audio_config": {"hidden_sizes": [16, 16, 16, 16], "depths": [1, 1, 1, 1]},
    },
    "nemo_speechlm": {
        "audio_config": {"diarization_config": {"head_config": {"audio_hidden_size": 64}}},
    },
    "nemotron": {"num_key_value_heads": 2, "rope_parameters": {"partial_rotary_factor": 0.5}},
    "paddleocr_vl": _SECTIONS,
    "phi4_multimodal": {"num_hidden_layers": 2},
    "qwen2_5_omni": {
        "token2wav_config": {"bigvgan_config": {"upsample_initial_channel": 64}},
        "thinker_config": {**_SECTIONS, **_VISION_TOKENS},
        "talker_config": {"rope_parameters": {"mrope_section": [2, 3, 3]}},
    },
    "qwen2_5_omni_thinker": {**_SECTIONS, **_VISION_TOKENS},
    "qwen2_5_vl": _SECTIONS,
    "qwen2_vl": _SECTIONS,
    "qwen3_omni_moe": {
        "thinker_config": {**_SECTIONS, **_VISION_TOKENS},
        "talker_config": {
            "text_config": {"shared_expert_intermediate_size": 48}, "spatial_merge_size": 2,
        },
    },
    "qwen3_omni_moe_thinker": {**_SECTIONS, **_VISION_TOKENS},
    "qwen4_exp": {"text_config": _QWEN4},
    "qwen4_exp_text": _QWEN4,
    "recurrent_gemma": {
        "block_types": ["recurrent", "recurrent", "attention"], "num_hidden_layers": 3,
    },
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "rwkv": {"attention_hidden_size": 64},
    "step3p7": {"text_config": {"sliding_window": 32}},
    "vibevoice_asr": {
        "acoustic_tokenizer_encoder_config": {"num_filters": 2, "depths": [1] * 7},
        "semantic_tokenizer_encoder_config": {"num_filters": 2, "depths": [1] * 7},
    },
    "xlnet": {"d_head": 16},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"attention_hidden_size": 128, "attention_head_dim": 32, "num_key_value_heads": 4},
    "zamba2": {
        "attention_hidden_size": 128, "attention_head_dim": 32, "num_key_value_heads": 4,
        "num_query_groups": 4, "mamba_headdim": 8, "hybrid_layer_ids": [1, 3],
    },
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip
"""What the shrunk configuration of a type lacks to be one."""

_VARIANTS: dict[str, Entry] = {
    "falcon-old": Entry("falcon", {
        "new_decoder_architecture": False, "multi_query": True, "parallel_attn": True,
        "alibi": False, "bias": False,
    }),
    "falcon-heads": Entry("falcon", {
        "new_decoder_architecture": False, "multi_query": False, "parallel_attn": False,
        "alibi": True, "bias": True, "num_kv_heads": 4,
    }),
    "stablelm-parallel": Entry("stablelm", {"use_parallel_residual": True, "qk_layernorm": True}),
    "deepseek_v3-no-q-lora": Entry("deepseek_v3", {"q_lora_rank": None}),
    "gemma4-shared-kv": Entry("gemma4_text", {
        **_GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True,
    }),
    "gemma4-experts": Entry("gemma4_text", {
        **_GEMMA4, "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2,
        "moe_intermediate_size": 32, "hidden_size_per_layer_input": 0, "attention_k_eq_v": True,
        "num_global_key_value_heads": 2,
    }),
    "llama-tied": Entry("llama", {"tie_word_embeddings": True}),
    "mistral3-ministral3": Entry("mistral3", {
        "text_config": {"model_type": "ministral3", "rope_parameters": _YARN},
    }),
    "nemotron_h-experts": Entry("nemotron_h", {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"],
    }),
}  # fmt: skip
"""Configurations of a type that lead to other modules or other shapes."""
