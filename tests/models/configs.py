"""A tiny configuration of every model type that transformers generates text with.

Owns the sizes that a configuration is shrunk to; what single types need besides is in
`tests.models.exceptions`. Knows no weights and no files.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import CONFIG_MAPPING
from transformers.models.auto import modeling_auto

from tests.models.exceptions import CHANGES, VARIANTS

LAYERS = 4
WIDTH = 64

_SIZES: tuple[tuple[int, str], ...] = (
    (
        WIDTH,
        """
        hidden_size d_model n_embd dim model_dim embed_dim emb_dim embedding_size projection_dim
        word_embed_proj_dim out_hidden_size lru_width mamba_d_ssm hidden_dim output_dim
        cross_attention_hidden_size vision_output_dim output_proj_dims conv_hidden_size
        vision_embedding_dim projector_hidden_size text_hidden_size text_embed_dim
        encoder_hidden_size decoder_hidden_size reduction_hidden_size qformer_hidden_size
        embedding_dim encoder_dim projector_input_dim projector_output_dim
        """,
    ),
    (
        96,
        """
        intermediate_size ffn_dim n_inner ffn_hidden_size d_ff intermediate_size_mlp mlp_dim
        dense_intermediate_size encoder_ffn_dim decoder_ffn_dim mlp_hidden_size
        shared_intermediate_size_mlp
        """,
    ),
    (
        LAYERS,
        """
        num_hidden_layers n_layer n_layers num_layers decoder_layers num_decoder_layers
        num_blocks
        """,
    ),
    (
        2,
        """
        depth encoder_layers num_encoder_layers num_global_layers num_hidden_layers_vision
        num_key_value_heads num_kv_heads multi_query_group_num swa_num_key_value_heads
        num_global_key_value_heads n_head_kv num_attention_groups num_experts_per_tok
        num_experts_per_token moe_k moe_topk top_k_experts experts_per_token
        num_selected_experts moe_top_k top_k index_n_heads linear_num_key_heads
        attn_layer_period expert_layer_period interleave_moe_layer_step altup_num_inputs
        indexer_n_heads hc_count full_attn_interval
        """,
    ),
    (
        4,
        """
        num_attention_heads n_head n_heads num_heads encoder_attention_heads
        decoder_attention_heads swa_num_attention_heads num_experts num_local_experts
        n_routed_experts moe_num_experts ffn_num_experts mamba_n_heads mamba_num_heads
        linear_num_value_heads mamba_d_conv conv_kernel mamba_dt_rank time_step_rank
        indexer_compress_ratio linear_num_heads
        """,
    ),
    (
        16,
        """
        head_dim d_kv kv_channels global_head_dim swa_head_dim swa_v_head_dim kv_lora_rank
        qk_nope_head_dim v_head_dim o_lora_rank index_head_dim index_topk indexer_head_dim
        linear_key_head_dim linear_value_head_dim mamba_d_head mamba_head_dim mamba_chunk_size
        chunk_size block_size num_position_embeddings mamba_headdim attention_head_dim
        n_mels_vision linear_head_dim
        """,
    ),
    (
        24,
        """
        q_lora_rank qk_head_dim
        """,
    ),
    (
        8,
        """
        qk_rope_head_dim mamba_d_state ssm_state_size state_size hidden_size_per_layer_input
        laurel_rank rotary_dim rank hc_lowrank
        """,
    ),
    (
        32,
        """
        moe_intermediate_size expert_intermediate_size moe_ffn_hidden_size
        expert_ffn_hidden_size expert_ffn_size ffn_hidden_size_moe sliding_window
        sliding_window_size window_size indexer_budget
        """,
    ),
    (
        48,
        """
        shared_expert_intermediate_size moe_shared_expert_intermediate_size
        shared_intermediate_size shared_experts_intermediate_size
        """,
    ),
    (
        64,
        """
        attention_chunk_size adapter_in_dim adapter_input_size moe_hidden_size
        """,
    ),
    (
        1,
        """
        n_shared_experts num_shared_experts moe_num_shared_experts first_k_dense_replace
        num_dense_layers moe_layer_start_index n_group topk_group num_expert_group
        zero_expert_num mamba_n_groups mamba_ngroups n_groups mamba_expand attn_layer_offset
        expert_layer_offset moe_layer_freq bos_token_id indexer_kv_heads decoder_start_token_id
        """,
    ),
    (
        0,
        """
        num_kv_shared_layers num_nextn_predict_layers nb_mtp pad_token_id
        """,
    ),
    (
        3,
        """
        conv_L_cache num_channels in_channels in_chans
        """,
    ),
    (
        512,
        """
        vocab_size vocab_size_per_layer_input text_vocab_size
        """,
    ),
    (
        256,
        """
        max_position_embeddings n_positions max_seq_len seq_length max_sequence_length
        max_source_positions max_target_positions n_ctx
        """,
    ),
    (
        28,
        """
        image_size
        """,
    ),
    (
        14,
        """
        patch_size
        """,
    ),
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


@dataclass(frozen=True, slots=True)
class Entry:
    """A model to make: its type and what its shrunk configuration is changed by.

    `changes` are merged key by key, parts of the configuration within them too.
    """

    model_type: str
    changes: Mapping[str, Any]


def entries() -> dict[str, Entry]:
    """Every type that transformers makes a text generator of, and the variants that matter."""
    names = [
        *modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        *modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
        *getattr(modeling_auto, "MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES", ()),
    ]
    plain = {name: Entry(name, CHANGES.get(name, {})) for name in sorted(set(names))}
    return plain | {name: Entry(*variant) for name, variant in VARIANTS.items()}


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
            classes = mapping[type(config)]
            return classes[0] if isinstance(classes, tuple) else classes
    raise KeyError(config.model_type)


def _shrunk(config: Mapping[str, Any], *, inside: bool = False) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, value in config.items():
        if key in _UNSAID or (key == "model_type" and not inside):
            continue
        if key in ("rope_parameters", "rope_scaling") and isinstance(value, dict):
            settings[key] = _short_rope(value)
        elif isinstance(value, dict):
            settings[key] = _shrunk(value, inside=True)
        elif isinstance(value, list):
            settings[key] = _SHORT_LISTS.get(key) or _short_list(key, value, config)
        else:
            settings[key] = _small(key, value)
    return settings | _latent_sizes(settings)


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
    names = ("rope_theta", "partial_rotary_factor")
    return {"rope_type": "default", **{key: rope[key] for key in names if key in rope}}


def _merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(config)
    for key, change in changes.items():
        if isinstance(change, Mapping) and isinstance(result.get(key), dict):
            result[key] = _merged(result[key], change)
        else:
            result[key] = copy.deepcopy(change)
    return result
