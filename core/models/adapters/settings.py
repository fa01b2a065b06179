"""Settings of an adapter that change no number, and settings that are unknown.

The known keys are those of PEFT 0.21's own configurations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_DESCRIBING = frozenset({
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_type", "peft_version",
    "revision", "task_type", "lora_dropout", "module_dropout", "rank_dropout", "runtime_config",
})  # fmt: skip
"""Keys that describe the training or the file."""

_SELECTING = frozenset({
    "exclude_modules", "feedforward_modules", "layers_pattern", "layers_to_transform",
    "modules_to_save", "target_modules", "target_parameters", "token_indices",
    "trainable_token_indices",
})  # fmt: skip
"""Keys that chose modules: the adapter's tensors show which."""

_OF_LORA = frozenset({
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "bias", "corda_config",
    "ensure_weight_tying", "eva_config", "fan_in_fan_out", "init_lora_weights", "kasa_config",
    "layer_replication", "loftq_config", "lora_alpha", "lora_bias", "lora_ga_config",
    "megatron_config", "megatron_core", "monteclora_config", "qalora_group_size", "r",
    "rank_pattern", "use_bdlora", "use_dora", "use_qalora", "use_rslora", "velora_config",
})  # fmt: skip


_REMAKING = ("pissa", "olora")
"""Initialisations of LoRA that subtract from the base's weights what can be made again of them."""


def remakes_base(settings: Mapping[str, Any]) -> bool:
    """Does an adapter start from weights that are made again out of the base's?"""
    return str(settings.get("init_lora_weights", "")).lower() in _REMAKING


def notes(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each key that is set to something and that nobody here knows."""
    if str(settings.get("peft_type")).upper() != "LORA":
        return ()  # what PEFT itself merges, it reads by its own rules
    unknown = [k for k, v in settings.items() if v and k not in _DESCRIBING | _SELECTING | _OF_LORA]
    return tuple(
        f"'{key}' in adapter_config.json is not known to this version of tauscope and is ignored."
        for key in sorted(unknown)
    )


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that describe."""
    return {k: v for k, v in settings.items() if k not in _DESCRIBING}
