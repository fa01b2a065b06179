"""A quantised folder as a checkpoint: the model's tensors, dequantised on reading.

Owns the dtype of the result and the notes on the folder. Knows no format.
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
"""Elements dequantised at a time, to keep temporary memory small."""


class Dequantised:
    """The floating-point tensors of a quantised checkpoint `stored`.

    A quantised weight is rounded to the configuration's dtype (else bfloat16), as in a saved
    dequantised copy. Other tensors are as stored. `method`: the format's name, empty if no tensor
    is quantised; `notes`: remarks about the folder.
    """

    def __init__(self, stored: Checkpoint, weights: Mapping[str, Weight], method: str) -> None:
        self.where = stored.where
        self.config: Mapping[str, Any] = formats.without_quantisation(stored.config)
        self.stored = stored
        self.method = method if weights else ""
        leftover = (
            f"config.json calls it quantised ('{method}'), but its weights are plain floats: they "
            "are read unchanged."
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
        """Rows of a model's tensor. See `Checkpoint.read`."""
        weight, info = self._weights.get(name), self.tensors[name]
        if weight is None:
            return self.stored.read(name, start, stop, into)
        out = torch.empty(stop - start, info.columns, dtype=info.dtype)
        energy = self._energies(name, info.rows)
        step = max(1, _BLOCK // max(info.columns, 1))
        for first in range(start, stop, step):
            last = min(first + step, stop)
            rows = weight.rows(first, last)
            out[first - start : last - start] = rows.values
            energy[first:last] = rows.energy.numpy()
        return out

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return False

    def rounding(self, name: str, start: int, stop: int) -> float | None:
        """The energy Σ step²/12 of rounding these rows to their grid (see
        `core.models.quantised.grids` for uneven steps); None for an unquantised tensor."""
        if name not in self._weights:
            return None
        energy = self._energies(name, self.tensors[name].rows)
        if np.isnan(energy[start:stop]).any():
            self.read(name, start, stop)
        return float(energy[start:stop].sum())

    def fingerprint(self) -> str:
        """The fingerprint of the stored tensors, together with the format."""
        return hashlib.sha256(f"{self.method} {self.stored.fingerprint()}".encode()).hexdigest()

    def refuse_changed(self) -> None:
        """See `Checkpoint.refuse_changed`."""
        self.stored.refuse_changed()

    def _energies(self, name: str, rows: int) -> NDArray[np.float64]:
        """The cached energy of each row, NaN before its first reading."""
        if name not in self._energy:
            self._energy.setdefault(name, np.full(rows, np.nan))
        return self._energy[name]


class Lazy:
    """A tensor of a checkpoint, read in its own shape on indexing with `...`."""

    def __init__(self, opened: Checkpoint, name: str) -> None:
        info = opened.tensors[name]
        self.shape, self.dtype = torch.Size(info.shape), info.dtype
        self._opened, self._name, self._rows = opened, name, info.rows

    def __getitem__(self, index: EllipsisType) -> Tensor:
        return self._opened.read(self._name, 0, self._rows).reshape(self.shape)

    def is_floating_point(self) -> bool:
        """True: only floating-point tensors are offered."""
        return self.dtype is not None


def below(seen: Checkpoint) -> Dequantised | None:
    """The quantised checkpoint under adapters and other views; None if there is none."""
    while not isinstance(seen, Dequantised):
        under = getattr(seen, "over", None) or getattr(seen, "stored", None)
        if under is None:
            return None
        seen = under
    return seen


def opened(stored: StoredCheckpoint) -> Checkpoint:
    """The checkpoint as the model sees it: `stored` itself if it is not quantised.

    Raises CheckpointError if the format has no reader, or parts of a weight don't fit.
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
                f"{stored.where}: the tensor {name} ({stored.raw_dtypes[name]}) is not a part of "
                f"a '{method}' weight.",
                hint="Use the unquantised checkpoint.",
            )
    return Dequantised(stored, weights, method)


def _offered(
    stored: Checkpoint, weights: Mapping[str, Weight], dtype: torch.dtype
) -> dict[str, TensorInfo]:
    """The tensors of the model: plain ones as stored, and weights in place of their parts."""
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
