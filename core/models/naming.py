"""The common vocabulary: the names and groups of any decoder's matrices.

Owns names only. `core.models.roles` gives them to a model's tensors.
"""

from __future__ import annotations

import re

ATTENTION = ("q", "k", "v", "o", "mixer", "latent")
"""`mixer`: linear attention, convolutions and state spaces; `latent`: projections of multi-head
latent attention that serve several of q, k and v at once."""

MLP = ("gate", "up", "fc_in", "down", "fc_out")
ORDER = (*ATTENTION, *MLP, "router", "norm", "other", "embedding", "unembedding")
"""Every module, in the order in which a slice of the weights is read."""

GROUP_OF = {**dict.fromkeys(ATTENTION, "attention"), **dict.fromkeys(MLP, "mlp"), "router": "mlp"}

POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""The keys under which configurations state a model's number of positions."""

BUFFERS = re.compile(
    r"rotary_emb\.(?:\w+_)?inv_freq$|(?:^|\.)attn\.(?:masked_)?bias$"
    r"|attention\.(?:masked_)?bias$|position_ids$"
)
"""Buffers that older models save and every model computes itself; not parameters."""


def family_name(model_class: str) -> str:
    """The common name of an architecture's classes: Bert for BertForMaskedLM."""
    return re.sub(r"(LMHeadModel|For[A-Z]\w*|Model)$", "", model_class) or model_class


def groups(module: str) -> tuple[str, ...]:
    """The groups of a module within one layer."""
    inner = (GROUP_OF[module],) if module in GROUP_OF else ()
    return (*inner, "blocks")
