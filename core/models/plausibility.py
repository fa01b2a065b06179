"""config.json compared with the tensors in a model's files, before a model is built.

Owns the configuration's counts and sizes, and their upper bounds for files with given tensors. The
bounds are wide: they keep the model small enough to build for the exact comparison of shapes.
Imports torch only when parameters are counted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import FamilyError

_LAYERS = re.compile(r"(.*_)?n?_?layers?|depths?")
"""Keys that count layers; each layer has its own tensors."""

_SIZES = re.compile(
    r"(num|n|d)_.+|.+_(size|dim|width|heads?|experts?|rank|channels|groups|factor|ratio)"
)
"""Keys of other counts and of lengths of axes."""

_FREE = re.compile(
    r"(.*_)?(max|token|tokens|positions?|ctx|window|chunk|image|seed|id|ids|params|parameters|theta"
    r"|samples|steps|epochs|rope|scaling|factor)(_.*)?"
)
"""Keys of numbers that build nothing, or may be far larger than any tensor."""

_NEEDED = frozenset({
    "num_hidden_layers", "n_layer", "n_layers", "hidden_size", "n_embd", "d_model", "vocab_size",
    "num_attention_heads", "n_head", "n_heads",
})  # fmt: skip
"""Counts and sizes that are positive in every language model."""

_FEW_LAYERS = 64
"""Numbers of layers up to this one pass, regardless of the number of tensors."""

_SMALL = 1 << 20
"""Axes up to this length pass: building them takes no time."""

_PACKED = 64
"""An axis may exceed the longest stored axis by this factor, since quantised elements are
packed."""

_MANY = 150_000
"""Numbers of parameters up to this one pass: a few seconds, some hundred megabytes."""

_DEPTH = 4
"""Depth of nested configurations that is checked."""

_HINT = "Compare it with the published one."


class Extent(NamedTuple):
    """The number of stored tensors, and their longest axis."""

    tensors: int
    longest: int


def extent_of(shapes: Mapping[str, tuple[int, ...]]) -> Extent:
    """The number and the longest axis of tensors with these shapes."""
    return Extent(len(shapes), max((max(shape, default=0) for shape in shapes.values()), default=0))


def refuse_implausible(folder: Path, config: Mapping[str, Any], extent: Extent) -> None:
    """Raise FamilyError, naming the key, if a configuration states a count or a size that is
    impossible with these files."""
    for name, value in _numbers(config):
        key = name.rpartition(".")[2]
        if value < 1 and key in _NEEDED:
            raise _error(folder, f"{name} = {value}", extent, "It must be 1 or more.")
        if value > _most(key, extent):
            raise _error(folder, f"{name} = {_told(value)}", extent, _HINT)


@contextlib.contextmanager
def limited(folder: Path, extent: Extent) -> Iterator[None]:
    """Raise FamilyError if far more parameters are built than the files have tensors."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    most, count = max(_MANY, _PACKED * extent.tensors), 0

    def counted(module: Any, name: str, parameter: Any) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise _error(folder, f"a model of more than {most:,} parameters", extent, _HINT)

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _error(folder: Path, stated: str, extent: Extent, hint: str) -> FamilyError:
    source = folder if folder.is_file() else folder / "config.json"
    return FamilyError(
        f"{source} states {stated}, but the files hold {extent.tensors:,} tensors "
        f"with axes of up to {extent.longest:,}.",
        hint=hint,
    )


def _most(key: str, extent: Extent) -> float:
    """The largest value that a key may have."""
    if _FREE.fullmatch(key):
        return float("inf")
    if _LAYERS.fullmatch(key):
        return max(extent.tensors, _FEW_LAYERS)
    return max(_PACKED * extent.longest, _SMALL) if _SIZES.fullmatch(key) else float("inf")


def _numbers(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """The integers of a configuration and of nested ones, by their keys."""
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            if name.count(".") < _DEPTH:
                yield from _numbers(value, f"{name}.")
            continue
        for each in value if isinstance(value, list) else (value,):
            if isinstance(each, int) and not isinstance(each, bool):
                yield name, each


def _told(value: int) -> str:
    """A number, or the number of its digits if it is long."""
    return str(value) if value < 10**18 else f"a number of {len(str(value))} digits"
