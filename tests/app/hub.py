"""A Hugging Face cache in the real layout, and models of which only the headers are real."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.conftest import tiny_config, tiny_tensors

BYTES = {"F32": 4, "BF16": 2, "F16": 2, "I32": 4, "F8_E4M3": 1, "U8": 1}

Shapes = Mapping[str, tuple[int, ...]]


def tiny_shapes() -> dict[str, tuple[int, ...]]:
    """The shapes that fit `tiny_config`."""
    return {name: tuple(tensor.shape) for name, tensor in tiny_tensors().items()}


def write_sparse(file: Path, shapes: Shapes, dtype: str = "BF16") -> None:
    """A safetensors file with a true header over tensors that take no space on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start = end
        end += BYTES[dtype] * int.__mul__(*[*shape, 1, 1][:2])
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)


def write_folder(folder: Path, card: str = "", dtype: str = "BF16", **settings: Any) -> Path:
    """A model in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(tiny_config(**settings)))
    write_sparse(folder / "model.safetensors", tiny_shapes(), dtype)
    if card:
        (folder / "README.md").write_text(card, encoding="utf-8")
    return folder


def write_adapter(folder: Path, base: str, **settings: Any) -> Path:
    """A LoRA adapter of rank 2 on one projection of each layer."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"peft_type": "LORA", "r": 2, "base_model_name_or_path": base, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    name = "base_model.model.model.layers.{}.self_attn.q_proj.lora_{}.weight"
    shapes = {name.format(i, f): (2, 16) if f == "A" else (16, 2) for i in (0, 1) for f in "AB"}
    write_sparse(folder / "adapter_model.safetensors", shapes, "F32")
    return folder


def card(*parents: str, relation: str = "") -> str:
    """A model card that says where the model comes from."""
    lines = ["---", "license: mit", "base_model:", *(f"- {parent}" for parent in parents)]
    lines += [f"base_model_relation: {relation}"] if relation else []
    return "\n".join([*lines, "tags:", "- medical", "---", "# A model", "base_model: not/this"])


def shelve(cache: Path, hub_id: str, folder: Path, *, ref: str = "main") -> Path:
    """Move a folder's files into a cache, as the hub's own library lays them; the snapshot."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    revision = hashlib.sha1(f"{hub_id} {folder}".encode()).hexdigest()
    snapshot = repository / "snapshots" / revision
    for made in (repository / "blobs", repository / "refs", snapshot):
        made.mkdir(parents=True, exist_ok=True)
    if ref:
        (repository / "refs" / ref).write_text(revision)
    for file in list(folder.iterdir()):
        blob = repository / "blobs" / hashlib.sha256(f"{revision} {file.name}".encode()).hexdigest()
        file.rename(blob)
        (snapshot / file.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot
