"""The settings of a model that change its computation, in one form for every source.

Owns the list of these settings, their names in configurations, and the places of the rotary
embedding's: `rope_theta` and `rope_scaling` (transformers 4) or `rope_parameters` (transformers 5).
Pure functions of a config.json's data. Knows no defaults of model classes: `core.models.configs`
fills in omitted settings. The dtype is not among them: it follows from the tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Config = Mapping[str, Any]

WITHIN = ("text_config", "llm_config", "language_config")
"""Keys of the language model's settings in a multimodal configuration."""

MEANINGFUL: Mapping[str, tuple[str, ...]] = {
    "model_type": (),
    "tie_word_embeddings": (),
    "hidden_act": ("hidden_activation", "hidden_act", "activation_function"),
    "rms_norm_eps": (),
    "layer_norm_eps": (),
    "layer_norm_epsilon": (),
    "norm_epsilon": (),
    "norm_eps": (),
    "num_attention_heads": ("num_attention_heads", "n_head", "n_heads"),
    "num_key_value_heads": (),
    "head_dim": (),
    "sliding_window": (),
    "layer_types": (),
    "max_position_embeddings": ("max_position_embeddings", "n_positions"),
    "query_pre_attn_scalar": (),
    "attn_logit_softcapping": (),
    "final_logit_softcapping": (),
    "attention_multiplier": (),
    "embedding_multiplier": (),
    "residual_multiplier": (),
    "logits_scaling": ("logits_scaling", "logit_scale"),
    "num_experts_per_tok": (),
    "norm_topk_prob": (),
    "routed_scaling_factor": (),
}  # fmt: skip
"""Settings by their displayed names, and their possible keys in order of precedence."""

_BASES = ("rope_theta", "rotary_emb_base")
_SHARES = ("partial_rotary_factor", "rotary_pct")
_LOCAL = "rope_local_base_freq"  # Gemma 3's base for its sliding layers
_KINDS = {"su": "longrope", "mrope": "default"}
"""Old names of kinds of rotary scaling. Multimodal kinds are recognised by their sections."""
_SCALED_FROM_LENGTH = ("llama3", "yarn", "longrope")
_ONE_SIDED = frozenset({"layer_types", "max_position_embeddings"})
"""Settings that follow from others by default: reported only if both models state them."""


class SettingDifference(NamedTuple):
    """A setting in which a tuned model differs from its base; None if it is not stated."""

    name: str
    tuned: Any
    base: Any

    def __str__(self) -> str:
        if isinstance(self.tuned, list | dict) or isinstance(self.base, list | dict):
            return f"{self.name} differs from the base's."
        return f"{self.name} is {_said(self.tuned)}, in the base {_said(self.base)}."


def differences(
    base: Config, tuned: Config, read: Callable[[Config], Config | None] = lambda config: None
) -> list[SettingDifference]:
    """The meaningful settings in which two configurations differ, in a fixed order.

    `read` returns a configuration with its defaults filled in, or None if they are unknown. It is
    called only if the two seem to differ.
    """
    changes = _between(settings(base), settings(tuned))
    if changes:
        whole = read(base), read(tuned)
        if whole[0] is not None and whole[1] is not None:
            changes = _between(settings(whole[0]), settings(whole[1]))
    return [
        each
        for each in changes
        if each.name not in _ONE_SIDED or None not in (each.base, each.tuned)
    ]


def settings(config: Config) -> dict[str, Any]:
    """The stated meaningful settings of a configuration, flat, by the names in MEANINGFUL.

    The rotary embedding's are `rope_theta`, `rope_type` and `rope <parameter>`, followed by `
    (<kind of layer>)` if layers differ. Universal defaults (a plain rotary embedding over whole
    heads) are left out.
    """
    text_config = language_of(config)
    values: dict[str, Any] = {}
    for name, keys in MEANINGFUL.items():
        value = _first(text_config, keys or (name,))
        values[name] = _first(config, keys or (name,)) if value is None else value
    heads, width = values["num_attention_heads"], text_config.get("hidden_size")
    if values["num_key_value_heads"] is None:
        values["num_key_value_heads"] = heads
    if values["head_dim"] is None and type(heads) is type(width) is int and heads:
        values["head_dim"] = width // heads
    if text_config.get("use_sliding_window") is False:
        values["sliding_window"] = None
    values |= _flat(_rope(text_config, values["max_position_embeddings"]))
    return {name: value for name, value in values.items() if value is not None}


def language_of(config: Config) -> Config:
    """The language model's settings within a configuration; usually the configuration itself."""
    inner = _first(config, WITHIN)
    return inner if isinstance(inner, Mapping) else config


def _between(base: Config, tuned: Config) -> list[SettingDifference]:
    names = dict.fromkeys((*base, *tuned))
    return [
        SettingDifference(name, tuned.get(name), base.get(name))
        for name in names
        if base.get(name) != tuned.get(name)
    ]


def _rope(config: Config, length: Any) -> dict[str, dict[str, Any]]:
    """The parameters of the rotary embedding by kind of layer; the key "" for all layers."""
    stated = _first(config, ("rope_parameters", "rope_scaling"))
    stated = stated if isinstance(stated, Mapping) else {}
    nested = {kind: scaling for kind, scaling in stated.items() if isinstance(scaling, Mapping)}
    if not nested and config.get(_LOCAL) is not None:
        nested = {"full_attention": stated, "sliding_attention": {"rope_theta": config[_LOCAL]}}
    outer = {
        "rope_theta": _first(config, _BASES),
        "partial_rotary_factor": _first(config, _SHARES),
        "original_max_position_embeddings": config.get("original_max_position_embeddings"),
    }
    kinds = {
        kind: _scaling(scaling, outer, length) for kind, scaling in (nested or {"": stated}).items()
    }
    first, *others = kinds.values()
    return {"": first} if all(other == first for other in others) else kinds


def _scaling(stated: Config, outer: Config, length: Any) -> dict[str, Any]:
    """One kind of layer's parameters, without universal defaults."""
    kind = stated.get("rope_type") or stated.get("type") or "default"
    kind = _KINDS.get(kind, kind) if isinstance(kind, str) else kind
    scaling = {k: v for k, v in stated.items() if k not in ("type", "rope_type") and v is not None}
    for key in ("rope_theta", "partial_rotary_factor"):
        scaling.setdefault(key, outer[key])
    if kind in _SCALED_FROM_LENGTH:
        origin = outer["original_max_position_embeddings"]
        scaling.setdefault("original_max_position_embeddings", origin or length)
    if scaling["partial_rotary_factor"] == 1:
        del scaling["partial_rotary_factor"]
    return {"rope_type": None if kind == "default" else kind, **scaling}


def _flat(kinds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    flat = {}
    for kind, scaling in kinds.items():
        for key, value in scaling.items():
            name = key if key.startswith("rope_") else f"rope {key}"
            flat[f"{name} ({kind})" if kind else name] = value
    return flat


def _first(config: Config, keys: tuple[str, ...]) -> Any:
    """The first stated value of these keys."""
    return next((config[key] for key in keys if config.get(key) is not None), None)


def _said(value: Any) -> str:
    return "not stated" if value is None else str(value)
