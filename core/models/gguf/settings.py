"""The configuration of the model in a GGUF file.

Owns transformers' reading of the configuration, and the settings that this reading omits. Without
them the model would have another size or other rotary embeddings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import CheckpointError
from core.models.gguf.header import Header

_EXPERTS = {
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
}
_LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "qwen2moe": _EXPERTS,
    "qwen3moe": _EXPERTS,
    "qwen3": {"attention.key_length": "head_dim"},
    "starcoder2": {"rope.freq_base": "rope_theta"},
    "stablelm": {"rope.freq_base": "rope_theta"},
    "gpt2": {"context_length": "n_positions", "feed_forward_length": "n_inner"},
}
"""Settings by the file's keys, for each architecture."""

_PARTIAL = ("stablelm", "nemotron", "phi3")
"""Architectures whose rotary embedding may apply to a part of each head."""

_FROM_WIDTH = {"gemma2": 46, "gemma3": 62}
"""Numbers of layers of models that scale attention by width / heads, not by a head's size."""

_SCALINGS = {"linear": "linear", "yarn": "yarn"}


def read(file: Path, header: Header) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The configuration in the form of a config.json, and remarks on its omissions.

    Raises CheckpointError if transformers can't read the architecture or rejects a value.
    """
    try:
        config = _as_transformers(file, header)
        config = {key: value for key, value in config.items() if not key.startswith("_")}
        return _plain(config | _left_out(header, config)), _remarks(header)
    except Exception as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(
            f"{file} is GGUF of architecture '{header.architecture}', whose settings transformers "
            f"can't read: {words}",
            hint="Name the model that it was converted from.",
        ) from None


def _as_transformers(file: Path, header: Header) -> dict[str, Any]:
    try:
        from transformers.integrations import gguf as theirs

        known: Mapping[str, Callable[..., dict[str, Any]]] = theirs.GGUF_CONFIG_ARCHS
    except (ImportError, AttributeError):  # earlier versions have only this way
        known = {}
    if header.architecture in known:
        return known[header.architecture](*theirs.read_gguf_metadata(str(file)))
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config: dict[str, Any] = load_gguf_checkpoint(str(file), return_tensors=False)["config"]
    return config


def _plain(value: Any) -> Any:
    """float32 numbers rounded to the few digits of a config.json."""
    if isinstance(value, float):
        return float(str(np.float32(value)))
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _left_out(header: Header, config: Mapping[str, Any]) -> dict[str, Any]:
    kind, more = header.architecture, {}
    for key, setting in _LEFT_OUT.get(kind, {}).items():
        if header.of_model(key) is not None:
            more[setting] = header.of_model(key)
    heads, width = header.of_model("attention.head_count"), header.of_model("embedding_length")
    turned = header.of_model("rope.dimension_count")
    if kind in _PARTIAL and turned and heads and width:
        more["partial_rotary_factor"] = turned / (width // heads)
    if kind in _FROM_WIDTH:
        by_width = header.of_model("block_count") == _FROM_WIDTH[kind]
        size = width // heads if by_width else header.of_model("attention.key_length")
        more["query_pre_attn_scalar"] = size
    scaling = _SCALINGS.get(str(header.of_model("rope.scaling.type")))
    factor = header.of_model("rope.scaling.factor")
    if scaling and factor and "rope_parameters" not in config:
        more["rope_scaling"] = {"rope_type": scaling, "factor": float(factor)}
        original = header.of_model("rope.scaling.original_context_length")
        if scaling == "yarn" and original:
            more["rope_scaling"]["original_max_position_embeddings"] = original
    return more


def _remarks(header: Header) -> tuple[str, ...]:
    """Settings of the model's computation that transformers does not read."""
    words = "transformers does not read, so that it runs with plain rotary embeddings."
    scaling = header.of_model("rope.scaling.type")
    if scaling not in (None, "none", *_SCALINGS):
        return (f"states rotary embeddings of the kind '{scaling}', which {words}",)
    named = [name for name in header.tensors if name.startswith(("rope_freqs.", "rope_factors_"))]
    if named:
        return (f"holds factors of its rotary embedding ({named[0]}), which {words}",)
    return ()
