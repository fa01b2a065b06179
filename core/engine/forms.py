"""The forms of stored results: arrays of an artifact, and the state of a unit, checked on reading.

Owns the declarations of arrays, by the name of the artifact; a state is declared by its reader. A
stored result may be damaged, or written by somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import ResultError

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
    "places": {
        "module": "text rows", "documents": "int rows snippets", "starts": "int rows snippets",
        "peaks": "float rows snippets", "tokens": "int rows snippets places",
        "values": "float rows snippets places", "vocabulary": "text vocabulary",
    },
    "written": {"*": "float width"},
    "final": {"states": "state tokens width"},
    "sample": {"states": "state places width"},
    "sums": {
        "sums": "float positions groups width", "norms": "float positions groups",
        "counts": "int positions groups",
    },
    "readout": {
        "tokens": "int positions 2 ends", "products": "float positions 2 ends",
        "vocabulary": "text vocabulary",
    },
    "shifts": {
        "listed": "int listed", "text": "text listed", "mean": "float vocabulary",
        "promoted": "float vocabulary", "promoted_chance": "float vocabulary",
        "promoted_bounds": "float listed 2", "demoted": "float vocabulary",
        "demoted_chance": "float vocabulary", "demoted_bounds": "float listed 2",
    },
    "outputs": {
        "document": "int tokens", "place": "int tokens", "token": "int tokens",
        "kl": "float tokens", "nll_change": "float tokens", "vocabulary": "text vocabulary",
        "own": "int tokens likeliest", "own_share": "float tokens likeliest",
        "base": "int tokens likeliest", "base_share": "float tokens likeliest",
    },
    "ranking": {"*.score": _PER_NEURON, "*.rate": _PER_NEURON, "*.mean": "float inputs"},
    "chosen": {
        "layer": "int layers", "width": "int layers", "count": "int layers",
        "best": "int layers most",
    },
    "update_spectra": {"*": "float ranks"},
    "directions": {
        "*.share": "float directions", "*.kurtosis": "float directions",
        "*.tokens": "int directions 2 ends", "*.products": "float directions 2 ends",
        "vocabulary": "text vocabulary",
    },
    "moved": {
        "*.moves": "float tokens", "*.tokens": "int tokens", "*.before": "int tokens near",
        "*.after": "int tokens near", "vocabulary": "text vocabulary",
    },
    "alignment_curves": {
        "*.singular_values": "float ranks", "*.write": "float columns", "*.read": "float rows",
        "*.two_sided": "float pairs", "*.shape": "size 2",
    },
    "items": {
        "*|index": "int items", "*|total": "float items", "*|weight": "float items",
        "*|form": "text", "*|better": "text",
    },
    "prompts": {
        "index": "int items", "counts": "int items", "right": "byte choices",
        "prompt.bytes": "byte prompts", "prompt.ends": "int items",
        "choice.bytes": "byte options", "choice.ends": "int choices",
        "target.bytes": "byte targets", "target.ends": "int items",
        "continuation.bytes": "byte continuations", "continuation.ends": "int items",
    },
    "answers": {
        "index": "int items", "counts": "int items", "likelihood": "float choices",
        "said.bytes": "byte texts", "said.ends": "int items",
    },
}  # fmt: skip
"""The kind of each array, and its axes by name or size. Axes of one name have one size. A star
stands for the module, layer or metric that an array is of."""

WORKING = frozenset({"final", "sample", "sums"})
"""The artifacts that only later units of the same database read."""

_KINDS: Mapping[str, Callable[[NDArray[Any]], bool]] = {
    "float": lambda array: array.dtype.kind == "f",
    "int": lambda array: array.dtype.kind in "iu",
    "size": lambda array: array.dtype.kind in "iu" and bool((array > 0).all()),
    "byte": lambda array: array.dtype == np.uint8,
    "state": lambda array: array.dtype.kind == "f" or array.dtype == np.int16,
    "text": lambda array: array.dtype.kind == "U",
}


def sizes(artifact: str, arrays: Arrays) -> dict[str, int]:
    """The size of each axis by its name; after the name of a module, layer or metric where the
    array is of one. An artifact whose name is not declared has none.

    Raises ValueError, in words that follow "it", for an array of another form than declared.
    """
    size_of: dict[str, int] = {}
    forms = _FORMS.get(artifact.partition(".")[0], {})  # a setting follows the dot
    for pattern, form in forms.items():
        kind, *axes = form.split()
        for name, of in _matches(pattern, arrays):
            array = arrays[name]
            if array.ndim != len(axes) or not _KINDS[kind](array):
                shape = f"[{', '.join(map(str, array.shape))}]"
                raise ValueError(f"has '{name}' as {array.dtype} {shape}, not as {form}")
            for axis, size in zip(axes, array.shape, strict=True):
                expected = int(axis) if axis.isdigit() else size_of.setdefault(f"{of}{axis}", size)
                if size != expected:
                    raise ValueError(f"has {size} {axis} in '{name}', not {expected}")
    return size_of


def number(value: Any) -> bool:
    """Is a stored value a number? Sums over damaged weights may be infinite or NaN."""
    return isinstance(value, float) or _whole(value)


def amount(value: Any) -> bool:
    """Is a stored value a number that is not below 0?"""
    return number(value) and not value < 0


def count(value: Any) -> bool:
    """Is a stored value a whole number from 0?"""
    return _whole(value) and value >= 0


def maybe(form: Any) -> Callable[[Any], bool]:
    """The form of a value that may be undefined."""
    return lambda value: value is None or _fits(value, form)


def state(stored: Any, form: Any) -> Any:
    """A unit's stored state, checked. `form`: a type; a predicate; a list with the form of each
    element; or a dict with the form of each entry, where a star stands for all other names.

    Raises ResultError for a state of another form.
    """
    if _fits(stored, form):
        return stored
    raise ResultError(
        "The database holds a damaged state of a finished unit.",
        hint="Compute the run again with --fresh.",
    )


def _whole(value: Any) -> bool:
    is_int = isinstance(value, int) and not isinstance(value, bool)
    return is_int and abs(value) < 2**63  # the largest that the database holds


def _fits(stored: Any, form: Any) -> bool:
    if isinstance(form, list):
        return isinstance(stored, list) and all(_fits(each, form[0]) for each in stored)
    if isinstance(form, dict):
        others = form.get("*", object)
        return (
            isinstance(stored, dict)
            and form.keys() - {"*"} <= stored.keys()
            and all(_fits(value, form.get(name, others)) for name, value in stored.items())
        )
    return isinstance(stored, form) if isinstance(form, type) else bool(form(stored))


def _matches(pattern: str, arrays: Arrays) -> Iterator[tuple[str, str]]:
    """The names of arrays that match a pattern, and the text in the place of its star."""
    _, star, end = pattern.partition("*")
    for name in arrays:
        if name == pattern or (star and name.endswith(end)):
            yield name, name.removesuffix(end) if star else ""
