"""One folder with a model or an adapter, appraised by its settings, headers and card.

Owns the description of unopened models: reads no tensor and unpickles nothing. Everything in such a
folder is text from outside, and may be wrong, huge or hostile: faults are in the entry, never
raised. Displays of an entry must escape its text (app.text).
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.library.parentage import origin_of
from core.errors import FamilyError, TauscopeError
from core.models import anatomy, folders, headers
from core.models.headers import StoredTensor
from core.models.naming import BUFFERS, family_name
from core.models.quantised import formats

Kind = Literal["model", "adapter"]

LONGEST = 300
"""Most characters of a quotation from files."""

HEADER = 16 * 2**20
"""Bytes of the longest header that is read here: about ten times the largest models' headers."""

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
}  # fmt: skip
_NUMBER = re.compile(r"\.\d+\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A model or an adapter on this machine, as its files describe it.

    `name`: its path in a study file, a hub id or an absolute path. `path` is the folder of its
    files (in a cache: of one snapshot). `size`: bytes of those files; `parameters`: elements of its
    floating-point tensors, unknown for `.bin` files and packed quantised weights; `dtype`: the most
    frequent one first. `parents`: its stated parents, `relation`: its kind of derivation, `stated`:
    the source of the statement. `revisions`: the snapshots in a cache, the one of `path` first.
    `trouble`: the reason that it can't be read.
    """

    name: str
    path: Path
    kind: Kind
    size: int | None = None
    parameters: int | None = None
    dtype: str = "unknown"
    architecture: str = ""
    parents: tuple[str, ...] = ()
    trouble: str | None = None
    model_class: str = ""
    layers: int | None = None
    hidden: int | None = None
    rank: int | None = None
    relation: str = ""
    stated: str = ""
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Weights:
    parameters: int | None = None
    dtype: str = "unknown"


def holds_model(files: set[str]) -> bool:
    """Are these the files of a model or an adapter?"""
    if headers.ADAPTER in files:
        return True
    weights = (".safetensors", ".bin", ".safetensors.index.json", ".bin.index.json")
    return "config.json" in files and any(name.endswith(weights) for name in files)


def appraise(folder: Path, name: str, revisions: tuple[str, ...] = ()) -> Entry:
    """The description of a model by the files of its folder. Never raises on their contents."""
    troubles: list[str] = []
    with _noting(troubles, folder):
        size = _size(folder, troubles)
        adapter = folders.is_adapter(folder)
        facts = _adapter(folder, troubles) if adapter else _model(folder, troubles)
        origin = origin_of(folder, {name, str(folder)}, adapter=adapter)
        return Entry(
            name=name,
            path=folder,
            kind="adapter" if adapter else "model",
            size=size,
            trouble=troubles[0] if troubles else None,
            revisions=revisions,
            parents=origin.parents,
            relation=origin.relation,
            stated=origin.stated,
            **facts,
        )
    return Entry(name=name, path=folder, kind="model", trouble=troubles[0])


@contextmanager
def _noting(troubles: list[str], folder: Path) -> Iterator[None]:
    """Note an error of the block, without the folder's own path."""
    try:
        yield
    except TauscopeError as error:
        words = error.title.replace(f"{folder}{os.sep}", "").replace(str(folder), "It")
        troubles.append(words[:LONGEST])
    except OSError as error:
        troubles.append(f"It can't be read: {error.strerror}.")
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, RecursionError):
        troubles.append("Its settings have values of the wrong kind.")


def _size(folder: Path, troubles: list[str]) -> int:
    """Bytes of the folder's own files; subfolders may contain other models."""
    total = 0
    with os.scandir(folder) as entries:
        for each in entries:
            try:
                total += each.stat().st_size if each.is_file() else 0
                broken = each.is_symlink() and not os.path.exists(each.path)  # noqa: PTH110
            except OSError:
                broken = True
            if broken:
                troubles.append(f"{each.name} is missing: its download is not finished.")
    return total


def _model(folder: Path, troubles: list[str]) -> dict[str, Any]:
    config: dict[str, Any] = {}
    with _noting(troubles, folder):
        config = headers.read_json(folder / "config.json")
    weights = _Weights()
    with _noting(troubles, folder):
        form, files = headers.weight_files(folder)
        if form == "safetensors":
            held = _held(files)
            weights = _weigh(held, config)
            headers.refuse_quantised(folder, config, held)
            if config and not troubles and not formats.settings_of(config):
                _understand(config, held)
        _refuse_other_kinds(config)
    inner = _inner(config)
    classes = config.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else ""
    return {
        "parameters": weights.parameters,
        "dtype": _quantised(config, weights.dtype),
        "architecture": _text(inner, "model_type") or _text(config, "model_type"),
        "model_class": first[:LONGEST] if isinstance(first, str) else "",
        "layers": _number(inner, "num_hidden_layers", "n_layer", "num_layers"),
        "hidden": _number(inner, "hidden_size", "n_embd", "d_model"),
    }


def _understand(config: Mapping[str, Any], held: Mapping[str, StoredTensor]) -> None:
    """Raise FamilyError if no tensor's name contains layers.

    Names are compared without their numbers, since layers and experts have the same names.
    """
    shapes = {_NUMBER.sub(".0.", name): tensor.shape for name, tensor in held.items()}
    kind = _text(config, "model_type") or "This model"
    anatomy.read("", shapes, anatomy.guessed(config, shapes), kind)


def _refuse_other_kinds(config: Mapping[str, Any]) -> None:
    """Raise FamilyError for encoders and encoder-decoders, as far as the settings show it, and
    TypeError for settings of the wrong kind."""
    if not _text(config, "model_type"):
        raise FamilyError("config.json names no type of model.")
    counts = [config.get(key) for key in ("num_attention_heads", "hidden_size")]
    if any(isinstance(count, (str, dict)) for count in counts):
        raise TypeError("a count that is not a number")
    classes = config.get("architectures")
    name = classes[0] if isinstance(classes, list) and classes else ""
    kind = ""
    if config.get("is_encoder_decoder") is True:
        kind = "an encoder-decoder model"
    elif isinstance(name, str) and name.endswith("ForMaskedLM"):
        kind = "an encoder"
    if kind:
        shown = family_name(name) if isinstance(name, str) else ""
        shown = shown or _text(config, "model_type")
        raise FamilyError(f"{shown} is {kind}; tauscope compares causal language models.")


def _adapter(folder: Path, troubles: list[str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    with _noting(troubles, folder):
        settings = headers.read_json(folder / headers.ADAPTER)
        headers.refuse_other_adapters(folder, settings)
    weights = _Weights()
    with _noting(troubles, folder):
        if (folder / "adapter_model.safetensors").is_file():
            weights = _weigh(_held([folder / "adapter_model.safetensors"]), {})
        elif not (folder / "adapter_model.bin").is_file():
            raise folders.without_factors(folder)
    return {
        "parameters": weights.parameters,
        "dtype": weights.dtype,
        "architecture": _text(settings, "peft_type").lower(),
        "rank": _number(settings, "r"),
    }


def _held(files: list[Path]) -> dict[str, StoredTensor]:
    held: dict[str, StoredTensor] = {}
    for file in files:
        held |= headers.read_header(file, HEADER)
    return held


def _weigh(held: Mapping[str, StoredTensor], config: Mapping[str, Any]) -> _Weights:
    """Parameters and dtypes. Buffers in old checkpoints are not parameters."""
    counts: Counter[str] = Counter()
    for name, tensor in held.items():
        if not BUFFERS.search(name):
            counts[tensor.dtype] += math.prod(tensor.shape)
    floating = {d: n for d, n in counts.items() if d.startswith(("F", "BF"))}
    quantised = config.get("quantization_config") or any(n.endswith(".qweight") for n in held)
    packed = bool(quantised) and len(floating) < len(counts)
    shown = counts if packed else floating or counts
    names = [_DTYPES.get(d, d.lower()[:20]) for d, _ in Counter(shown).most_common()]
    return _Weights(None if packed else sum(floating.values()), ", ".join(names) or "unknown")


def _inner(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the language model within a multimodal model."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def _quantised(config: Mapping[str, Any], dtype: str) -> str:
    """The dtypes, with the quantisation method before them."""
    how = config.get("quantization_config")
    if not how:
        return dtype
    how = how if isinstance(how, dict) else {}
    bits = next((b for b in (4, 8) if how.get(f"load_in_{b}bit")), None) or _number(how, "bits")
    method = _text(how, "quant_method") or "quantised"
    return f"{f'{bits}-bit ' if bits else ''}{method} ({dtype})"


def _text(of: Mapping[str, Any], key: str) -> str:
    value = of.get(key)
    return value[:LONGEST] if isinstance(value, str) else ""


def _number(of: Mapping[str, Any], *keys: str) -> int | None:
    """The first of these settings that is a positive number."""
    return next((of[k] for k in keys if type(of.get(k)) is int and 0 < of[k] < 2**31), None)
