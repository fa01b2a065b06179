"""What the arrays of an artifact are: kinds and shapes, which are checked as they are read.

Owns the declarations, by the name of the artifact. A file may be damaged, or written by somebody
else, and whoever looks at its arrays takes them for what they are declared to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]

_PER_NEURON = "float neurons"

_FORMS: Mapping[str, Mapping[str, str]] = {
    "neurons": {
        "rate": _PER_NEURON, "drivers": "int drivers neurons", "driven": "float drivers neurons",
    },
    "patterns": {"patterns": "byte documents bytes", "neurons": "size"},
    "scores": dict.fromkeys(("attribution", "effect", "magnitude", "mean"), _PER_NEURON),
    "documents": {"beginning": "text documents", "tokens": "int documents"},
    "contexts": {
        "neurons": "int chosen", "documents": "int chosen snippets",
        "starts": "int chosen snippets", "tokens": "int chosen snippets places",
        "values": "float chosen snippets places", "vocabulary": "text vocabulary",
        "promoted": "int chosen 2 tokens", "products": "float chosen 2 tokens",
    },
    "ranking": {"*.score": _PER_NEURON, "*.rate": _PER_NEURON, "*.mean": "float inputs"},
    "update_spectra": {"*": "float ranks"},
    "alignment_curves": {
        "*.singular_values": "float ranks", "*.write": "float columns", "*.read": "float rows",
        "*.two_sided": "float pairs", "*.shape": "size 2",
    },
    "items": {
        "*|index": "int items", "*|total": "float items", "*|weight": "float items",
        "*|form": "text",
    },
}  # fmt: skip
"""Of each array its kind, and its axes by name or size: axes of one name are of one size. A star
stands for the module, layer or metric that an array is of."""

_KINDS: Mapping[str, Callable[[NDArray[Any]], bool]] = {
    "float": lambda array: array.dtype.kind == "f",
    "int": lambda array: array.dtype.kind in "iu",
    "size": lambda array: array.dtype.kind in "iu" and bool((array > 0).all()),
    "byte": lambda array: array.dtype == np.uint8,
    "text": lambda array: array.dtype.kind == "U",
}


def sizes(artifact: str, arrays: Arrays) -> dict[str, int]:
    """The size of each axis by its name; after the name of a module, layer or metric where the
    array is of one. An artifact whose name is not declared has none.

    Raises ValueError, in words that follow "it", for an array of another form than declared.
    """
    found: dict[str, int] = {}
    forms = _FORMS.get(artifact.partition(".")[0], {})  # what follows the dot is a setting
    for pattern, form in forms.items():
        kind, *axes = form.split()
        for name, of in _matches(pattern, arrays):
            array = arrays[name]
            if array.ndim != len(axes) or not _KINDS[kind](array):
                shape = f"[{', '.join(map(str, array.shape))}]"
                raise ValueError(f"has '{name}' as {array.dtype} {shape}, not as {form}")
            for axis, size in zip(axes, array.shape, strict=True):
                expected = int(axis) if axis.isdigit() else found.setdefault(f"{of}{axis}", size)
                if size != expected:
                    raise ValueError(f"has {size} {axis} in '{name}', not {expected}")
    return found


def _matches(pattern: str, arrays: Arrays) -> Iterator[tuple[str, str]]:
    """The names of arrays that a pattern is for, and what stands in the place of its star."""
    _, star, end = pattern.partition("*")
    for name in arrays:
        if name == pattern or (star and name.endswith(end)):
            yield name, name.removesuffix(end) if star else ""
