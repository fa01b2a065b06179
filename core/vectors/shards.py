"""safetensors shards written piece by piece: the header first, then any rows in any order.

Owns the distribution of tensors over files, the layout of a file, and the index of all files. Holds
no tensor, and knows nothing of models. (The safetensors library writes only tensors that are in
memory as a whole.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from core.models.checkpoint import RAW_DTYPES, TensorInfo

INDEX = "model.safetensors.index.json"
_NAMES = {dtype: name for name, dtype in RAW_DTYPES.items()}


class ShardWriter:
    """The files of a checkpoint, open for writing from `with` to its end.

    Every byte of every tensor must be written once. Writing is thread-safe. Raises OSError.
    """

    def __init__(self, folder: Path, tensors: Mapping[str, TensorInfo], shard_bytes: int) -> None:
        self._folder = folder
        self._tensors = tensors
        self._shards = _share(tensors, shard_bytes)
        self._places: dict[str, tuple[int, int]] = {}
        self._open: list[int] = []

    def __enter__(self) -> Self:
        try:
            for number, names in enumerate(self._shards):
                self._begin(self._folder / self._name(number), names)
        except BaseException:
            self._close()
            raise
        return self

    def write(self, name: str, start: int, rows: Tensor) -> None:
        """Write rows [count, columns] of a tensor, in its dtype and on the CPU, from row `start`
        on."""
        descriptor, offset = self._places[name]
        info = self._tensors[name]
        assert info.dtype is not None
        flat: Any = rows.reshape(-1).view(torch.uint8).numpy()
        data, done = memoryview(flat), 0
        offset += start * info.columns * info.dtype.itemsize
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], offset + done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                for descriptor in self._open:
                    os.fsync(descriptor)
                if len(self._shards) > 1:
                    self._write_index()
        finally:
            self._close()

    def _name(self, number: int) -> str:
        count = len(self._shards)
        if count == 1:
            return "model.safetensors"
        return f"model-{number + 1:05d}-of-{count:05d}.safetensors"

    def _begin(self, file: Path, names: list[str]) -> None:
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        end = 0
        for name in names:
            info = self._tensors[name]
            assert info.dtype is not None
            span = [end, end + info.nbytes]
            dtype, shape = _NAMES[info.dtype], list(info.shape)
            header[name] = {"dtype": dtype, "shape": shape, "data_offsets": span}
            end = span[1]
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        self._open.append(descriptor)
        os.pwrite(descriptor, len(text).to_bytes(8, "little") + text, 0)
        os.ftruncate(descriptor, 8 + len(text) + end)
        for name in names:
            self._places[name] = descriptor, 8 + len(text) + header[name]["data_offsets"][0]

    def _write_index(self) -> None:
        weight_map = {n: self._name(i) for i, names in enumerate(self._shards) for n in names}
        size = sum(info.nbytes for info in self._tensors.values())
        index = {"metadata": {"total_size": size}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (self._folder / INDEX).write_text(text, encoding="utf-8")

    def _close(self) -> None:
        while self._open:
            os.close(self._open.pop())


def _share(tensors: Mapping[str, TensorInfo], shard_bytes: int) -> list[list[str]]:
    """Tensors by shard, in their order; a shard has one tensor at least.

    Within a shard wider dtypes come first, so every tensor is aligned to its dtype.
    """
    shards: list[list[str]] = [[]]
    size = 0
    for name, info in tensors.items():
        if shards[-1] and size + info.nbytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += info.nbytes
    return [sorted(names, key=lambda n: -_width(tensors[n])) for names in shards]


def _width(info: TensorInfo) -> int:
    return info.dtype.itemsize if info.dtype else 0
