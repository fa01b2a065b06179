"""The formats of quantised checkpoints, by the name that config.json gives them.

Owns the readable formats and the names of parts of quantised weights. Imports no torch until a
folder is read, so listing models stays fast.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import CheckpointError
from core.models.naming import BUFFERS

if TYPE_CHECKING:
    from core.models.quantised.parts import PartReader, Weight

READERS = {
    "fp8": "scaled:find",
    "fbgemm_fp8": "scaled:find",
    "modelopt": "scaled:find",
    "compressed-tensors": "scaled:find",
    "mxfp4": "experts:find",
    "gptq": "columns:find_gptq",
    "awq": "columns:find_awq",
    "bitsandbytes": "bitsandbytes:find",
}
"""The module and the function that find the weights of a format."""

_EXTRAS = re.compile(
    r"(^|[._])((input|activation|weight|output|kv|[qkv])_"
    r"(scale(_inv|_2|_ub)?|zero_point|global_scale|shape|g_idx|format)|scales|g_idx|SCB)$"
)
_PACKED = re.compile(
    r"(^|[._])(weight|qweight|qzeros|weight_packed|blocks|absmax|quant_map|(gate|up|down)_proj)$"
)
_KEYS = ("quantization_config", "compression_config")
_SHORTHAND = (("load_in_4bit", "bitsandbytes"), ("load_in_8bit", "bitsandbytes"))
_TRANSPOSED = ("gpt2",)
"""Model types with transposed matrices; packed formats store them differently."""


def settings_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The quantisation settings of a configuration; empty if it has none."""
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for key in _KEYS:
            if isinstance(part.get(key), dict) and part[key]:
                return part[key]  # type: ignore[no-any-return]
    return {}


def method_of(settings: Mapping[str, Any]) -> str:
    """The name of a format; empty for empty settings."""
    named = settings.get("quant_method")
    if isinstance(named, str) and named:
        return named
    meant = next((method for key, method in _SHORTHAND if settings.get(key)), "unknown")
    return meant if settings else ""


def without_quantisation(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without its quantisation settings."""
    left = {k: v for k, v in config.items() if k not in _KEYS}
    text = left.get("text_config")
    return {**left, "text_config": without_quantisation(text)} if isinstance(text, dict) else left


def is_extra(name: str) -> bool:
    """Is this a tensor that quantisation adds? It is not a tensor of the model."""
    return bool(_EXTRAS.search(name))


def packed(not_floats: Iterable[str]) -> list[str]:
    """The tensors among these that have a weight's name but are not floats.

    Unquantised models have integer tables too. If no weight is packed, a configuration's
    quantisation settings are left over from training.
    """
    return [n for n in not_floats if _PACKED.search(n) and not _EXTRAS.search(n)]


def unexplained(config: Mapping[str, Any], not_floats: Iterable[str]) -> list[str]:
    """Tensors that are packed weights; for a format without a reader every integer table."""
    names = list(not_floats)
    if method_of(settings_of(config)) in ("", *READERS):
        return packed(names)
    return [name for name in names if not BUFFERS.search(name)]


def refuse_unread(where: str, config: Mapping[str, Any], packed: Sequence[str]) -> None:
    """Raise CheckpointError if the weights are quantised in a format without a reader.

    `packed`: the tensors of quantisation, if known.
    """
    method = method_of(settings_of(config))
    if packed and not method:
        raise CheckpointError(
            f"{where} is quantised (tensor {packed[0]}), but config.json doesn't say how.",
            hint="Copy the published config.json, or use the unquantised checkpoint.",
        )
    if packed and method not in READERS:
        raise CheckpointError(
            f"{where} is quantised with '{method}', which has no reader.",
            hint="Use the unquantised checkpoint, or save a dequantised copy with the library "
            f"that made it. Supported: {', '.join(READERS)}.",
        )
    if packed and config.get("model_type") in _TRANSPOSED:
        raise CheckpointError(
            f"{where} is a quantised model of type '{config['model_type']}', which has no reader.",
            hint="Use the unquantised checkpoint.",
        )


def find(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The quantised weights among stored tensors, by their names in the model.

    Raises CheckpointError, naming the tensor, if parts of a weight don't fit one another.
    """
    module, function = READERS[method_of(settings)].split(":")
    reader = importlib.import_module(f"core.models.quantised.{module}")
    try:
        weights: dict[str, Weight] = getattr(reader, function)(parts, settings)
    except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError, RuntimeError):
        raise CheckpointError(
            f"{parts.where}: the settings of quantisation or the scales can't be understood.",
            hint="Compare config.json with the published one.",
        ) from None
    return weights
