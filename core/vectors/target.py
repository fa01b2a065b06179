"""The tensors of a merged model, in the base's own layout.

Owns the conversion from parameters to stored tensors. Most are written by rows; a parameter with
rows assembled from several stored tensors stays in memory until it is complete.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from core.models import mosaic, opening
from core.models.checkpoint import TensorInfo
from core.models.family import Family
from core.models.mosaic import Mosaic
from core.models.naming import BUFFERS
from core.models.parameters import rows_within
from core.vectors.shards import ShardWriter


@dataclass(slots=True)
class Target:
    """The stored tensors of a merged model, and their parameters.

    `parameters`: by name, as mosaics of stored tensors; `tensors`: all stored tensors; `tables`:
    the integer tensors among them, copied from the base's `files`; `unties`: an untied head is
    written over a base that ties it; `vocabulary`: the number of tokens if an adapter resized it.
    """

    parameters: Mapping[str, Mosaic]
    tensors: Mapping[str, TensorInfo]
    tables: tuple[str, ...]
    files: Any
    unties: bool = False
    vocabulary: int | None = None
    written: int = 0
    _pending: dict[str, Tensor] = field(default_factory=dict)
    _waiting: dict[str, set[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, family: Family, dtype: torch.dtype | None) -> Target:
        """The base's own layout; a tensor resized by an adapter keeps its new size."""
        base = family.base.checkpoint
        below = opening.below(base)
        parameters: dict[str, Mosaic] = {}
        tensors: dict[str, TensorInfo] = {}
        vocabulary = None
        for name, stored_name in family.base.names.items():
            info = base.tensors[stored_name]
            made = below.mosaics.get(name)
            if made is not None and made.shape != info.shape:
                vocabulary = info.rows
            stored_as = made.sources[0] if made is not None and made.is_whole else name
            if stored_as != name and stored_as in family.base.names:
                made, stored_as = None, name  # an untied head has the embedding's name in the file
            if made is None or made.shape != info.shape:
                made = mosaic.whole(stored_as, info.shape)
            parameters[name] = made
            for source in made.sources:
                stored = below.stored.tensors.get(source)
                like = stored if stored is not None and not made.is_whole else info
                tensors[source] = TensorInfo(dtype or like.dtype, like.shape)
        # A quantised checkpoint's own stored tensors are one level below.
        files: Any = getattr(below.stored, "stored", below.stored)
        tables = [
            name for name, info in below.stored.tensors.items()
            if info.dtype is None and files.raw_dtypes[name] and not BUFFERS.search(name)
        ]  # fmt: skip
        for name in tables:
            tensors[name] = TensorInfo(files.raw_dtypes[name], files.tensors[name].shape)
        order = {name: index for index, name in enumerate(below.stored.tensors)}
        ordered = dict(sorted(tensors.items(), key=lambda item: order.get(item[0], len(order))))
        unties = any(name != source for name, source in family.base.names.items())
        target = cls(parameters, ordered, tuple(tables), files, unties, vocabulary)
        for name, made in parameters.items():
            if made.runs() is None:
                for source in made.sources:
                    target._waiting.setdefault(source, set()).add(name)
        return target

    def copy_tables(self, writer: ShardWriter) -> None:
        """Write the base's own tensors of integers."""
        for name in self.tables:
            rows = TensorInfo(None, self.tensors[name].shape).rows
            writer.write(name, 0, self.files.raw(name, 0, rows).contiguous())
            self.written += self.tensors[name].nbytes

    def sink(self, name: str, writer: ShardWriter) -> Sink:
        """The sink of a parameter's rows."""
        return Sink(self, name, self.parameters[name], writer)


class Sink:
    """Takes a parameter's rows in any order; call `close` after the last. `dtype`: the rows'
    dtype."""

    def __init__(self, target: Target, name: str, made: Mosaic, writer: ShardWriter) -> None:
        self._target = target
        self._name = name
        self._mosaic = made
        self._writer = writer
        dtype = target.tensors[made.sources[0]].dtype
        assert dtype is not None
        self.dtype = dtype
        self._runs = made.runs()
        self._whole = None if self._runs is not None else torch.empty(made.shape, dtype=dtype)
        self._lock = threading.Lock()

    def write(self, start: int, rows: Tensor) -> None:
        """Rows [count, columns] of the parameter from row `start` on."""
        if self._whole is not None:
            self._whole.view(-1, rows.shape[1])[start : start + len(rows)] = rows
            return
        assert self._runs is not None
        for run in rows_within(self._runs, start, start + len(rows)):
            part = rows[run.start - start : run.start - start + run.count]
            dtype = self._target.tensors[run.source].dtype
            assert dtype is not None
            self._writer.write(run.source, run.offset, part.to(dtype).contiguous())
        with self._lock:
            self._target.written += rows.numel() * rows.element_size()

    def close(self) -> None:
        """Write the completed stored tensors."""
        if self._whole is None:
            return
        target = self._target
        for source in self._mosaic.sources:
            info = target.tensors[source]
            into: Any = target._pending.get(source)
            if into is None:
                into = target._pending[source] = torch.empty(info.shape, dtype=info.dtype)
            self._mosaic.scatter(self._whole.to(info.dtype), source, into)
            target._waiting[source].discard(self._name)
            if not target._waiting[source]:
                self._writer.write(source, 0, target._pending.pop(source))
                target.written += info.nbytes
