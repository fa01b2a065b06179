"""The module and layer of each parameter, read from names, shapes and the module tree.

One reading serves every architecture: the last part of a name gives the projection, the modules
around it give attention, MLP, mixer or router (`core.models.words`), and facts about the modules
(`core.models.body.Trait`) give the rest. An unexplained parameter is `other`; nothing is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from core.models import words
from core.models.body import Body, Shapes
from core.models.layer import LayerParameters, Outlet, is_norm
from core.models.pieces import Cut, Piece, pieces_of


@dataclass(frozen=True, slots=True)
class ModelRoles:
    """A model's parameters as pieces, and the outlets of its neurons and heads."""

    pieces: tuple[Piece, ...]
    outlets: tuple[Outlet, ...]


def read(shapes: Shapes, body: Body) -> ModelRoles:
    """Every parameter by name and shape as pieces; parameters that do not fit become `other`."""
    layers = _by_layer(shapes, body)
    pieces: list[Piece] = []
    outlets: list[Outlet] = []
    seen: dict[str, list[Piece]] = {}
    for layer, names in layers.items():
        reader = LayerParameters(layer, f"{body.layers}.{layer}", names, body)
        for name in names:
            seen[name] = reader.pieces(name)
        outlets += reader.outlets(seen)
    for name, shape in shapes.items():
        if name not in seen:
            seen[name] = pieces_of(name, shape, None, Cut((_outside(name, body),)))
        pieces += seen[name]
    return ModelRoles(tuple(pieces), tuple(outlets))


def _by_layer(shapes: Shapes, body: Body) -> dict[int, dict[str, tuple[int, ...]]]:
    by_layer: dict[int, dict[str, tuple[int, ...]]] = {}
    pattern = re.compile(rf"{re.escape(body.layers)}\.(\d+)\.")
    for name, shape in shapes.items():
        inside = pattern.match(name)
        if inside and int(inside[1]) < body.count:
            by_layer.setdefault(int(inside[1]), {})[name] = shape
    return dict(sorted(by_layer.items()))


def _outside(name: str, body: Body) -> str:
    """The module of a parameter outside of the layers."""
    owner = words.SUFFIX.sub("", name)
    if owner in body.heads:
        return "unembedding"
    if owner in body.embeddings:
        return "embedding"
    leaf = owner.rsplit(".", 1)[-1]
    inside = name.startswith(body.inside) and not name.startswith(f"{body.layers}.")
    if not inside:
        known = words.EMBEDDINGS.get(leaf) if "." not in owner else None
        return known if known == "unembedding" else "other"
    if leaf in words.EMBEDDINGS:
        return words.EMBEDDINGS[leaf]
    return "norm" if is_norm(owner, body) else "other"
