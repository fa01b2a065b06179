"""The files of a model, before reading tensors: settings, file names, safetensors headers.

Owns the choice of a model's weight files, the format of safetensors headers, and the settings that
make a checkpoint or an adapter unreadable. Imports no torch, so listing models stays fast.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from core.errors import CheckpointError, reason
from core.models import folders, pointers
from core.models.gguf import header as gguf
from core.models.quantised import formats

ADAPTER = folders.ADAPTER
FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes per element of the dtypes of weights."""

LONGEST = 100_000_000
"""Bytes of JSON; the safetensors library refuses longer headers as well."""

_FACTORS = frozenset({"LORA", "ADALORA", "VERA", "LN_TUNING", "TRAINABLE_TOKENS"})
_BY_PEFT = frozenset({
    "LOHA", "LOKR", "IA3", "OFT", "BOFT", "HRA", "FOURIERFT", "C3A", "ROAD", "SHIRA", "MISS",
    "DELORA", "WAVEFT", "HIRA", "GRALORA", "VBLORA", "GLORA", "DEFT", "PEANUT", "OSF",
    "SUPERTUNING",
})  # fmt: skip
"""Readable kinds of adapters: from their own tensors, or by PEFT's code for one layer."""

_REASONS = {
    **dict.fromkeys(
        ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT",
         "CARTRIDGE", "ADAPTION_PROMPT"),
        "changes no weights: it adds prompt vectors",
    ),
    **dict.fromkeys(
        ("XLORA", "POLY", "SHADOW", "LILY"),
        "changes the weights for each input: there is no single tuned model",
    ),
    **dict.fromkeys(
        ("RANDLORA", "PVERA", "TINYLORA", "UNILORA", "FROD"),
        "shares its additions among all layers, in an unsupported form",
    ),
}  # fmt: skip
"""Reasons for unreadable kinds of adapters, each as the end of a sentence about it."""

_TASKS = {
    "SEQ_CLS": "adapts a classifier head", "TOKEN_CLS": "adapts a classifier head of tokens",
    "QUESTION_ANS": "adapts a question-answering head", "SEQ_2_SEQ_LM": "is for an encoder-decoder",
}  # fmt: skip

_VARIANTS = {
    "layer_replication": "repeats layers of its base, which the base's weights do not show",
    "alora_invocation_tokens": "applies only after certain tokens: there is no single tuned model",
    "arrow_config": "chooses among adapters for each token: there is no single tuned model",
    "monteclora_config": "draws its weights at random: there is no single tuned model",
    "kasa_config": "changed the base's own weights, in an unsupported form",
    "use_bdlora": "has factors in blocks, an unsupported form",
    "use_qalora": "pools the inputs of quantised layers, an unsupported form",
    "megatron_config": "was trained on Megatron's layers, an unsupported form",
}
"""Unsupported settings of LoRA and their effects."""

_CHANGES_THE_BASE = ("pissa_niter", "loftq", "corda", "lora_ga")
"""Initialisations that change the base's weights and can't be reproduced, because they draw at
random or use data. `pissa` and `olora` can be reproduced."""

Form = Literal["safetensors", "bin"]
_INDEX = ".index.json"
_WEIGHTS = (
    "model.safetensors", f"model.safetensors{_INDEX}",
    "pytorch_model.bin", f"pytorch_model.bin{_INDEX}",
)  # fmt: skip


class StoredTensor(NamedTuple):
    """A tensor in a safetensors file: its dtype by its name in the file, its shape and its place.

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
            raise CheckpointError(f"{path} is too large for such a file.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise CheckpointError(f"{path} can't be read: it is nested too deeply.") from None
    except (OSError, ValueError) as error:
        pointers.refuse(path)
        raise CheckpointError(f"{path} can't be read: {reason(error)}.") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} does not hold a JSON object.")
    return value


def read_settings(folder: Path) -> dict[str, Any]:
    """A model's config.json. Raises CheckpointError, naming the folder's contents."""
    path = folder / "config.json"
    if path.exists():
        return read_json(path)
    if folders.is_dangling(path):
        raise folders.of_link(path)
    if not folders.holds_weights(folder):
        raise folders.without_weights(folder)
    raise CheckpointError(f"{path} is missing.", hint="Copy it from this model's base.")


def check(folder: Path) -> None:
    """Raise CheckpointError if a folder (or a GGUF file) holds no readable model or adapter, judged
    by its settings, its files and their headers. Takes milliseconds."""
    whole = folder if folders.is_gguf(folder) else folders.gguf_in(folder)
    if whole is not None:
        gguf.read(whole)
        gguf.require_package(whole)
        return
    if folders.is_adapter(folder):
        read_json(folder / ADAPTER)
        if not any((folder / name).is_file() for name in folders.FACTORS):
            raise folders.without_factors(folder)
        return
    read_settings(folder)
    form, files = weight_files(folder)
    if form == "safetensors":
        for file in files:
            read_header(file)


def weight_files(folder: Path) -> tuple[Form, list[Path]]:
    """The files of a model's own weights (no adapter), and their form.

    The choice is that of transformers' from_pretrained: the file or index named in the
    configuration as `transformers_weights`; else one whole file before an index of shards, and
    safetensors before `.bin`. Other files are ignored, so an old index does no harm. Raises
    CheckpointError if there are no weights, or if an index and its shards don't match.
    """
    try:
        folder.stat()
        name = _named(folder) or next((n for n in _WEIGHTS if (folder / n).is_file()), None)
    except OSError as error:
        raise CheckpointError(f"{folder} can't be read: {error.strerror}.") from None
    if name is None:
        raise folders.without_weights(folder)
    form: Form = "safetensors" if ".safetensors" in name else "bin"
    if name.endswith(_INDEX):
        return form, _shards(folder, name)
    return form, _present(folder, folder / "config.json", [name])


def _named(folder: Path) -> str:
    """The weight file that the configuration names; usually empty."""
    try:
        named = read_json(folder / "config.json").get("transformers_weights")
    except CheckpointError:
        return ""  # the reader of the configuration reports the error
    if named is None:
        return ""
    ends = (".safetensors", f".safetensors{_INDEX}")
    if not isinstance(named, str) or not _is_name(named) or not named.endswith(ends):
        raise CheckpointError(
            f"{folder / 'config.json'} sets transformers_weights to a name that is not a "
            f"safetensors file or index beside it: {named!r}.",
            hint="Take the key out of config.json, or name the file of the weights.",
        )
    return named


def _shards(folder: Path, index: str) -> list[Path]:
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder / index} has no weight_map.")
    names = {name if isinstance(name, str) else "" for name in weight_map.values()}
    if not all(map(_is_name, names)):
        raise CheckpointError(
            f"{folder / index} names shards that are not plain file names in its folder."
        )
    return _present(folder, folder / index, sorted(names))


def _is_name(name: str) -> bool:
    """Is this a plain file name, without a path?"""
    return bool(name) and Path(name).name == name and len(name.encode(errors="replace")) <= 255


def _present(folder: Path, by: Path, names: Sequence[str]) -> list[Path]:
    """The paths of these names. Raises CheckpointError, naming `by`, if a file is missing."""
    for name in names:
        if folders.is_dangling(folder / name):
            raise folders.of_link(folder / name)
        if not (folder / name).is_file():
            raise CheckpointError(
                f"{by} names the file {name}, which is missing.",
                hint=f"Put it into {folder}, or save the checkpoint again.",
            )
        pointers.refuse(folder / name)
    return [folder / name for name in names]


def read_header(file: Path, longest: int = LONGEST) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file by name, in the file's order.

    Reads no tensor. Raises CheckpointError if the header is longer than `longest` bytes, or
    contradicts itself or the file's size.
    """
    pointers.refuse(file)
    try:
        size = file.stat().st_size
        if size < 10:  # a pipe has no size and is not opened
            raise _unlike_its_header(file, f"it has {size} bytes")
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, longest):
                fault = f"it states a header of {length} bytes, and "
                if length > size - 8:
                    fault += f"the file has {size}"
                else:
                    fault += (
                        "no header is so short" if length < 2 else f"at most {longest} are read"
                    )
                raise _unlike_its_header(file, fault)
            header = json.loads(stream.read(length))
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise _unlike_its_header(file, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _unlike_its_header(file, "its header is not a JSON object")
    entries = {n: _stored(e, 8 + length) for n, e in header.items() if n != "__metadata__"}
    held: dict[str, StoredTensor] = {}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda e: e[1][2:] if e[1] else ()):
        if entry is None or entry.start != end:
            raise _unlike_its_header(file, f"its header contradicts itself at the tensor {name}")
        if entry.stop > size:
            fault = f"the tensor {name} ends at byte {entry.stop}, and the file at {size}"
            raise _unlike_its_header(file, fault)
        end = entry.stop
        held[name] = entry
    if end != size:  # as in the safetensors library: no gaps, up to the end
        raise _unlike_its_header(file, f"its tensors end at byte {end}, and the file at {size}")
    return held


def _unlike_its_header(file: Path, fault: str) -> CheckpointError:
    return CheckpointError(
        f"{file} is not a complete safetensors file: {fault}.",
        hint="Compare its size with the one at its source, and copy it from there.",
    )


def _stored(entry: Any, origin: int) -> StoredTensor | None:
    """A tensor's entry in a header; None if it is malformed or contradicts itself."""
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
        numbers = (*shape, start, stop)
    except (TypeError, KeyError, ValueError):
        return None
    if not isinstance(dtype, str) or set(map(type, numbers)) != {int} or min(numbers) < 0:
        return None
    elements, bytes_each, held = math.prod(shape), FLOATS.get(dtype), stop - start
    if held < 0 or elements > 8 * held or (bytes_each and elements * bytes_each != held):
        return None  # every dtype has at least one bit per element
    return StoredTensor(dtype, tuple(shape), origin + start, origin + stop)


def refuse_quantised(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, StoredTensor]
) -> None:
    """Raise CheckpointError if a model's tensors are quantised in an unsupported format."""
    not_floats = [n for n, tensor in tensors.items() if tensor.dtype not in FLOATS]
    packed = formats.unexplained(config, not_floats)
    formats.refuse_unread(str(folder), config, packed)


def refuse_other_adapters(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise CheckpointError, with the reason, if an adapter is of an unreadable kind."""
    kind = str(settings.get("peft_type") or "").upper()
    merge = "Merge it into its base model with PEFT and save that."
    if kind in _REASONS:
        lost = "no weights" in _REASONS[kind] or "no single tuned" in _REASONS[kind]
        raise CheckpointError(
            f"{folder} holds an adapter of kind {kind}, which {_REASONS[kind]}.",
            hint="Compare its base model instead." if lost else merge,
        )
    if kind not in _FACTORS | _BY_PEFT:
        raise CheckpointError(
            f"{folder / ADAPTER}: 'peft_type' is {kind or 'missing'}, which is not a "
            "supported kind of adapter.",
            hint=merge,
        )
    task = str(settings.get("task_type") or "").upper()
    if task in _TASKS:
        raise CheckpointError(
            f"{folder} {_TASKS[task]} ('task_type' is {task}); tauscope compares causal language "
            "models.",
            hint="Use an adapter that was trained for CAUSAL_LM.",
        )
    if kind == "LORA":
        _refuse_variants(folder, settings, merge)


def _refuse_variants(folder: Path, settings: Mapping[str, Any], merge: str) -> None:
    for key, words in _VARIANTS.items():
        if settings.get(key):
            lost = "no single tuned" in words
            raise CheckpointError(
                f"{folder} holds an adapter that {words} ('{key}' in {ADAPTER}).",
                hint="Compare its base model instead." if lost else merge,
            )
    initial = str(settings.get("init_lora_weights", "")).lower()
    if initial.startswith(_CHANGES_THE_BASE):
        raise CheckpointError(
            f"{folder / ADAPTER}: 'init_lora_weights' is {initial}, which changed the base's own "
            "weights before training, and the changed weights are not in the folder.",
            hint="Save the adapter again with PEFT's path_initial_model_for_weight_conversion, "
            "which makes it a plain LoRA, or merge it on the training machine.",
        )
