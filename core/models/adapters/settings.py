"""Settings of an adapter: settings without effect on numbers, and unknown settings.

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
"""Keys that chose modules. The adapter's tensors show the choice."""

_OF_LORA = frozenset({
    "alora_invocation_tokens", "alpha_pattern", "arrow_config", "bias", "corda_config",
    "ensure_weight_tying", "eva_config", "fan_in_fan_out", "init_lora_weights", "kasa_config",
    "layer_replication", "loftq_config", "lora_alpha", "lora_bias", "lora_ga_config",
    "megatron_config", "megatron_core", "monteclora_config", "qalora_group_size", "r",
    "rank_pattern", "use_bdlora", "use_dora", "use_qalora", "use_rslora", "velora_config",
})  # fmt: skip


_REMAKING = ("pissa", "olora")
"""Initialisations of LoRA that change the base's weights reproducibly."""


def remakes_base(settings: Mapping[str, Any]) -> bool:
    """Does an adapter start from changed base weights that can be reproduced?"""
    return str(settings.get("init_lora_weights", "")).lower() in _REMAKING


def notes(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """One sentence for each unknown key with a value."""
    if str(settings.get("peft_type")).upper() != "LORA":
        return ()  # PEFT reads the settings of kinds that it merges itself
    unknown = [k for k, v in settings.items() if v and k not in _DESCRIBING | _SELECTING | _OF_LORA]
    return tuple(
        f"'{key}' in adapter_config.json is not known to this version of tauscope and is ignored."
        for key in sorted(unknown)
    )


def deciding(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without descriptive keys."""
    return {k: v for k, v in settings.items() if k not in _DESCRIBING}
