"""What each architecture calls its tensors: data, and the words that it is declared in.

A stem is a tensor's name without its layer prefix and without `.weight` or `.bias`; `{e}` stands
for an expert's number. Its meaning is one module, or several in the order in which a fused tensor
holds them. Cuts nothing and reads nothing: see `core.architecture`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

ATTENTION = ("q", "k", "v", "o")
MLP = ("gate", "up", "fc_in", "down", "fc_out")
GROUP_OF = {**dict.fromkeys(ATTENTION, "attention"), **dict.fromkeys(MLP, "mlp"), "router": "mlp"}


def groups(module: str) -> tuple[str, ...]:
    """The groups within one layer that a module counts to."""
    inner = (GROUP_OF[module],) if module in GROUP_OF else ()
    return (*inner, "blocks")


Layout = Literal["rows", "columns", "heads", "experts"]
"""How a fused or stored tensor lies: parts stacked by output rows; transposed (Conv1D), parts by
columns; parts interleaved by head; a stack of experts with parts by rows inside each."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a stem holds: its modules, in order, and how they lie in the stored tensor."""

    modules: tuple[str, ...]
    layout: Layout = "rows"
    shared_expert: bool = False


@dataclass(frozen=True, slots=True)
class Architecture:
    """How the tensors of a family of model types are named."""

    name: str
    model_types: tuple[str, ...]
    layers: str
    stems: Mapping[str, Meaning]
    outside: Mapping[str, str]
    ignored: tuple[str, ...] = ()


def _plain(**stems: str) -> dict[str, Meaning]:
    return {stem.replace("__", "."): Meaning((module,)) for stem, module in stems.items()}


_SELF_ATTENTION = _plain(
    self_attn__q_proj="q", self_attn__k_proj="k", self_attn__v_proj="v", self_attn__o_proj="o",
    self_attn__q_norm="norm", self_attn__k_norm="norm",
)  # fmt: skip
_GATED = _plain(mlp__gate_proj="gate", mlp__up_proj="up", mlp__down_proj="down")
_NORMS = _plain(
    input_layernorm="norm", post_attention_layernorm="norm",
    pre_feedforward_layernorm="norm", post_feedforward_layernorm="norm",
)  # fmt: skip
_DECODER = {"embed_tokens": "embedding", "norm": "norm", "lm_head": "unembedding"}
_ROTARY = (r"rotary_emb\.inv_freq$",)

DENSE = Architecture(
    "gated decoder",
    ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "gemma3_text", "olmo2"),
    "layers",
    {**_SELF_ATTENTION, **_GATED, **_NORMS},
    _DECODER,
    _ROTARY,
)

PHI3 = Architecture(
    "Phi-3",
    ("phi3",),
    "layers",
    {
        "self_attn.qkv_proj": Meaning(("q", "k", "v")),
        "self_attn.o_proj": Meaning(("o",)),
        "mlp.gate_up_proj": Meaning(("gate", "up")),
        "mlp.down_proj": Meaning(("down",)),
        **_NORMS,
    },
    _DECODER,
    _ROTARY,
)

EXPERTS = Architecture(
    "mixture of experts",
    ("mixtral", "qwen2_moe", "qwen3_moe"),
    "layers",
    {
        **_SELF_ATTENTION,
        **_NORMS,
        **_GATED,
        "block_sparse_moe.gate": Meaning(("router",)),
        "block_sparse_moe.experts.{e}.w1": Meaning(("gate",)),
        "block_sparse_moe.experts.{e}.w2": Meaning(("down",)),
        "block_sparse_moe.experts.{e}.w3": Meaning(("up",)),
        "mlp.gate": Meaning(("router",)),
        "mlp.experts.{e}.gate_proj": Meaning(("gate",)),
        "mlp.experts.{e}.up_proj": Meaning(("up",)),
        "mlp.experts.{e}.down_proj": Meaning(("down",)),
        "mlp.experts.gate_up_proj": Meaning(("gate", "up"), "experts"),
        "mlp.experts.down_proj": Meaning(("down",), "experts"),
        "mlp.shared_expert.gate_proj": Meaning(("gate",), shared_expert=True),
        "mlp.shared_expert.up_proj": Meaning(("up",), shared_expert=True),
        "mlp.shared_expert.down_proj": Meaning(("down",), shared_expert=True),
        "mlp.shared_expert_gate": Meaning(("router",)),
    },
    _DECODER,
    _ROTARY,
)

GPT2 = Architecture(
    "GPT-2",
    ("gpt2",),
    "h",
    {
        "attn.c_attn": Meaning(("q", "k", "v"), "columns"),
        "attn.c_proj": Meaning(("o",), "columns"),
        "mlp.c_fc": Meaning(("fc_in",), "columns"),
        "mlp.c_proj": Meaning(("fc_out",), "columns"),
        **_plain(ln_1="norm", ln_2="norm"),
    },
    {"wte": "embedding", "wpe": "embedding", "ln_f": "norm", "lm_head": "unembedding"},
    (r"(^|\.)attn\.bias$", r"(^|\.)attn\.masked_bias$"),
)

NEOX = Architecture(
    "GPT-NeoX",
    ("gpt_neox",),
    "layers",
    {
        "attention.query_key_value": Meaning(("q", "k", "v"), "heads"),
        "attention.dense": Meaning(("o",)),
        "mlp.dense_h_to_4h": Meaning(("fc_in",)),
        "mlp.dense_4h_to_h": Meaning(("fc_out",)),
        **_plain(input_layernorm="norm", post_attention_layernorm="norm"),
    },
    {
        "embed_in": "embedding", "final_layer_norm": "norm", "embed_out": "unembedding",
        "lm_head": "unembedding",  # embed_out on disk, in a loaded model
    },
    (r"attention\.bias$", r"attention\.masked_bias$", *_ROTARY),
)  # fmt: skip

OPT = Architecture(
    "OPT",
    ("opt",),
    "layers",
    {
        **_plain(
            self_attn__q_proj="q", self_attn__k_proj="k", self_attn__v_proj="v",
            self_attn__out_proj="o", fc1="fc_in", fc2="fc_out",
            self_attn_layer_norm="norm", final_layer_norm="norm",
        ),
    },
    {
        "embed_tokens": "embedding", "embed_positions": "embedding", "final_layer_norm": "norm",
        "lm_head": "unembedding", "project_in": "embedding", "project_out": "unembedding",
    },
)  # fmt: skip

KNOWN = (DENSE, PHI3, EXPERTS, GPT2, NEOX, OPT)
