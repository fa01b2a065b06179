"""PEFT adapters as checkpoints over another one; the tuned model is never materialised.

Owns an adapter's files, and reads the tuned model tensor by tensor and by rows. The effect of each
kind of adapter on a tensor is in `core.models.adapters`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models import folders
from core.models.adapters import settings as known
from core.models.adapters.ground import Ground
from core.models.adapters.names import bare
from core.models.adapters.reading import AdapterReader
from core.models.adapters.ties import EMBEDDINGS, HEADS, untied
from core.models.adapters.updates import Update
from core.models.checkpoint import (
    EMPTY,
    Checkpoint,
    TensorInfo,
    load_tensors_only,
    stable_config,
)
from core.models.headers import ADAPTER, read_header, read_json, refuse_other_adapters
from core.models.identity import refuse_changed, stamp_of
from core.sizes import counted


class Adapter:
    """An adapter over the checkpoint `over`. Other tensors come from `over`.

    `updates` are added to a tensor, `replaced` replace one; a tensor may be both: PEFT saves the
    embedding that it adapts. `moved`: the adapter uses other names than `over` for some of them.
    `notes` name the settings of the adapter that are ignored.
    """

    def __init__(self, folder: Path, over: Checkpoint) -> None:
        self.where = str(folder)
        self.over = over
        self.settings = read_json(folder / ADAPTER)
        refuse_other_adapters(folder, self.settings)
        self._file = _weights_in(folder)
        self._stamp = stamp_of(self._file)  # taken before it is opened
        stored = _stored(self._file)
        _refuse_empty(self._file, stored)
        try:
            self._ground = ground = Ground(folder, self.settings, over, self._under)
            contents = AdapterReader(ground).read(stored)
        except (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RuntimeError,
                re.error) as error:  # fmt: skip
            raise CheckpointError(
                f"{folder}: {ADAPTER} or the adapter's tensors can't be understood "
                f"({type(error).__name__}: {_first_line(error)}).",
                hint="Merge it into its base with PEFT, and compare the merged model.",
            ) from error
        self.updates: Mapping[str, Update] = contents.updates
        self.replaced: Mapping[str, Tensor] = contents.replaced
        self.moved = contents.moved
        self.notes: tuple[str, ...] = known.notes(self.settings)
        infos = {n: TensorInfo(t.dtype, tuple(t.shape)) for n, t in self.replaced.items()}
        infos |= {n: over.tensors[source] for n, source in contents.aliases.items()}
        unties = bool(infos.keys() - over.tensors.keys())  # the model under it has no such head
        self.config: Mapping[str, Any] = untied(over.config) if unties else over.config
        self.tensors: Mapping[str, TensorInfo] = {**over.tensors, **infos}
        self.bytes_read = 0

    @property
    def base_name(self) -> str:
        """The base model that the adapter's settings name."""
        return str(self.settings.get("base_model_name_or_path") or "")

    @property
    def remakes_base(self) -> bool:
        """Do the settings replace the model's weights by others that are computed from them?"""
        return known.remakes_base(self.settings)

    @property
    def vocabulary(self) -> int | None:
        """The number of rows of the embedding in the adapter; None where it has no embedding."""
        names = [n for n in self.replaced if n.endswith(EMBEDDINGS)]
        return len(self.replaced[min(names, key=len)]) if names else None

    @property
    def changes_vocabulary(self) -> bool:
        """Does the adapter change the embedding or the output head?"""
        return any(name.endswith((*EMBEDDINGS, *HEADS)) for name in {*self.updates, *self.replaced})

    @property
    def head(self) -> str | None:
        """The output head's name, where it is a separate tensor; None where it is the embedding."""
        return next((name for name in self.tensors if bare(name) in HEADS), None)

    def before(self, name: str) -> Tensor:
        """A whole tensor without the updates."""
        info = self.tensors[name]
        return self._under(name, 0, info.rows).reshape(info.shape)

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows of the tuned tensor, float32 where the adapter updates it."""
        stored = self._under(name, start, stop, into)
        update = self.updates.get(name)
        return stored if update is None else stored.float() + update.rows(start, stop)

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return self._ground.turns(name)

    def fingerprint(self) -> str:
        digest = hashlib.sha256(self.over.fingerprint().encode())
        digest.update(stable_config(self.config).encode())
        for name, update in sorted(self.updates.items()):
            digest.update(name.encode())
            for tensor in update.contents():
                _count_in(digest, tensor)
        for name, tensor in sorted(self.replaced.items()):
            digest.update(name.encode())
            _count_in(digest, tensor)
        if any(update.reads_settings for update in self.updates.values()):
            digest.update(json.dumps(known.deciding(self.settings), sort_keys=True).encode())
        return digest.hexdigest()

    def refuse_changed(self) -> None:
        """See `Checkpoint.refuse_changed`."""
        refuse_changed(self._file, self._stamp)
        self.over.refuse_changed()

    def _under(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows of a tensor before the updates: the replaced tensor's, else the model's under the
        adapter."""
        collected = self._ground.collected
        if name in collected.replaced:
            tensor = collected.replaced[name]
            info = TensorInfo(tensor.dtype, tuple(tensor.shape))
            return tensor.reshape(info.rows, info.columns)[start:stop]
        return self.over.read(collected.aliases.get(name, name), start, stop, into)


def _weights_in(folder: Path) -> Path:
    """The file of an adapter's weights."""
    for name in folders.FACTORS:
        if (folder / name).is_file():
            return folder / name
    raise folders.without_factors(folder)


def _stored(file: Path) -> dict[str, Tensor]:
    if file.suffix == ".bin":
        return load_tensors_only(file)
    from safetensors.torch import load_file

    read_header(file)  # gives a clearer error for a damaged header
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except Exception as error:  # safetensors raises a class of a private module
        raise CheckpointError(
            f"{file} can't be read: {_first_line(error)}.",
            hint="Compare its size with the one at its source, and copy it from there.",
        ) from None
    return tensors


def _refuse_empty(file: Path, stored: Mapping[str, Tensor]) -> None:
    empty = [name for name, tensor in stored.items() if not tensor.numel()]
    if empty:
        raise CheckpointError(
            f"{file} has {counted(len(empty), 'tensor')} without elements: {', '.join(empty[:3])}.",
            hint=EMPTY,
        )


def _count_in(digest: Any, tensor: Tensor) -> None:
    digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    flat = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    digest.update(flat.numpy().tobytes())


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no further details"
