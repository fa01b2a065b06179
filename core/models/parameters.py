"""A checkpoint in terms of its model's parameters in memory.

Owns the parameters of a folder, the ties among them, and reading them by rows from files of any
layout. Knows no layers and no roles.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from core.errors import CheckpointError
from core.models import layout, mosaic
from core.models.checkpoint import EMPTY, Checkpoint, TensorInfo
from core.models.mosaic import Mosaic, RowSpan
from core.models.outline import Outline
from core.sizes import counted

_BLOCK = 1 << 22
"""Elements compared at a time, to decide if two stored tensors are equal."""


class CheckpointParameters:
    """A checkpoint of a model's parameters by their names in memory.

    `extra`: stored tensors without a parameter in the model's class, by their own names; `missing`:
    parameters without a stored tensor; `aliases`: tied parameters, by the stored parameter;
    `untied`: parameters tied by the configuration and untied in the files; `moved`: tied parameters
    whose names the files use for the stored one; `is_renamed`: see
    `core.models.layout.ParameterLayout`.
    """

    def __init__(self, stored: Checkpoint, outline: Outline | None) -> None:
        self.stored = stored
        self.where = stored.where
        self.config: Mapping[str, Any] = stored.config
        self.outline = outline
        shapes = {n: i.shape for n, i in stored.tensors.items() if i.dtype is not None}
        contents = layout.by_names(shapes) if outline is None else layout.of_class(
            outline.module, shapes)  # fmt: skip
        self.mosaics: dict[str, Mosaic] = {
            **contents.parameters,
            **{name: mosaic.whole(name, shapes[name]) for name in contents.extra},
        }
        self.extra, self.is_renamed = contents.extra, contents.is_renamed
        self.aliases, self.untied, self.moved = _tied(outline, self.mosaics, stored)
        for name in self.aliases:
            self.mosaics.pop(name, None)
        known = self.aliases.keys() | self.mosaics.keys()
        self.missing = tuple(n for n in contents.missing if n not in known)
        _refuse_misshapen(stored.where, outline, self.mosaics)
        self.tensors: Mapping[str, TensorInfo] = {
            name: TensorInfo(_dtype(made, stored), made.shape)
            for name, made in self.mosaics.items()
        }
        self._runs = {name: made.runs() for name, made in self.mosaics.items()}
        self._gathered: dict[str, Tensor] = {}
        self._borrowed: dict[str, tuple[Checkpoint, str]] = {}
        self._lock = threading.Lock()

    @property
    def bytes_read(self) -> int:
        """Bytes of stored tensors."""
        return self.stored.bytes_read

    @bytes_read.setter
    def bytes_read(self, count: int) -> None:
        self.stored.bytes_read = count

    def fingerprint(self) -> str:
        """The fingerprint of the files. See `Checkpoint.fingerprint`."""
        return self.stored.fingerprint()

    def refuse_changed(self) -> None:
        """See `Checkpoint.refuse_changed`."""
        self.stored.refuse_changed()

    def borrow(self, name: str, lender: Checkpoint, lender_name: str) -> None:
        """Read a missing tensor from another model; `lender_name` is its name there."""
        self._borrowed[name] = lender, lender_name
        self.tensors = {**self.tensors, name: lender.tensors[lender_name]}

    @property
    def borrows(self) -> bool:
        """Does it borrow tensors of another model?"""
        return bool(self._borrowed)

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        if self.outline is None:
            return False
        return self.outline.body.trait(name.rpartition(".")[0]).storage == "transposed"

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows start:stop of a parameter, [rows, columns], in the dtype of the files."""
        if name in self._borrowed:
            lender, stored = self._borrowed[name]
            return lender.read(stored, start, stop, into)
        runs = self._runs[name]
        info = self.tensors[name]
        if runs is None:
            return self._whole(name).reshape(info.rows, info.columns)[start:stop]
        parts = list(rows_within(runs, start, stop))
        if len(parts) == 1:
            rows = self._read(parts[0], into)
            return rows if rows.dtype == info.dtype else rows.to(info.dtype)
        return torch.cat([self._read(part, None).to(info.dtype) for part in parts])

    def rounding(self, name: str, start: int, stop: int) -> float | None:
        """The energy of quantisation rounding in these rows; None if nothing is quantised. See
        `core.models.quantised.checkpoint.Dequantised.rounding`."""
        measured = getattr(self.stored, "rounding", None)
        if measured is None or name in self._borrowed:
            return None
        runs = self._runs[name]
        if runs is None:  # assembled rows get an equal share of their sources' energy
            made, rows = self.mosaics[name], self.tensors[name].rows
            whole = [measured(s, 0, self.stored.tensors[s].rows) for s in made.sources]
            return sum(total or 0.0 for total in whole) * (stop - start) / rows
        parts = rows_within(runs, start, stop)
        sums = [measured(run.source, run.offset, run.offset + run.count) for run in parts]
        return None if all(each is None for each in sums) else sum(each or 0.0 for each in sums)

    def _read(self, run: RowSpan, into: Tensor | None) -> Tensor:
        return self.stored.read(run.source, run.offset, run.offset + run.count, into)

    def _whole(self, name: str) -> Tensor:
        """A parameter assembled from its elements; the last one is cached."""
        with self._lock:
            if name not in self._gathered:
                self._gathered.clear()
                dtype = self.tensors[name].dtype
                assert dtype is not None
                self._gathered[name] = self.mosaics[name].gather(self._stored_whole, dtype)
            return self._gathered[name]

    def _stored_whole(self, source: str) -> Tensor:
        info = self.stored.tensors[source]
        return self.stored.read(source, 0, info.rows)


def rows_within(runs: tuple[RowSpan, ...], start: int, stop: int) -> Iterator[RowSpan]:
    """The parts of runs that contain the rows start:stop, in order."""
    index = max(0, bisect.bisect_right(runs, start, key=lambda run: run.start) - 1)
    for run in runs[index:]:
        first, last = max(start, run.start), min(stop, run.start + run.count)
        if run.start >= stop:
            return
        if first < last:
            yield RowSpan(first, last - first, run.source, run.offset + first - run.start)


def _dtype(made: Mosaic, stored: Checkpoint) -> torch.dtype:
    """The widest dtype among a parameter's stored tensors."""
    dtypes = [d for source in made.sources if (d := stored.tensors[source].dtype) is not None]
    return max(dtypes, key=lambda dtype: (dtype.itemsize, dtype == torch.float32))


def _refuse_misshapen(where: str, outline: Outline | None, mosaics: Mapping[str, Mosaic]) -> None:
    """Raise CheckpointError if the files contradict the configuration. The files decide an
    embedding's number of rows, since models are resized without updating the configuration."""
    if outline is None:
        return
    by_token = {f"{m}.weight" for m in (*outline.body.embeddings, *outline.body.heads)}
    by_token |= {f"{m}.bias" for m in outline.body.heads}
    stated = outline.shapes
    wrong = [
        f"{name} is {list(made.shape)}, by config.json {list(stated[name])}"
        for name, made in mosaics.items()
        if name in stated and made.shape != stated[name]
        and not (name in by_token and made.shape[1:] == stated[name][1:] and made.shape[0] > 0)
    ]  # fmt: skip
    if wrong:
        raise CheckpointError(
            f"{where}: {counted(len(wrong), 'tensor')} of another shape than config.json gives: "
            f"{'; '.join(wrong[:3])}.",
            hint=EMPTY if any(0 in made.shape for made in mosaics.values())
            else "Compare config.json with the one at the model's source.",
        )  # fmt: skip


def _tied(
    outline: Outline | None, mosaics: dict[str, Mosaic], stored: Checkpoint
) -> tuple[dict[str, str], tuple[str, ...], tuple[str, ...]]:
    """Tied parameters by the stored parameter, parameters that the files untie, and parameters
    whose names the files use for the stored one.

    As in transformers: two stored parameters stay tied only if they are equal; a missing source is
    replaced by the target. The mosaics then have it under the source's name, so that an embedding
    is one in whatever name of the two the files store it.
    """
    aliases: dict[str, str] = {}
    untied: list[str] = []
    moved: list[str] = []
    for target, source in (outline.ties if outline is not None else {}).items():
        if target in mosaics and source in mosaics:
            if _equal(mosaics[target], mosaics[source], stored):
                aliases[target] = source
            else:
                untied.append(target)
        elif source in mosaics:
            aliases[target] = source
        elif target in mosaics:
            mosaics[source] = mosaics.pop(target)
            aliases[target] = source
            moved.append(target)
    return aliases, tuple(untied), tuple(moved)


def _equal(a: Mosaic, b: Mosaic, stored: Checkpoint) -> bool:
    """Are two parameters equal? Reads them in blocks, up to the first difference."""
    if a.shape != b.shape or not (a.is_whole and b.is_whole):
        return False
    first, second = a.sources[0], b.sources[0]
    info = stored.tensors[first]
    step = max(1, _BLOCK // max(1, info.columns))
    for start in range(0, info.rows, step):
        stop = min(start + step, info.rows)
        ours, theirs = (stored.read(name, start, stop) for name in (first, second))
        if not torch.equal(ours, theirs):
            return False
    return True
