"""Checkpoints as streams: tensors read by name and by rows, never a whole model.

Owns the reading of safetensors shards and `.bin` files (unpickling tensors only), from a local
directory or the Hugging Face cache. Knows nothing of layers, modules, adapters or families.
"""

from __future__ import annotations

import json
import math
import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models import folders, hub, identity, pointers
from core.models.headers import StoredTensor, read_header, read_settings, weight_files
from core.models.identity import Content, Identities, WeightFile, fingerprint, stamp_of
from core.study.places import expanded, is_folder, is_there

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
RAW_DTYPES = DTYPES | {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""The dtypes of safetensors files by name, as torch dtypes."""

EMPTY = (
    "Empty tensors come from a DeepSpeed run at ZeRO stage 3 that did not gather its weights. Save "
    "them again with stage3_gather_16bit_weights_on_model_save."
)
"""The remedy for tensors without elements."""

_NAMES = {dtype: name for name, dtype in RAW_DTYPES.items()}
_VOLATILE = {"_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache"}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """A stored tensor's dtype (None: not floating point) and shape.

    It is read by rows: all axes but the last together. A vector has rows of one element.
    """

    dtype: torch.dtype | None
    shape: tuple[int, ...]

    @property
    def columns(self) -> int:
        return self.shape[-1] if len(self.shape) > 1 else 1

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1] if len(self.shape) > 1 else self.shape)

    @property
    def nbytes(self) -> int:
        return self.rows * self.columns * (self.dtype.itemsize if self.dtype else 0)


class Checkpoint(Protocol):
    """A model on disk. Reading is thread-safe."""

    where: str
    config: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    bytes_read: int

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows start:stop of a tensor, [rows, columns] (see TensorInfo), as stored.

        `into` is an optional buffer (uint8, contiguous) for the rows; the result is valid until the
        buffer is used again.
        """

    def is_transposed(self, name: str) -> bool:
        """Does the model store this linear map as [d_in, d_out]? The files alone do not show it."""

    def fingerprint(self) -> str:
        """A hash of weights and configuration, 64 hexadecimal digits."""

    def refuse_changed(self) -> None:
        """Raise CheckpointError if a file was written or replaced since the checkpoint was opened:
        its fingerprint stands for other weights then."""


def whole(checkpoint: Checkpoint, name: str) -> Tensor:
    """A whole tensor of a checkpoint in its own shape, in the dtype of `read`."""
    info = checkpoint.tensors[name]
    return checkpoint.read(name, 0, info.rows).reshape(info.shape)


def locate(where: str, revision: str | None = None) -> Path:
    """The directory of a model: a local one, or the cached snapshot of a hub id. For a GGUF file,
    or a directory with one GGUF file and no other weights, the file.

    Raises CheckpointError if neither exists, or the hub does not answer.
    """
    local = expanded(where)
    folders.refuse_pipes(local)
    if is_folder(local):
        return folders.gguf_in(local) or local
    if folders.is_gguf(local):
        return local
    if is_there(local):
        raise folders.of_file(local)
    if local.suffix == folders.GGUF:
        raise CheckpointError(f"There is no file {where}.")
    if local.is_absolute() or where.startswith(".") or where.count("/") > 1:
        raise CheckpointError(f"There is no directory {where}.")
    return hub.snapshot(where, revision)


def open_directory(folder: Path, identities: Identities | None = None) -> Checkpoint:
    """The checkpoint in a directory that holds a model's own weights (no adapter).

    Quantised weights are dequantised on reading. `identities` caches the hashes of the files.
    Raises CheckpointError on missing, truncated or unreadable files, and on a quantised format that
    has no reader.
    """
    from core.models.quantised import checkpoint as quantised

    config = read_settings(folder)
    form, files = weight_files(folder)
    kind = _Safetensors if form == "safetensors" else _Pickled
    return quantised.opened(kind(str(folder), config, files, identities))


def open_tensors(
    where: str,
    settings: Mapping[str, Any],
    file: Path,
    spans: Mapping[str, StoredTensor],
    identities: Identities | None = None,
) -> _Safetensors:
    """The tensors at the places `spans` of a file of another format, as stored. `settings` are part
    of their fingerprint."""
    return _Safetensors(where, settings, [file], identities, lambda _: spans)


@dataclass(frozen=True, slots=True)
class _Span:
    file: Path
    offset: int


def _close(descriptors: Mapping[Path, int]) -> None:
    for descriptor in descriptors.values():
        os.close(descriptor)


class _Files(ABC):
    """The common part of all readers: the paths and the identity of the files."""

    def __init__(
        self,
        where: str,
        config: Mapping[str, Any],
        files: list[Path],
        identities: Identities | None = None,
    ) -> None:
        self.where = where
        self.config = config
        self.bytes_read = 0
        self._identities = identities or Identities()
        self._stamps = {file: stamp_of(file) for file in files}  # taken before a file is opened
        self._fingerprint = ""

    def fingerprint(self) -> str:
        """See `Checkpoint.fingerprint`. The files are read at most once for it."""
        if not self._fingerprint:
            quantised = bool(self.config.get("quantization_config"))
            sources = [WeightFile(f, stamp, self._contents(f)) for f, stamp in self._stamps.items()]
            self._fingerprint = fingerprint(
                stable_config(self.config), sources, self._identities, quantised=quantised
            )
        return self._fingerprint

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return False

    def refuse_changed(self) -> None:
        """See `Checkpoint.refuse_changed`."""
        for file, stamp in self._stamps.items():
            identity.refuse_changed(file, stamp)

    @abstractmethod
    def _contents(self, file: Path) -> list[Content]:
        """The tensors of a file, in the file's order."""


class _Safetensors(_Files):
    """One or more safetensors files, read by offset."""

    def __init__(
        self,
        where: str,
        config: Mapping[str, Any],
        files: list[Path],
        identities: Identities | None = None,
        header: Callable[[Path], Mapping[str, StoredTensor]] = read_header,
    ) -> None:
        super().__init__(where, config, files, identities)
        self._header = header
        self._held: dict[Path, Mapping[str, StoredTensor]] = {}
        self._spans: dict[str, _Span] = {}
        self._open: dict[Path, int] = {}
        weakref.finalize(self, _close, self._open)
        self._lock = threading.Lock()
        tensors: dict[str, TensorInfo] = {}
        dtypes: dict[str, torch.dtype | None] = {}
        for file in files:
            self._take(file, tensors, dtypes)
        self.tensors: Mapping[str, TensorInfo] = tensors
        self.raw_dtypes: Mapping[str, torch.dtype | None] = dtypes

    def _take(
        self,
        file: Path,
        tensors: dict[str, TensorInfo],
        dtypes: dict[str, torch.dtype | None],
    ) -> None:
        held = self._header(file)
        for name, stored in held.items():
            if name in tensors:
                raise CheckpointError(f"{self.where}: two shards hold the tensor {name}.")
            tensors[name] = TensorInfo(DTYPES.get(stored.dtype), stored.shape)
            dtypes[name] = RAW_DTYPES.get(stored.dtype)
            self._spans[name] = _Span(file, stored.start)
        self._held[file] = held

    def _contents(self, file: Path) -> list[Content]:
        return [
            Content(
                name, stored.dtype, stored.shape, stored.stop - stored.start,
                partial(self._part, file, stored.start),
            )
            for name, stored in self._held[file].items()
        ]  # fmt: skip

    def _part(self, file: Path, origin: int, start: int, stop: int, into: memoryview) -> memoryview:
        part = into[: stop - start]
        self._fill(file, origin + start, part)
        return part

    def _descriptor(self, file: Path) -> int:
        with self._lock:
            if file not in self._open:
                try:
                    self._open[file] = os.open(file, os.O_RDONLY)
                except OSError as error:
                    raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None
            return self._open[file]

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        assert self.tensors[name].dtype is not None
        return self.raw(name, start, stop, into)

    def raw(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows as in `read`, of any stored dtype that torch has."""
        info, span, dtype = self.tensors[name], self._spans[name], self.raw_dtypes[name]
        if dtype is None:
            raise CheckpointError(f"{span.file}: the tensor {name} is of a dtype without a reader.")
        nbytes = (stop - start) * info.columns * dtype.itemsize
        if into is None or into.numel() < nbytes:
            into = torch.empty(nbytes, dtype=torch.uint8)
        out = into[:nbytes].view(dtype).view(stop - start, info.columns)
        if out.numel():
            row = info.columns * dtype.itemsize
            self._fill(span.file, span.offset + start * row, _bytes(out))
            with self._lock:
                self.bytes_read += nbytes
        return out

    def _fill(self, file: Path, offset: int, buffer: memoryview) -> None:
        descriptor, done = self._descriptor(file), 0
        while done < len(buffer):
            try:
                got = os.preadv(descriptor, [buffer[done:]], offset + done)
            except OSError as error:
                raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None
            if not got:
                raise identity.changed(file)
            done += got
        if not self._stamps[file].fits(os.fstat(descriptor)):
            raise identity.changed(file)


class _Pickled(_Files):
    """`.bin` files, mapped into memory and unpickled as tensors only."""

    def __init__(
        self,
        where: str,
        config: Mapping[str, Any],
        files: list[Path],
        identities: Identities | None = None,
    ) -> None:
        super().__init__(where, config, files, identities)
        self._stored: dict[str, Tensor] = {}
        self._held: dict[Path, dict[str, Tensor]] = {}
        for file in files:
            tensors = load_tensors_only(file)
            twice = self._stored.keys() & tensors.keys()
            if twice:
                raise CheckpointError(f"{where}: two shards hold the tensor {min(twice)}.")
            self._stored |= tensors
            self._held[file] = tensors
        self.tensors: Mapping[str, TensorInfo] = {
            name: TensorInfo(t.dtype if t.dtype in DTYPES.values() else None, tuple(t.shape))
            for name, t in self._stored.items()
        }
        self.raw_dtypes: Mapping[str, torch.dtype | None] = {
            name: t.dtype for name, t in self._stored.items()
        }

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        return self.raw(name, start, stop)

    def raw(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows as in `read`, of any stored dtype."""
        self.refuse_changed()
        info, stored = self.tensors[name], self._stored[name]
        self.bytes_read += (stop - start) * info.columns * stored.dtype.itemsize
        return stored.reshape(info.rows, info.columns)[start:stop]

    def _contents(self, file: Path) -> list[Content]:
        held = self._held[file]

        @lru_cache(8)  # a non-contiguous tensor is copied; the threads share the copy
        def laid(name: str) -> memoryview:
            return _bytes(held[name].contiguous())

        def part(name: str, start: int, stop: int, into: memoryview) -> memoryview:
            return laid(name)[start:stop]

        return [
            Content(
                name, _NAMES.get(tensor.dtype, str(tensor.dtype)), tuple(tensor.shape),
                tensor.nbytes, partial(part, name),
            )
            for name, tensor in held.items()
        ]  # fmt: skip


def load_tensors_only(file: Path) -> dict[str, Tensor]:
    """The tensors of a `.bin` file. Raises CheckpointError if it holds anything else."""
    try:
        stored = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise CheckpointError(f"{file} can't be read: {error.strerror}.") from None
    except Exception as error:
        pointers.refuse(file)
        reason = str(error).strip().split("\n")[0][:200]
        raise CheckpointError(
            f"{file} can't be read as plain tensors: {reason}",
            hint="Only tensors are unpickled. Save the model as safetensors.",
        ) from None
    plain = isinstance(stored, dict) and all(
        isinstance(name, str) and isinstance(t, Tensor) and t.layout == torch.strided
        and t.device.type == "cpu" and not t.is_quantized
        for name, t in stored.items()
    )  # fmt: skip
    if not plain:
        raise CheckpointError(f"{file} is not a flat collection of plain, named tensors.")
    return {name: t.detach() for name, t in stored.items()}


def stable_config(config: Mapping[str, Any]) -> str:
    """The configuration as canonical JSON, without keys that change and have no effect."""
    stable = {k: v for k, v in config.items() if k not in _VOLATILE}
    return json.dumps(stable, sort_keys=True)


def _bytes(tensor: Tensor) -> memoryview:
    """The memory of a contiguous tensor."""
    flat: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)
