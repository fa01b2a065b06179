"""The spellings of projections across models, as data.

Owns the last parts of names (`q_proj`, `fc1`), the parts before them, and the classes that identify
a part. A new spelling is a new word here.
"""

from __future__ import annotations

import re


def _words(**given: str) -> dict[str, str]:
    return {word: module for module, words in given.items() for word in words.split()}


ATTENTION = _words(
    q="q_proj q wq Wq query query_proj project_q q_a_proj q_b_proj q_gate_proj to_q",
    k="k_proj k wk Wk key key_proj project_k to_k",
    v="v_proj v wv Wv value value_proj project_v v_proj_current v_proj_delayed to_v",
    o="o_proj out_proj o wo Wo dense c_proj attention_out o_a_proj o_b_proj to_out",
    latent="kv_a_proj_with_mqa kv_a_proj kv_b_proj kv_proj",
)
PARTIAL = re.compile(r"_a_proj$|_delayed$|_current$|^q_gate_proj$")
"""Projections whose rows are not separate heads."""

FUSED = ("qkv_proj", "query_key_value", "c_attn", "Wqkv", "qkv", "W_pack")

MLP = _words(
    gate="gate_proj w1 w_0 proj_up_gate",
    up="up_proj w3 w_1 proj_up",
    down="down_proj w2 Wo w_out proj_down output_linear",
    fc_in="fc_in fc1 c_fc dense_h_to_4h intermediate key",
    fc_out="fc_out fc2 c_proj dense_4h_to_h output value",
    fused="gate_up_proj input_linear Wi",
)
QUERIES = {*FUSED, *(word for word, module in ATTENTION.items() if module in ("q", "latent"))}
"""Last parts of names that indicate attention."""

ENDS = {word for word, module in MLP.items() if module in ("down", "fc_in", "fc_out")}
"""Last parts of names that indicate an MLP."""

EMBEDDINGS = _words(
    embedding="embed_tokens wte wpe embed_in word_embeddings embed_positions tok_embeddings "
    "position_embeddings token_type_embeddings embeddings project_in",
    unembedding="lm_head embed_out output_projection project_out",
)
SUFFIX = re.compile(r"[._](weight|bias)$")
NORM = re.compile(r"norm|^ln_|^ln\d|_ln$|layernorm", re.IGNORECASE)
RECURRENT = re.compile(
    r"mamba|linear_attn|^conv$|^rg_lru$|mlstm|^ssm|short_conv|time_mix|delta_net", re.IGNORECASE
)
RECURRENT_KIND = re.compile(
    r"Mamba|Lightning|DeltaNet|DeltaAttention|mLSTMLayer|ShortConv|RecurrentBlock|RwkvSelfAttention"
)
MLP_KIND = re.compile(r"MLP|Mlp|MoE$|Moe$|MoeBlock|Experts|FeedForward|FFN")
ROUTER = re.compile(r"router|^gate$|^wg$|shared_expert_gate|moe_statics|expert_bias")
MLP_PART = re.compile(
    r"mlp|ffn|feed_?forward|moe|expert|^fc\d|intermediate|^output$|dense_h|channel_mix",
    re.IGNORECASE,
)
ATTENTION_PART = re.compile(r"att(n|ention)?$|^att|_att_|crossatt", re.IGNORECASE)
ASIDE = re.compile(
    r"indexer|compressor|adapter|laurel|altup|per_layer|hyper_connection|_hc$|residual|lora"
)
"""Parts of a layer that are neither its attention nor its MLP."""

CROSS = re.compile(r"cross_?att|encoder_attn|encoder_decoder")

HEADWISE = re.compile(r"NeoX|Bloom|Persimmon|Fuyu")
"""Attention that fuses q, k and v head by head; others put the three one after the other."""


def is_aside(part: str) -> bool:
    """Is a part of a layer with this name neither its attention nor its MLP?"""
    return bool(ASIDE.search(part) or (NORM.search(part) and part != "norm_attn_norm"))
