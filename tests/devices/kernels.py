"""The operations that CUDA has kernels for, by torch's own list of its operations.

A torch without CUDA has no such kernels to ask for, but the list comes with it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

_LIST = Path(torch.__file__).parents[1] / "torchgen/packaged/ATen/native/native_functions.yaml"
_ANY = ("CUDA", "CompositeExplicitAutograd", "CompositeImplicitAutograd",
        "CompositeExplicitAutogradNonFunctional")  # fmt: skip


def on_cards(name: str) -> bool:
    """Does an operation (`aten::add.Tensor`) run on CUDA? True for one that the list lacks, since
    torch makes it from another."""
    entry = _listed().get(name.removeprefix("aten::"))
    if entry is None:
        return True
    if (whole := entry.get("structured_delegate")) is not None:
        return on_cards(whole)
    if "ufunc_inner_loop" in entry:
        return True
    given = {key.strip() for keys in entry.get("dispatch", {}) for key in keys.split(",")}
    return not given or any(key in given for key in _ANY)


@cache
def _listed() -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    entries = yaml.load(_LIST.read_text(encoding="utf-8"), loader)
    return {entry["func"].partition("(")[0]: entry for entry in entries}
