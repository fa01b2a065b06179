"""config.json compared with the tensors in a model's files, before a model is built.

Owns which numbers of a configuration are counts and sizes, and how large each may be for files
that hold so many tensors of such shapes. Wide bounds: they keep building short and small, so that
the exact comparison of shapes can follow. Imports torch only when parameters are counted.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from core.errors import FamilyError

_LAYERS = re.compile(r"(.*_)?n?_?layers?|depths?")
"""Counts of layers, each of which has tensors of its own."""

_SIZES = re.compile(
    r"(num|n|d)_.+|.+_(size|dim|width|heads?|experts?|rank|channels|groups|factor|ratio)"
)
"""Other counts, and lengths of an axis."""

_FREE = re.compile(
    r"(.*_)?(max|token|tokens|positions?|ctx|window|chunk|image|seed|id|ids|params|parameters|theta"
    r"|samples|steps|epochs|rope|scaling|factor)(_.*)?"
)
"""Numbers that nothing is built of, or that may be far larger than any tensor."""

_NEEDED = frozenset({
    "num_hidden_layers", "n_layer", "n_layers", "hidden_size", "n_embd", "d_model", "vocab_size",
    "num_attention_heads", "n_head", "n_heads",
})  # fmt: skip
"""Counts and sizes that no language model has none of."""

_FEW_LAYERS = 64
"""So many layers are built without a doubt, however few tensors there are."""

_SMALL = 1 << 20
"""No axis is too long below this: building takes no time then."""

_PACKED = 64
"""An axis may be longer than any stored one by this factor: quantised elements are packed."""

_MANY = 150_000
"""Parameters that are built without a doubt: a few seconds, some hundred megabytes."""

_DEPTH = 4
"""Levels of nested configurations that are looked into."""

_HINT = "Compare it with the one that the model was published with."


class Holding(NamedTuple):
    """How many tensors the files hold, and the longest axis of any."""

    tensors: int
    longest: int


def holding(shapes: Mapping[str, tuple[int, ...]]) -> Holding:
    """What files with tensors of these shapes hold."""
    return Holding(
        len(shapes), max((max(shape, default=0) for shape in shapes.values()), default=0)
    )


def refuse_implausible(folder: Path, config: Mapping[str, Any], held: Holding) -> None:
    """Raise FamilyError, which names the key, where a configuration states a count or a size that
    no model in such files can have."""
    for name, value in _numbers(config):
        key = name.rpartition(".")[2]
        if value < 1 and key in _NEEDED:
            raise _error(folder, f"{name} = {value}", held, "It must be 1 or more.")
        if value > _most(key, held):
            raise _error(folder, f"{name} = {_told(value)}", held, _HINT)


@contextlib.contextmanager
def limited(folder: Path, held: Holding) -> Iterator[None]:
    """Raise FamilyError when far more parameters are built than the files hold tensors."""
    from torch.nn.modules.module import register_module_parameter_registration_hook

    most, count = max(_MANY, _PACKED * held.tensors), 0

    def counted(module: Any, name: str, parameter: Any) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise _error(folder, f"a model of more than {most:,} parameters", held, _HINT)

    handle = register_module_parameter_registration_hook(counted)
    try:
        yield
    finally:
        handle.remove()


def _error(folder: Path, stated: str, held: Holding, hint: str) -> FamilyError:
    source = folder if folder.is_file() else folder / "config.json"
    return FamilyError(
        f"{source} states {stated}, but the files hold {held.tensors:,} tensors "
        f"with axes of up to {held.longest:,}.",
        hint=hint,
    )


def _most(key: str, held: Holding) -> float:
    """The largest value that a key may have."""
    if _FREE.fullmatch(key):
        return float("inf")
    if _LAYERS.fullmatch(key):
        return max(held.tensors, _FEW_LAYERS)
    return max(_PACKED * held.longest, _SMALL) if _SIZES.fullmatch(key) else float("inf")


def _numbers(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, int]]:
    """The whole numbers of a configuration and of those nested in it, by their keys."""
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
    """A number, or about how long it is."""
    return str(value) if value < 10**18 else f"a number of {len(str(value))} digits"
