"""The common vocabulary: the names of any decoder's matrices, and the group that each is in.

Owns names only. How a model's own tensors come to these names is `core.models.roles`.
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

BUFFERS = re.compile(
    r"rotary_emb\.(?:\w+_)?inv_freq$|(?:^|\.)attn\.(?:masked_)?bias$"
    r"|attention\.(?:masked_)?bias$|position_ids$"
)
"""Tensors that older models save and every model makes itself: no parameters."""


def family_name(model_class: str) -> str:
    """The name that the classes of one architecture share: Bert of BertForMaskedLM."""
    return re.sub(r"(LMHeadModel|For[A-Z]\w*|Model)$", "", model_class) or model_class


def groups(module: str) -> tuple[str, ...]:
    """The groups within one layer that a module counts to."""
    inner = (GROUP_OF[module],) if module in GROUP_OF else ()
    return (*inner, "blocks")
