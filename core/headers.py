"""What a model's files say before any tensor is read: settings, which files, safetensors headers.

Owns which files are a model's weights, how a safetensors file names what it holds, and which
settings make a checkpoint or an adapter unreadable. Imports no torch, so that models can be listed
where none of them is opened.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.errors import CheckpointError
from core.models.quantised import formats

ADAPTER = "adapter_config.json"
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of an element, for the dtypes that are weights to subtract."""

LONGEST = 100_000_000
"""Bytes of JSON; the safetensors library refuses longer headers as well."""

_UNPLAIN = (
    "use_dora", "target_parameters", "trainable_token_indices", "arrow_config",
    "layer_replication", "alora_invocation_tokens",
)  # fmt: skip
_CHANGES_THE_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Ways to initialise that subtract something from the base's own weights, which are not saved."""

Form = Literal["safetensors", "bin"]
_FORMS: tuple[tuple[str, Form], ...] = (
    ("model.safetensors", "safetensors"),
    ("pytorch_model.bin", "bin"),
)


class Stored(NamedTuple):
    """A tensor in a safetensors file: its dtype as the file calls it, its shape, and its place.

    `start` and `stop` are bytes from the beginning of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    start: int
    stop: int


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises CheckpointError naming the file."""
    try:
        if not path.is_file():
            raise CheckpointError(f"{path} is missing.")
        if path.stat().st_size > LONGEST:
            raise CheckpointError(f"{path} is far larger than such files are.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise CheckpointError(f"{path} can't be read: it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read: {error}.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object.")
    return value


def weight_files(folder: Path) -> tuple[Form, list[Path]]:
    """The files of a model's own weights (no adapter), and what they are.

    Raises CheckpointError when there are none, or when an index and its shards don't match.
    """
    try:
        present = {p.name for p in folder.iterdir()}
    except OSError as error:
        raise CheckpointError(f"{folder} can't be read: {error.strerror}.") from None
    for name, form in _FORMS:
        if f"{name}.index.json" in present:
            return form, _shards(folder, f"{name}.index.json")
        if name in present:
            return form, [folder / name]
    raise CheckpointError(
        f"{folder} holds no weights.",
        hint="Expected model.safetensors, pytorch_model.bin, or an index of shards of either.",
    )


def _shards(folder: Path, index: str) -> list[Path]:
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder / index} has no weight_map.")
    names = {name if isinstance(name, str) else "" for name in weight_map.values()}
    if not all(name and Path(name).name == name for name in names):
        raise CheckpointError(f"{folder / index} names shards that are no files beside it.")
    files = [folder / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise CheckpointError(
                f"{folder / index} names the shard {file.name}, which is missing.",
                hint="Download or copy the checkpoint again.",
            )
    return files


def read_header(file: Path, longest: int = LONGEST) -> dict[str, Stored]:
    """What a safetensors file holds, by name, in the order in which it lies there.

    No tensor is read. Raises CheckpointError when the header is longer than `longest` bytes or
    contradicts itself or the file's size.
    """
    damaged = CheckpointError(
        f"{file} is truncated or damaged.", hint="Download or copy the checkpoint again."
    )
    try:
        size = file.stat().st_size
        if size < 10:  # what has no size, such as a pipe, is not even opened
            raise damaged
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, longest):
                raise damaged
            header = json.loads(stream.read(length))
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise damaged from None
    if not isinstance(header, dict):
        raise damaged
    entries = {n: _stored(e, 8 + length) for n, e in header.items() if n != "__metadata__"}
    held: dict[str, Stored] = {}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda e: e[1].start if e[1] else 0):
        if entry is None or entry.start < end or entry.stop > size:
            raise damaged
        end = entry.stop
        held[name] = entry
    return held


def _stored(entry: Any, origin: int) -> Stored | None:
    """A tensor's entry in a header; None when it is malformed or contradicts itself."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = (*shape, start, stop)
    except (TypeError, KeyError, ValueError):
        return None
    if not isinstance(dtype, str) or set(map(type, numbers)) != {int} or min(numbers) < 0:
        return None
    elements, bytes_each, held = math.prod(shape), FLOATS.get(dtype), stop - start
    if held < 0 or elements > 8 * held or (bytes_each and elements * bytes_each != held):
        return None  # no dtype has less than a bit an element
    return Stored(dtype, tuple(shape), origin + start, origin + stop)


def refuse_quantised(folder: Path, config: Mapping[str, Any], held: Mapping[str, Stored]) -> None:
    """Raise CheckpointError when a model's tensors are quantised in a way that has no reader."""
    packed = formats.packed(n for n, tensor in held.items() if tensor.dtype not in FLOATS)
    formats.refuse_unread(str(folder), config, packed)


def refuse_other_adapters(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise CheckpointError when an adapter's settings make it more than a plain LoRA."""
    kind = str(settings.get("peft_type", "")).upper()
    if kind != "LORA":
        raise CheckpointError(
            f"{folder} holds an adapter of kind {kind or 'unknown'}; only LoRA is read.",
            hint="Merge it into its base model with PEFT and save that.",
        )
    initial = str(settings.get("init_lora_weights", "")).lower()
    unplain = [key for key in _UNPLAIN if settings.get(key)]
    unplain += ["init_lora_weights"] * initial.startswith(_CHANGES_THE_BASE)
    for key in unplain:
        raise CheckpointError(
            f"{folder / ADAPTER} uses '{key}', which can't be read as a plain LoRA.",
            hint="Merge it into its base model with PEFT and save that.",
        )
