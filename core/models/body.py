"""The decoder within a model, and facts about its modules that names do not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.models.pieces import Storage

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """What a module of the layers is, besides its name.

    `kind`: its class. `storage`, `interleaved`: how its matrices lie. `is_experts`: it holds a
    stack of experts. `heads`, `key_value`: the attention heads that it states, 0 where it states
    none. `is_recurrent`: a state space, a convolution or linear attention.
    """

    kind: str = ""
    storage: Storage = "plain"
    interleaved: bool = False
    is_experts: bool = False
    heads: int = 0
    key_value: int = 0
    is_recurrent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Where a decoder lies in a model.

    `layers`: the name of the list of layers; `count`: how many of them are decoder layers;
    `inside`: the prefix of the text model's own parameters; `embeddings`, `heads`: the modules
    that embed tokens and that give logits. `query`, `key_value`: attention heads as the
    configuration states them, 0 for unknown. `traits`: by a module's full name.
    """

    layers: str
    count: int
    inside: str = ""
    embeddings: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    query: int = 0
    key_value: int = 0
    traits: Mapping[str, Trait] = field(default_factory=dict)

    def trait(self, module: str) -> Trait:
        return self.traits.get(module, _NO_TRAIT)


_NO_TRAIT = Trait()
