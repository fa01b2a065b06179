"""Settings in the forms of transformers 4 (as published) and 5 (as its classes write them)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import transformers as hf
from hypothesis import given
from hypothesis import strategies as st

from core.models import configs, settings

# As on the hub, by transformers 4.
LLAMA_3_1: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 128000, "eos_token_id": 128001, "hidden_act": "silu", "hidden_size": 4096,
    "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 131072,
    "mlp_bias": False, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192, "rope_type": "llama3",
    },
    "rope_theta": 500000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0", "use_cache": True, "vocab_size": 128256,
}  # fmt: skip
QWEN_2_5: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151643, "hidden_act": "silu", "hidden_size": 3584, "initializer_range": 0.02,
    "intermediate_size": 18944, "max_position_embeddings": 131072, "max_window_layers": 28,
    "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28,
    "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 131072, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False,
    "use_sliding_window": False, "vocab_size": 152064,
}  # fmt: skip
GEMMA_2: dict[str, Any] = {
    "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid",
    "eos_token_id": 1, "final_logit_softcapping": 30.0, "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304, "initializer_range": 0.02, "intermediate_size": 9216,
    "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0,
    "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_theta": 10000.0,
    "sliding_window": 4096, "torch_dtype": "float32", "transformers_version": "4.42.4",
    "use_cache": True, "vocab_size": 256000,
}  # fmt: skip
GEMMA_3: dict[str, Any] = {
    "architectures": ["Gemma3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "attn_logit_softcapping": None, "bos_token_id": 2, "cache_implementation": "hybrid",
    "eos_token_id": [1, 106], "final_logit_softcapping": None, "head_dim": 256,
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 1152, "initializer_range": 0.02,
    "intermediate_size": 6912, "max_position_embeddings": 32768, "model_type": "gemma3_text",
    "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
    "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000, "rope_scaling": None, "rope_theta": 1000000,
    "sliding_window": 512, "sliding_window_pattern": 6, "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0", "use_cache": True, "vocab_size": 262144,
}  # fmt: skip
# Most of the text part is left out: the class knows it.
GEMMA_3_SEEING: dict[str, Any] = {
    "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
    "eoi_token_index": 256000, "eos_token_id": [1, 106], "image_token_index": 262144,
    "initializer_range": 0.02, "mm_tokens_per_image": 256, "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
    "vision_config": {
        "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
        "model_type": "siglip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 27,
        "patch_size": 14, "vision_use_head": False,
    },
}  # fmt: skip
PHI_3: dict[str, Any] = {
    "architectures": ["Phi3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "bos_token_id": 1, "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu",
    "hidden_size": 3072, "initializer_range": 0.02, "intermediate_size": 8192,
    "max_position_embeddings": 131072, "model_type": "phi3", "num_attention_heads": 32,
    "num_hidden_layers": 32, "num_key_value_heads": 32, "original_max_position_embeddings": 4096,
    "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "long_factor": [1.0 + i / 4 for i in range(48)],
        "short_factor": [1.0 + i / 16 for i in range(48)], "type": "longrope",
    },
    "rope_theta": 10000.0, "sliding_window": 262144, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "transformers_version": "4.43.3", "use_cache": True,
    "vocab_size": 32064,
}  # fmt: skip
NEOX: dict[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0,
    "hidden_act": "gelu", "hidden_size": 512, "initializer_range": 0.02,
    "intermediate_size": 2048, "layer_norm_eps": 1e-05, "max_position_embeddings": 2048,
    "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6,
    "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": False,
    "torch_dtype": "float16", "transformers_version": "4.24.0", "use_cache": True,
    "use_parallel_residual": True, "vocab_size": 50304,
}  # fmt: skip

PUBLISHED = {
    "llama-3.1": LLAMA_3_1, "qwen2.5": QWEN_2_5, "gemma-2": GEMMA_2, "gemma-3": GEMMA_3,
    "gemma-3-seeing": GEMMA_3_SEEING, "phi-3": PHI_3, "pythia": NEOX,
}  # fmt: skip
STATED_WHOLE = {
    "llama-3.1": LLAMA_3_1, "qwen2.5": QWEN_2_5, "phi-3": PHI_3,
    "gemma-3": {**GEMMA_3, "tie_word_embeddings": True},
}  # fmt: skip


def saved_again(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What this version of transformers writes after reading such a file."""
    kind = hf.CONFIG_MAPPING[config["model_type"]]
    written: dict[str, Any] = kind.from_dict({**copy.deepcopy(config), **changes}).to_dict()
    return written


def told(base: dict[str, Any], tuned: dict[str, Any]) -> list[str]:
    return [str(each) for each in settings.differences(base, tuned, configs.whole)]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_and_itself_saved_by_a_newer_transformers_are_alike(name: str) -> None:
    old = PUBLISHED[name]
    new = saved_again(old)
    assert "rope_scaling" not in str(new.get("text_config", new).keys())  # it is another form
    assert told(old, new) == []
    assert told(new, old) == []


@pytest.mark.parametrize("name", STATED_WHOLE)
def test_no_class_is_asked_where_both_state_all(name: str) -> None:
    old = STATED_WHOLE[name]
    assert settings.differences(old, saved_again(old)) == []


def test_nothing_is_asked_where_nothing_differs() -> None:
    def read(config: Any) -> None:
        raise AssertionError

    assert settings.differences(LLAMA_3_1, {**LLAMA_3_1, "use_cache": False}, read) == []


@pytest.mark.parametrize(
    ("config", "changes", "sentences"),
    [
        (LLAMA_3_1, {"rope_theta": 10000.0}, ["rope_theta is 10000.0, in the base 500000.0."]),
        (LLAMA_3_1, {"rope_scaling": {**LLAMA_3_1["rope_scaling"], "factor": 32.0}},
         ["rope factor is 32.0, in the base 8.0."]),
        (QWEN_2_5, {"rope_theta": 10000.0, "max_position_embeddings": 4096},
         ["max_position_embeddings is 4096, in the base 131072.",
          "rope_theta is 10000.0, in the base 1000000.0."]),
        (QWEN_2_5, {"rope_scaling": {"type": "yarn", "factor": 4.0,
                                     "original_max_position_embeddings": 32768}},
         ["rope_type is yarn, in the base not stated.",
          "rope factor is 4.0, in the base not stated.",
          "rope original_max_position_embeddings is 32768, in the base not stated."]),
        (GEMMA_2, {"attn_logit_softcapping": None, "tie_word_embeddings": False},
         ["tie_word_embeddings is False, in the base True.",
          "attn_logit_softcapping is not stated, in the base 50.0."]),
        (GEMMA_3, {"rope_local_base_freq": 20000},
         ["rope_theta (sliding_attention) is 20000, in the base 10000."]),
        (PHI_3, {"rope_scaling": {**PHI_3["rope_scaling"], "short_factor": [1.0] * 48}},
         ["rope short_factor differs from the base's."]),
        (NEOX, {"rotary_pct": 1.0, "hidden_act": "relu"},
         ["hidden_act is relu, in the base gelu.",
          "rope partial_rotary_factor is not stated, in the base 0.25."]),
    ],
)  # fmt: skip
def test_a_difference_is_told_whatever_the_forms(
    config: dict[str, Any], changes: dict[str, Any], sentences: list[str]
) -> None:
    tuned = {**config, **changes}
    for one in (config, saved_again(config)):
        for other in (tuned, saved_again(config, **changes)):
            assert sorted(told(one, other)) == sorted(sentences)


def test_a_default_that_one_of_the_two_states() -> None:
    """Llama's base for the rotary embedding is 10,000 where the file does not say so."""
    left_out = {k: v for k, v in LLAMA_3_1.items() if k not in ("rope_theta", "rope_scaling")}
    assert told(left_out, {**left_out, "rope_theta": 10000.0}) == []
    assert told(left_out, {**left_out, "rope_theta": 5e5}) == [
        "rope_theta is 500000.0, in the base 10000.0."
    ]


def test_types_that_transformers_does_not_know_are_compared_as_stated() -> None:
    known = {"model_type": "homemade", "hidden_size": 64, "num_attention_heads": 8}
    assert configs.whole(known) is None
    assert told(known, {**known, "num_key_value_heads": 8, "head_dim": 8}) == []
    assert told(known, {**known, "rope_theta": 1e6}) == [
        "rope_theta is 1000000.0, in the base not stated."
    ]
    assert told(known, {**known, "layer_types": ["full_attention"]}) == []


def test_the_dtype_is_the_tensors_business() -> None:
    assert told(LLAMA_3_1, {**LLAMA_3_1, "torch_dtype": "float16", "dtype": "float16"}) == []


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
_KEYS = st.sampled_from(
    ["text_config", "rope_parameters", "rope_scaling", "rope_theta", "model_type", "hidden_size",
     "num_attention_heads", "rope_local_base_freq", "use_sliding_window"]
)  # fmt: skip


@given(st.dictionaries(_KEYS, _JSON), st.dictionaries(_KEYS, _JSON))
def test_no_values_raise(base: dict[str, Any], tuned: dict[str, Any]) -> None:
    assert settings.differences(base, base) == []
    assert all(str(each).endswith(".") for each in settings.differences(base, tuned))
