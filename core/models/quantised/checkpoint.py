"""A quantised folder as a checkpoint: the tensors of the model, dequantised as they are read.

Owns which dtype they are given and what is said of the folder. Knows no format.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import CheckpointError
from core.models.checkpoint import DTYPES, Checkpoint, TensorInfo
from core.models.quantised import formats
from core.models.quantised.parts import PartReader, StoredCheckpoint, Weight

_BLOCK = 1 << 19
"""Elements that are dequantised at a time: what it takes beside the result stays small."""


class Dequantised:
    """The floating-point tensors of a quantised checkpoint `stored`.

    A quantised weight has the dtype that the configuration gives the model (else bfloat16), and
    is rounded to it as a copy that was saved dequantised would be. Other tensors are as stored.
    `method` is the format's name, empty where the configuration alone spoke of one; `notes` are
    remarks about the folder.
    """

    def __init__(self, stored: Checkpoint, weights: Mapping[str, Weight], method: str) -> None:
        self.where = stored.where
        self.config: Mapping[str, Any] = formats.without_quantisation(stored.config)
        self.stored = stored
        self.method = method if weights else ""
        leftover = (
            f"config.json calls it quantised ('{method}'), but its weights are plain floats: "
            "they are read as they are."
        )
        self.notes: tuple[str, ...] = () if weights else (leftover,)
        self._weights = weights
        self._energy: dict[str, NDArray[np.float64]] = {}
        self.tensors: Mapping[str, TensorInfo] = _offered(stored, weights, _dtype(self.config))

    @property
    def bytes_read(self) -> int:
        """Bytes of stored tensors."""
        return self.stored.bytes_read

    @bytes_read.setter
    def bytes_read(self, count: int) -> None:
        self.stored.bytes_read = count

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """Rows of a tensor as the model has it. See `Checkpoint.read`."""
        weight, info = self._weights.get(name), self.tensors[name]
        if weight is None:
            return self.stored.read(name, start, stop, into)
        out = torch.empty(stop - start, info.columns, dtype=info.dtype)
        energy = self._energies(name, info.rows)
        step = max(1, _BLOCK // max(info.columns, 1))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            found = weight.rows(first, last)
            out[first - start : last - start] = found.values
            energy[first:last] = found.energy.numpy()
        return out

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return False

    def rounding(self, name: str, start: int, stop: int) -> float | None:
        """The energy Σ step²/12 that rounding these rows to their grid has (core.models.quantised
        .grids says what that is where steps differ); None for a tensor that isn't quantised."""
        if name not in self._weights:
            return None
        energy = self._energies(name, self.tensors[name].rows)
        if np.isnan(energy[start:stop]).any():
            self.read(name, start, stop)
        return float(energy[start:stop].sum())

    def fingerprint(self) -> str:
        """That of the stored tensors, together with the format."""
        return hashlib.sha256(f"{self.method} {self.stored.fingerprint()}".encode()).hexdigest()

    def _energies(self, name: str, rows: int) -> NDArray[np.float64]:
        """By row, NaN where none was read: kept, so that nothing is read again for it."""
        if name not in self._energy:
            self._energy.setdefault(name, np.full(rows, np.nan))
        return self._energy[name]


class Lazy:
    """A tensor of a checkpoint that is read when it is indexed with `...`, in its shape."""

    def __init__(self, opened: Checkpoint, name: str) -> None:
        info = opened.tensors[name]
        self.shape, self.dtype = torch.Size(info.shape), info.dtype
        self._opened, self._name, self._rows = opened, name, info.rows

    def __getitem__(self, index: EllipsisType) -> Tensor:
        return self._opened.read(self._name, 0, self._rows).reshape(self.shape)

    def is_floating_point(self) -> bool:
        """True: only such tensors are offered."""
        return self.dtype is not None


def below(seen: Checkpoint) -> Dequantised | None:
    """The quantised checkpoint under adapters and other views of it; None where there is none."""
    while not isinstance(seen, Dequantised):
        under = getattr(seen, "over", None) or getattr(seen, "stored", None)
        if under is None:
            return None
        seen = under
    return seen


def opened(stored: StoredCheckpoint) -> Checkpoint:
    """The checkpoint as its model sees it: `stored` itself where nothing says it is quantised.

    Raises CheckpointError when the format has no reader, or parts of a weight don't fit.
    """
    settings = formats.settings_of(stored.config)
    not_floats = [n for n, info in stored.tensors.items() if info.dtype is None]
    packed = formats.unexplained(stored.config, not_floats)
    formats.refuse_unread(stored.where, stored.config, packed)
    if not settings:
        return stored
    method = formats.method_of(settings)
    if not packed:
        return Dequantised(stored, {}, method)
    weights = formats.find(PartReader(stored), settings)
    used = {part for weight in weights.values() for part in weight.stored}
    for name in packed:
        if name not in used:
            raise CheckpointError(
                f"{stored.where}: the tensor {name} ({stored.raw_dtypes[name]}) is no part of a "
                f"weight that '{method}' makes.",
                hint="Use the unquantised checkpoint.",
            )
    return Dequantised(stored, weights, method)


def _offered(
    stored: Checkpoint, weights: Mapping[str, Weight], dtype: torch.dtype
) -> dict[str, TensorInfo]:
    """The tensors of the model: plain ones as stored, weights in place of their parts."""
    used = {part for weight in weights.values() for part in weight.stored}
    plain = {
        name: info for name, info in stored.tensors.items()
        if name not in used and not formats.is_extra(name)
    }  # fmt: skip
    return plain | {name: TensorInfo(dtype, w.shape) for name, w in weights.items()}


def _dtype(config: Mapping[str, Any]) -> torch.dtype:
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for key in ("dtype", "torch_dtype"):
            word = str(part.get(key)).removeprefix("torch.")
            for dtype in DTYPES.values():
                if word == str(dtype).removeprefix("torch."):
                    return dtype
    return torch.bfloat16
