"""What the shrunk configuration of a type lacks to be one, and variants of types: data alone."""

from __future__ import annotations

from typing import Any

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
_TINY_VQ = {
    "base_channels": 32, "num_embeddings": 64, "channel_multiplier": [1, 1], "num_res_blocks": 1,
}  # fmt: skip

CHANGES: dict[str, dict[str, Any]] = {
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
    "dots3_note": {
        "text_config": _DOTS3, "vision_config": {"adapter_out_dim": 64},
        "audio_config": {"adapter_output_size": 64},
    },
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
        "downsample_rate": "1/2", "deepstack_layer_map": [[0, 1]],
        "spatial_target_layers": [0, 1, 2, 3],
    },
    "granitemoehybrid": {"layer_types": _LINEAR_MIXED},
    "hunyuan_vl": {"text_config": {"rope_parameters": {"mrope_section": [2, 2, 2, 2]}}},
    "jamba": {"use_mamba_kernels": False},
    "janus": {"vq_config": _TINY_VQ},
    "laguna": {"num_attention_heads_per_layer": [4, 8, 4, 8]},
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
        "word_timestamp_config": {"blank_token_id": 511},
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
        "code2wav_config": {"decoder_dim": 64, "codebook_size": 64},
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

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "falcon-old": ("falcon", {
        "new_decoder_architecture": False, "multi_query": True, "parallel_attn": True,
        "alibi": False, "bias": False,
    }),
    "falcon-heads": ("falcon", {
        "new_decoder_architecture": False, "multi_query": False, "parallel_attn": False,
        "alibi": True, "bias": True, "num_kv_heads": 4,
    }),
    "stablelm-parallel": ("stablelm", {"use_parallel_residual": True, "qk_layernorm": True}),
    "deepseek_v3-no-q-lora": ("deepseek_v3", {"q_lora_rank": None}),
    "gemma4-shared-kv": ("gemma4_text", {
        **_GEMMA4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True,
    }),
    "gemma4-experts": ("gemma4_text", {
        **_GEMMA4, "enable_moe_block": True, "num_experts": 4, "top_k_experts": 2,
        "moe_intermediate_size": 32, "hidden_size_per_layer_input": 0, "attention_k_eq_v": True,
        "num_global_key_value_heads": 2,
    }),
    "llama-tied": ("llama", {"tie_word_embeddings": True}),
    "mistral3-ministral3": ("mistral3", {
        "text_config": {"model_type": "ministral3", "rope_parameters": _YARN},
    }),
    "nemotron_h-experts": ("nemotron_h", {
        "layers_block_type": ["linear_attention", "moe", "full_attention", "moe"],
    }),
}  # fmt: skip
"""Configurations of a type that lead to other modules or other shapes."""
