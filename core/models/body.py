"""The decoder within a model, and facts about its modules that names do not show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from core.models.pieces import Storage

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trait:
    """Facts about a module of a layer, besides its name.

    `kind`: its class. `storage`, `interleaved`: the layout of its matrices. `is_experts`: it holds
    a stack of experts. `heads`, `key_value`: its stated numbers of attention heads, 0 if absent.
    `is_recurrent`: a state space, a convolution or linear attention.
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
    """The place of a decoder in a model.

    `layers`: the name of the list of layers; `count`: the number of decoder layers among them;
    `inside`: the prefix of the text model's own parameters; `embeddings`, `heads`: the modules that
    embed tokens and that compute logits. `query`, `key_value`: attention heads by the
    configuration, 0 if unknown. `traits`: by a module's full name.
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
