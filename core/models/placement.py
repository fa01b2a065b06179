"""The devices of a model's parts: named by the study, or chosen by accelerate.

Owns the map of devices and its reading. Loads nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.models import cards
from core.study.study import Run


@dataclass(frozen=True, slots=True)
class Placement:
    """accelerate's placement of a model: the device of each placed module."""

    modules: Mapping[str, str]

    def by_device(self) -> dict[str, list[str]]:
        """The modules of each device."""
        modules: dict[str, list[str]] = {}
        for module, device in self.modules.items():
            modules.setdefault(device, []).append(module or "the whole model")
        return modules


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """A device's share of a model: modules, and the bytes of their parameters."""

    device: str
    modules: tuple[str, ...]
    nbytes: int


def device_map(model: Any, run: Run) -> dict[str, str]:
    """The device of each placed module, by the functions that place models at loading."""
    from transformers.integrations.accelerate import get_balanced_memory, infer_auto_device_map

    one = one_device(run, sum(sizes(model).values()))
    if one is not None:
        return {"": one}
    kept_whole = model._no_split_modules
    memory = get_balanced_memory(
        model, max_memory=max_memory(run), no_split_module_classes=kept_whole
    )
    devices = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=kept_whole)
    return {module: device_word(device) for module, device in devices.items()}


def sizes(model: Any) -> dict[str, int]:
    """The bytes of each parameter, tied ones once."""
    tied = getattr(model, "all_tied_weights_keys", {})
    return {
        name: p.numel() * p.element_size() for name, p in model.named_parameters()
        if name not in tied
    }  # fmt: skip


def one_device(run: Run, nbytes: int) -> str | None:
    """The device of a model of `nbytes`: the study's, or the card with most free memory if the
    model fits on it. None: accelerate spreads the model."""
    if fixed(run):
        return run.device
    card = cards.roomiest(nbytes) if run.max_memory is None else None
    return None if card is None else f"cuda:{card}"


def fixed(run: Run) -> bool:
    """Does the study name the one device of its models?"""
    return run.device != "auto" and run.max_memory is None


def max_memory(run: Run) -> dict[int | str, str] | None:
    """The bytes of each device that a model may take, in accelerate's form."""
    if run.max_memory is None:
        return None
    return {int(k) if k.isdigit() else k: v for k, v in run.max_memory.items()}


def device_word(device: Any) -> str:
    """The name of a device; accelerate numbers accelerators."""
    return f"cuda:{device}" if isinstance(device, int) else str(device)
