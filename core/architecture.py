"""One vocabulary for every architecture: which tensor is which module of which layer.

Reads names by the declarations of `core.naming`, and owns how fused tensors are cut. Never opens
a file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import FamilyError
from core.naming import KNOWN, Architecture, Meaning


@dataclass(frozen=True, slots=True)
class Heads:
    """Number of query heads, key-value heads, and the width of one."""

    query: int
    key_value: int
    width: int

    def count(self, module: str) -> int:
        """How many heads a module's matrix is made of."""
        return self.key_value if module in ("k", "v") else self.query


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One logical matrix [d_out, d_in] or vector of a model, and where it lies in a stored tensor.

    `rows` are ranges of rows of the stored tensor (as checkpoints read it: all axes but the last
    together, a vector as rows of one element); `columns` a range of its columns (None: all);
    `transposed`: stored as [d_in, d_out].
    """

    tensor: str
    module: str
    layer: int | None
    expert: int | None
    shape: tuple[int, ...]
    rows: tuple[tuple[int, int], ...]
    columns: tuple[int, int] | None = None
    transposed: bool = False

    @property
    def is_matrix(self) -> bool:
        """Does it have directions to look at? A single row (a shared expert's gate) has none."""
        return len(self.shape) == 2 and min(self.shape) > 1

    @property
    def size(self) -> int:
        return math.prod(self.shape)


OUTPUTS = ("o", "down", "fc_out")
"""The modules whose inputs are what a layer's heads and neurons have to say."""

_OTHER_TOWERS = re.compile(
    r"(^|\.)(vision_tower|vision_model|visual|multi_modal_projector|audio_tower)\."
)


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A model's tensors in the common vocabulary."""

    architecture: str
    pieces: tuple[Piece, ...]
    layers: int
    heads: Heads
    tied: bool
    warnings: tuple[str, ...] = ()
    unread: tuple[str, ...] = field(default=())


def describe(config: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Anatomy:
    """Every tensor of a model, by name and shape, as pieces of the common vocabulary.

    A model type that isn't declared is read with the first declared architecture that explains
    every one of its tensors, and a warning says so. Raises FamilyError when none does, naming the
    tensors, and when a shape contradicts the configuration.
    """
    text = config.get("text_config") or config
    model_type = str(text.get("model_type") or config.get("model_type") or "")
    inside = {n: s for n, s in shapes.items() if not _OTHER_TOWERS.search(n)}
    declared = [a for a in KNOWN if model_type in a.model_types]
    candidates = declared or list(KNOWN)
    attempts = [(a, _unexplained(a, inside)) for a in candidates]
    architecture, unknown = min(attempts, key=lambda attempt: len(attempt[1]))
    if unknown:
        raise FamilyError(
            f"Model type '{model_type}': {len(unknown)} of {len(inside)} tensors are in no known "
            f"place, among them {', '.join(unknown[:3])}.",
            hint="Known model types: " + ", ".join(t for a in KNOWN for t in a.model_types) + ".",
        )
    odd = [n for n, s in inside.items() if not s or 0 in s]
    if odd:
        raise FamilyError(
            f"Tensor {odd[0]} has shape {list(inside[odd[0]])}: it is empty or a scalar."
        )
    heads = _heads(text, architecture, inside)
    pieces: list[Piece] = []
    for name, shape in inside.items():
        pieces += _pieces(architecture, name, shape, heads, text)
    layers = 1 + max((p.layer for p in pieces if p.layer is not None), default=-1)
    if not layers:
        raise FamilyError(f"Model type '{model_type}' has no layers that can be recognised.")
    notes = []
    if not declared:
        notes.append(f"Model type '{model_type}' is not declared; read as {architecture.name}.")
    outside = tuple(n for n in shapes if n not in inside)
    if outside:
        notes.append(f"{len(outside)} tensors outside the language model are not compared.")
    has_head = any(p.module == "unembedding" and "project" not in p.tensor for p in pieces)
    stated = config.get("tie_word_embeddings", text.get("tie_word_embeddings"))
    return Anatomy(
        architecture.name,
        tuple(pieces),
        layers,
        heads,
        not has_head if stated is None else bool(stated),
        tuple(notes),
        outside,
    )


def _heads(
    config: Mapping[str, Any], architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]
) -> Heads:
    """Heads as the configuration has them; what it leaves out follows from the shapes.

    Raises FamilyError when the two contradict each other, since heads would be cut wrongly.
    """
    rows = _rows_of(architecture, shapes)
    stated = [config.get(key) for key in ("num_attention_heads", "n_head")]
    query = next((int(n) for n in stated if n), 0)
    hidden = int(config.get("hidden_size") or config.get("n_embd") or rows.get("q", 0))
    norm = next((s[0] for n, s in shapes.items() if n.endswith("q_norm.weight")), 0)
    width = int(config.get("head_dim") or (hidden // query if query else norm))
    if width <= 0:
        raise FamilyError("config.json doesn't say how many attention heads there are.")
    query = query or rows.get("q", width) // width
    stated_key_value = config.get("num_key_value_heads")
    key_value = int(stated_key_value or rows.get("k", query * width) // width)
    heads = Heads(query, key_value, width)
    for module, extent in rows.items():
        if extent != heads.count(module) * width:
            raise FamilyError(
                f"config.json speaks of {heads.count(module)} heads of width {width}, but "
                f"{module} has {extent} rows."
            )
    return heads


def _rows_of(architecture: Architecture, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Output rows of the first q, k and v that are stored on their own."""
    rows: dict[str, int] = {}
    for name, shape in shapes.items():
        place = _place(architecture, name)
        meaning = architecture.stems.get(place.stem) if place else None
        if meaning and len(meaning.modules) == 1 and meaning.modules[0] in ("q", "k", "v"):
            rows.setdefault(meaning.modules[0], shape[0])
    return rows


@dataclass(frozen=True, slots=True)
class _Place:
    stem: str
    layer: int | None
    expert: int | None


def _place(architecture: Architecture, name: str) -> _Place | None:
    """Where a tensor's name points to; None when the architecture doesn't know it."""
    bare = re.sub(r"\.(weight|bias)$", "", name)
    inside = re.match(rf"(?:.*\.)?{architecture.layers}\.(\d+)\.(.+)$", bare)
    if inside:
        layer, stem = int(inside[1]), inside[2]
        numbered = re.search(r"\.experts\.(\d+)\.", stem)
        expert = int(numbered[1]) if numbered else None
        stem = re.sub(r"\.experts\.\d+\.", ".experts.{e}.", stem)
        return _Place(stem, layer, expert) if stem in architecture.stems else None
    stem = bare.rsplit(".", 1)[-1]
    return _Place(stem, None, None) if stem in architecture.outside else None


def stores_transposed(config: Mapping[str, Any], name: str) -> bool:
    """Does a model of this configuration store the tensor as [d_in, d_out]?"""
    for architecture in KNOWN:
        if config.get("model_type") in architecture.model_types:
            place = _place(architecture, name)
            meaning = architecture.stems.get(place.stem) if place else None
            return meaning is not None and meaning.layout == "columns"
    return False


@dataclass(frozen=True, slots=True)
class OutputPlace:
    """A module of a loaded model that a layer's attention or MLP writes its output with.

    `module` is o, down or fc_out; `stacked`: it is a stack of experts. `layer_name` is the name of
    the layer's own module.
    """

    module: str
    layer: int
    layer_name: str
    stacked: bool


def output_at(architecture_name: str, name: str) -> OutputPlace | None:
    """What a loaded model's module writes, by the module's name; None for any other module."""
    known = next(a for a in KNOWN if a.name == architecture_name)
    if _OTHER_TOWERS.search(name):
        return None
    for tensor, stacked in ((name, False), (f"{name}.down_proj", True)):
        place = _place(known, tensor)
        meaning = known.stems.get(place.stem) if place else None
        if place is None or meaning is None or place.layer is None or place.expert is not None:
            continue
        if meaning.modules[0] not in OUTPUTS or (meaning.layout == "experts") != stacked:
            continue
        found = re.match(rf"(?:.*\.)?{known.layers}\.\d+", name)
        assert found
        return OutputPlace(meaning.modules[0], place.layer, found[0], stacked)
    return None


def is_ignored(architecture_name: str, name: str) -> bool:
    """Is this tensor a buffer that is no parameter (masks, rotary frequencies)?"""
    return any(
        re.search(pattern, name)
        for a in KNOWN
        if a.name == architecture_name
        for pattern in a.ignored
    )


def _unexplained(architecture: Architecture, names: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [
        n for n in names if not is_ignored(architecture.name, n) and _place(architecture, n) is None
    ]


def _pieces(
    architecture: Architecture,
    name: str,
    shape: tuple[int, ...],
    heads: Heads,
    config: Mapping[str, Any],
) -> list[Piece]:
    if is_ignored(architecture.name, name):
        return []
    place = _place(architecture, name)
    assert place is not None
    if place.layer is None:
        meaning = Meaning((architecture.outside[place.stem],))
    else:
        meaning = architecture.stems[place.stem]
    expert = place.expert
    if meaning.shared_expert:
        # The shared expert stands after the routed ones.
        expert = int(config.get("num_experts") or config.get("num_local_experts") or 0)
    cut = {"rows": _by_rows, "columns": _by_columns, "heads": _by_heads, "experts": _by_expert}
    try:
        return cut[meaning.layout](name, shape, meaning.modules, place.layer, expert, heads)
    except _MisfitError as misfit:
        raise FamilyError(
            f"Tensor {name} has shape {list(shape)}, which the configuration denies: {misfit}."
        ) from None


class _MisfitError(Exception):
    """A fused tensor's shape doesn't fit the configuration."""


def _extents(modules: tuple[str, ...], total: int, heads: Heads) -> list[int]:
    """How many of a fused tensor's output rows belong to each of its modules."""
    if len(modules) == 1:
        return [total]
    if modules[0] == "q":
        extents = [heads.count(m) * heads.width for m in modules]
    else:
        extents = [total // len(modules)] * len(modules)
    if sum(extents) != total:
        raise _MisfitError(
            f"{' + '.join(map(str, extents))} rows for {', '.join(modules)} expected"
        )
    return extents


def _by_rows(
    name: str, shape: tuple[int, ...], modules: tuple[str, ...],
    layer: int | None, expert: int | None, heads: Heads,
) -> list[Piece]:  # fmt: skip
    if len(shape) > 2:
        raise _MisfitError("a matrix or a vector expected")
    pieces, start = [], 0
    for module, extent in zip(modules, _extents(modules, shape[0], heads), strict=True):
        pieces.append(
            Piece(tensor=name, module=module, layer=layer, expert=expert,
                  shape=(extent, *shape[1:]), rows=((start, start + extent),))
        )  # fmt: skip
        start += extent
    return pieces


def _by_columns(
    name: str, shape: tuple[int, ...], modules: tuple[str, ...],
    layer: int | None, expert: int | None, heads: Heads,
) -> list[Piece]:  # fmt: skip
    if len(shape) == 1:
        return _by_rows(name, shape, modules, layer, expert, heads)
    pieces, start = [], 0
    for module, extent in zip(modules, _extents(modules, shape[1], heads), strict=True):
        columns = None if extent == shape[1] else (start, start + extent)
        pieces.append(
            Piece(tensor=name, module=module, layer=layer, expert=expert,
                  shape=(extent, shape[0]), rows=((0, shape[0]),), columns=columns,
                  transposed=True)
        )  # fmt: skip
        start += extent
    return pieces


def _by_heads(
    name: str, shape: tuple[int, ...], modules: tuple[str, ...],
    layer: int | None, expert: int | None, heads: Heads,
) -> list[Piece]:  # fmt: skip
    parts, width = len(modules), heads.width
    if shape[0] != parts * heads.query * width:
        raise _MisfitError(f"{parts} × {heads.query} heads × {width} rows expected")
    pieces = []
    for part, module in enumerate(modules):
        starts = [(head * parts + part) * width for head in range(heads.query)]
        rows = tuple((start, start + width) for start in starts)
        extent = heads.query * width
        pieces.append(
            Piece(tensor=name, module=module, layer=layer, expert=expert,
                  shape=(extent, *shape[1:]), rows=rows)
        )  # fmt: skip
    return pieces


def _by_expert(
    name: str, shape: tuple[int, ...], modules: tuple[str, ...],
    layer: int | None, expert: int | None, heads: Heads,
) -> list[Piece]:  # fmt: skip
    if len(shape) != 3:
        raise _MisfitError("a stack of matrices expected")
    count, rows, columns = shape
    pieces = []
    for number in range(count):
        start = number * rows
        for module, extent in zip(modules, _extents(modules, rows, heads), strict=True):
            pieces.append(
                Piece(tensor=name, module=module, layer=layer, expert=number,
                      shape=(extent, columns), rows=((start, start + extent),))
            )  # fmt: skip
            start += extent
    return pieces
