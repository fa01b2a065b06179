"""A model's parameters in the common vocabulary, with the places of its neurons and heads.

Owns the reading of models of unknown class by their parameter names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import FamilyError
from core.models import roles
from core.models.body import Body, Shapes
from core.models.layer import Outlet
from core.models.pieces import Piece

NOTABLE = 0.05
"""Largest share of parameters without a finer role that passes without a warning."""

_LAYER = re.compile(r"^(.*?(?:layers|h|blocks|block|layer))\.(\d+)\.")
_HEADS = ("num_attention_heads", "n_head", "num_heads")
_KEY_VALUE = ("num_key_value_heads", "num_kv_heads")


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A model's parameters as pieces. `layers`: the number of decoder layers; `outlets`: the
    modules that take in neurons or heads; `warnings`: doubts about the reading."""

    architecture: str
    pieces: tuple[Piece, ...]
    layers: int
    outlets: tuple[Outlet, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def neuron_layers(self) -> tuple[int, ...]:
        """The layers that have an MLP, and so neurons."""
        return tuple(sorted({o.layer for o in self.outlets if o.role != "o"}))


def read(name: str, shapes: Shapes, body: Body, kind: str = "") -> Anatomy:
    """The anatomy of a model with these parameters. Raises FamilyError if it has no layers."""
    layout = roles.read(shapes, body)
    if not any(piece.layer is not None for piece in layout.pieces):
        raise FamilyError(f"{kind or name} has no recognisable layers.")
    doubts = _doubts(layout.pieces)
    if not any(outlet.role != "o" for outlet in layout.outlets):
        doubts.append("has no MLP in any layer: there are no neurons to measure or ablate.")
    return Anatomy(name, layout.pieces, body.count, layout.outlets, tuple(doubts))


def guessed(config: Mapping[str, Any], shapes: Shapes) -> Body:
    """The decoder of a model of unknown class, by its parameter names."""
    lists: Counter[str] = Counter()
    last: dict[str, int] = {}
    for name in shapes:
        inside = _LAYER.match(name)
        if inside:
            lists[inside[1]] += 1
            last[inside[1]] = max(last.get(inside[1], 0), int(inside[2]))
    layers = lists.most_common(1)[0][0] if lists else "layers"
    inner = config.get("text_config")
    text = inner if isinstance(inner, Mapping) else config
    stated = text.get("num_hidden_layers")
    count = last.get(layers, -1) + 1
    return Body(
        layers=layers,
        count=min(count, stated) if isinstance(stated, int) and stated > 0 else count,
        inside=layers.rpartition(".")[0] + "." if "." in layers else "",
        query=_number(text, _HEADS),
        key_value=_number(text, _KEY_VALUE),
    )


def _number(settings: Mapping[str, Any], keys: tuple[str, ...]) -> int:
    return next((v for k in keys if type(v := settings.get(k)) is int and v > 0), 0)


def _doubts(pieces: tuple[Piece, ...]) -> list[str]:
    inside = [piece for piece in pieces if piece.layer is not None]
    total = sum(piece.size for piece in inside)
    unnamed = sum(piece.size for piece in inside if piece.module == "other")
    if unnamed <= NOTABLE * total:
        return []
    share = f"{unnamed / total:.0%} of the layers' parameters"
    return [f"{share} are neither attention nor MLP by their names: they are counted as 'other'."]
