"""Weights stored by columns: GPTQ and AWQ.

Both store the weight [outputs, inputs] as qweight [inputs, outputs], in words of `bits` bits, with
scales and zero points for every group of inputs. GPTQ packs along the inputs, AWQ along the outputs
in its own order. A row of the weight lies across the whole stored tensor, so the packed tensor
stays in memory while its rows are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.models.quantised.grids import DequantisedRows, rows_on_grid
from core.models.quantised.packing import from_words, from_words_in_order, words_needed
from core.models.quantised.parts import PartReader, Weight

_AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)
"""The nibble of the k-th of a word's eight outputs (AutoAWQ, version gemm)."""


@dataclass(frozen=True, slots=True)
class PackedWeight:
    """A weight of GPTQ (`ordered` false) or AWQ.

    `group`: inputs per scale, without a `g_idx`. `behind`: the number to add to a stored zero
    point.
    """

    parts: PartReader
    module: str
    shape: tuple[int, int]
    stored: tuple[str, ...]
    bits: int
    group: int
    ordered: bool
    behind: int

    def rows(self, start: int, stop: int) -> DequantisedRows:
        """Rows start:stop of the weight: outputs."""
        cached, name = self.parts.cached, self.module
        return rows_on_grid(
            self._codes(start, stop).mT,
            cached((name, "scales"), self._scales)[start:stop],
            cached((name, "zeros"), self._zeros)[start:stop],
            cached((name, "groups"), self._groups),
        )

    def _codes(self, start: int, stop: int) -> Tensor:
        """Stored columns start:stop, int32 [inputs, stop - start]."""
        packed = self.parts.cached(
            (self.module, "packed"), lambda: self.parts.whole(f"{self.module}.qweight")
        )
        if not self.ordered:
            return from_words(packed[:, start:stop].mT, self.bits, self.shape[1]).mT
        first = start // 8
        words = packed[:, first : -(-stop // 8)]
        return from_words_in_order(words, _AWQ_ORDER)[:, start - 8 * first : stop - 8 * first]

    def _scales(self) -> Tensor:
        return self.parts.whole(f"{self.module}.scales").float().mT.contiguous()

    def _zeros(self) -> Tensor:
        packed = self.parts.whole(f"{self.module}.qzeros")
        if self.ordered:
            stored = from_words_in_order(packed, _AWQ_ORDER)
        else:
            stored = from_words(packed, self.bits, self.shape[0])
        zeros: Tensor = (stored + self.behind) % 2**self.bits
        return zeros.float().mT.contiguous()

    def _groups(self) -> Tensor:
        inputs, groups = self.shape[1], self.parts.shape(f"{self.module}.scales")[0]
        index = f"{self.module}.g_idx"
        if index not in self.parts:
            return torch.arange(inputs) // self.group
        given = self.parts.whole(index).long()
        if given.shape != (inputs,) or int(given.min()) < 0 or int(given.max()) >= groups:
            raise self.parts.refuse(index, "it names groups that do not exist.")
        return given


def find_gptq(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights of GPTQ. Its first format stores zero points minus one."""
    form = settings.get("checkpoint_format") or "gptq"
    if form not in ("gptq", "gptq_v2"):
        raise parts.refuse("*.qweight", f"the GPTQ format '{form}' has no reader.")
    bits = settings.get("bits")
    if type(bits) is not int or not 2 <= bits <= 8:
        raise parts.refuse("*.qweight", f"config.json gives the bits as {bits}.")
    return _find(parts, settings, bits, ordered=False, behind=1 if form == "gptq" else 0)


def find_awq(parts: PartReader, settings: Mapping[str, Any]) -> dict[str, Weight]:
    """The weights of AWQ, version gemm."""
    version = str(settings.get("version") or "gemm").lower()
    bits = settings.get("bits") or settings.get("w_bit") or 4
    if version != "gemm" or bits != 4:
        raise parts.refuse("*.qweight", f"AWQ's version '{version}' of {bits} bits has no reader.")
    return _find(parts, settings, 4, ordered=True, behind=0)


def _find(
    parts: PartReader, settings: Mapping[str, Any], bits: int, *, ordered: bool, behind: int
) -> dict[str, Weight]:
    given = settings.get("group_size") or settings.get("q_group_size") or -1
    weights: dict[str, Weight] = {}
    for name in parts.names:
        if not name.endswith(".qweight"):
            continue
        module = name.removesuffix(".qweight")
        groups, outputs = parts.shape(f"{module}.scales")
        stored, zeros = parts.shape(name), parts.shape(f"{module}.qzeros")
        inputs = stored[0] if ordered else stored[0] * 32 // bits
        across = words_needed(outputs, bits)
        packed = (inputs, across) if ordered else (words_needed(inputs, bits), outputs)
        group = given if given > 0 else inputs
        fits = groups == -(-inputs // group) or f"{module}.g_idx" in parts
        if stored != packed or zeros != (groups, across) or not fits:
            raise parts.refuse(name, f"its shape {list(stored)} doesn't fit its scales.")
        names = (f"{module}.{part}" for part in ("qweight", "qzeros", "scales", "g_idx"))
        weights[f"{module}.weight"] = PackedWeight(
            parts, module, (outputs, inputs), tuple(n for n in names if n in parts), bits, group,
            ordered, behind,
        )  # fmt: skip
    return weights
