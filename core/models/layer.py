"""One decoder layer: the module of each parameter, and its cut into pieces.

Reads a layer as a whole, since a projection's name depends on the other parameters: a gate, a stack
of experts, the heads of the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from core.models import words
from core.models.body import Body, Shapes, Trait
from core.models.pieces import Cut, Piece, ShapeMisfitError, Storage, pieces_of


@dataclass(frozen=True, slots=True)
class Outlet:
    """A module that takes neurons (`down`, `fc_out`) or attention heads (`o`) as input.

    `module`: its full name; `holder`: the layer's. `width`: its neurons (of one expert in a stack),
    or the inputs of one head; `experts`: the number of stacked matrices, 0 for none; `gated`: a
    gate feeds it.
    """

    module: str
    holder: str
    layer: int
    role: str
    width: int
    experts: int = 0
    gated: bool = False


class LayerParameters:
    """One layer's parameters, read together: a gate decides the names of the others."""

    def __init__(self, number: int, prefix: str, shapes: Shapes, body: Body) -> None:
        self.number = number
        self.prefix = prefix
        self.shapes = shapes
        self.body = body
        self._places = {name: self._placed(name) for name in shapes}
        self._within: dict[str, list[str]] = {}
        for name, (owner, _) in self._places.items():
            self._within.setdefault(owner, []).append(name)
        self._has_self = any(
            self._block(path) == "attention" and not words.CROSS.search(path)
            for path, leaf in self._places.values() if words.ATTENTION.get(leaf) == "o"
        )  # fmt: skip

    def pieces(self, name: str) -> list[Piece]:
        """The pieces of one parameter of this layer."""
        shape = self.shapes[name]
        try:
            return pieces_of(name, shape, self.number, self._cut(name, shape))
        except ShapeMisfitError:
            return pieces_of(name, shape, self.number, Cut(("other",)))

    def outlets(self, pieces: Mapping[str, list[Piece]]) -> Iterator[Outlet]:
        """The modules that take neurons or heads as input, by their pieces."""
        for name in self.shapes:
            mine = [p for p in pieces[name] if p.is_matrix]
            if not mine or mine[0].module not in ("o", "down", "fc_out"):
                continue
            first = mine[0]
            path, leaf = self._places[name]
            stacked = self._is_stack(name)
            module = ".".join(filter(None, (self.prefix, path, *(() if stacked else (leaf,)))))
            module = module if not stacked or self._owns(name) else f"{module}.{leaf}"
            if first.module == "o":
                if first.heads and first.shape[1] % first.heads == 0:
                    width = first.shape[1] // first.heads
                    yield Outlet(module, self.prefix, self.number, "o", width)
                continue
            beside = {p.module for n in self._beside(path) for p in pieces[n] if p.is_matrix}
            yield Outlet(
                module, self.prefix, self.number, first.module, first.shape[1],
                len(mine) if stacked else 0, "gate" in beside,
            )  # fmt: skip

    def _owns(self, name: str) -> bool:
        """Is the stack a parameter of the module itself, not of a submodule?"""
        return not name.endswith(".weight")

    def _placed(self, name: str) -> tuple[str, str]:
        """A parameter's module within the layer, and its projection: `mlp`, `down_proj`.

        A wrapper around a projection (`q_proj.linear.weight`) is looked through.
        """
        path = name.removeprefix(f"{self.prefix}.")
        path = words.SUFFIX.sub("", path)
        owner, _, leaf = path.rpartition(".")
        if leaf == "linear" and owner:
            owner, _, leaf = owner.rpartition(".")
        if leaf == "dense" and owner.rsplit(".", 1)[-1] in ("intermediate", "output"):
            outer, _, leaf = owner.rpartition(".")
            return (outer, "dense") if "attention" in outer else (outer, leaf)
        return owner, leaf

    def _trait(self, path: str) -> Trait:
        return self.body.trait(f"{self.prefix}.{path}" if path else self.prefix)

    def _is_stack(self, name: str) -> bool:
        owner, leaf = self._places[name]
        kind = self._trait(owner)
        inner = self._trait(f"{owner}.{leaf}" if owner else leaf)
        matrices = len(self.shapes[name]) == 3
        return (kind.is_experts or inner.is_experts or (matrices and leaf in words.MLP)) and (
            matrices or name.endswith("_bias")
        )

    def _block(self, path: str) -> str:
        """The part of a layer that a module belongs to."""
        parts = [part for part in path.split(".") if part]
        if any(words.is_aside(part) for part in parts):
            return "other"
        for depth in range(len(parts), 0, -1):  # the layer's own path says nothing
            trait = self._trait(".".join(parts[:depth]))
            if trait.is_recurrent or words.RECURRENT_KIND.search(trait.kind):
                return "mixer"
        if any(words.RECURRENT.search(part) for part in parts):
            return "mixer"
        if any(words.ATTENTION_PART.search(part) for part in parts):
            return "attention"
        if words.MLP_KIND.search(self._trait(path).kind if path else ""):
            return "mlp"
        if any(words.MLP_PART.search(part) for part in parts):
            return "mlp"
        leaves = set(self._leaves(path))
        if leaves & words.QUERIES:
            return "attention"
        return "mlp" if leaves & words.ENDS else "other"

    def _beside(self, path: str) -> list[str]:
        """The parameters of a module, by their full names."""
        return [*self._within.get(path, ()), *self._within.get(f"{path}.w_in", ())]

    def _leaves(self, path: str) -> Iterator[str]:
        return (self._places[name][1] for name in self._beside(path))

    def _cut(self, name: str, shape: tuple[int, ...]) -> Cut:
        path, leaf = self._places[name]
        full = ".".join(filter(None, (self.prefix, path, leaf)))
        if is_norm(full, self.body) or words.NORM.search(path.rsplit(".", 1)[-1]):
            return Cut(("norm",))
        block = self._block(path)
        if block == "attention" and words.CROSS.search(path) and self._has_self:
            return Cut(("other",))
        if block == "mlp" or (block == "other" and not path):
            return self._mlp_cut(name, path, leaf, shape)
        if block == "mixer":
            return Cut(("mixer",))
        if block == "attention":
            return self._attention_cut(path, leaf, shape)
        return Cut(("other",))

    def _attention_cut(self, path: str, leaf: str, shape: tuple[int, ...]) -> Cut:
        trait = self._trait(f"{path}.{leaf}" if path else leaf)
        storage: Storage = "transposed" if trait.storage == "transposed" else "plain"
        if leaf in words.FUSED and len(shape) <= 2:
            return self._fused(path, storage, shape)
        module = words.ATTENTION.get(leaf)
        if module is None or len(shape) > 2:
            return Cut(("other",))
        heads = 0 if words.PARTIAL.search(leaf) else self._heads(path, module, shape, storage)
        return Cut((module,), storage=storage, heads={module: heads})

    def _stated(self, path: str) -> tuple[int, int]:
        """Query heads and key-value heads of the attention at a path, 0 for unknown."""
        parts = path.split(".")
        for depth in range(len(parts), 0, -1):
            trait = self._trait(".".join(parts[:depth]))
            if trait.heads:
                return trait.heads, trait.key_value or self.body.key_value or trait.heads
        return self.body.query, self.body.key_value or self.body.query

    def _heads(self, path: str, module: str, shape: tuple[int, ...], storage: Storage) -> int:
        """The number of heads in a projection's rows (the columns of o); 0 if they do not
        divide."""
        query, key_value = self._stated(path)
        count = {"q": query, "o": query, "k": key_value, "v": key_value}.get(module, 0)
        if module in ("k", "v"):
            count = self._key_value(path, count, query)
        inputs = module == "o"
        extent = shape[-1] if inputs != (storage == "transposed") and len(shape) > 1 else shape[0]
        return count if count and extent % count == 0 else 0

    def _key_value(self, path: str, stated: int, query: int) -> int:
        """Key-value heads by the shapes, if they contradict the stated number."""
        rows: dict[str, int] = {}
        outputs = 0
        for name in self._within.get(path, ()):
            shape, module = self.shapes[name], words.ATTENTION.get(self._places[name][1])
            if module is not None and len(shape) == 2:
                rows.setdefault(module, shape[0])
                outputs = outputs or (shape[1] if module == "o" else 0)
        if not query or outputs % query or "v" not in rows:
            return stated
        width = outputs // query
        return rows["v"] // width if width and rows["v"] % width == 0 else stated

    def _fused(self, path: str, storage: Storage, shape: tuple[int, ...]) -> Cut:
        """The cut of a tensor of q, k and v. Their order depends on the attention's code."""
        trait = self._trait(path)
        query, key_value = self._stated(path)
        total = shape[-1] if storage == "transposed" else shape[0]
        order, runs, repeats = ("q", "k", "v"), (query, key_value, key_value), 1
        if "CodeGen" in trait.kind:  # four blocks of q, v and k
            order, runs, repeats = ("q", "v", "k"), (query // 4,) * 3, 4
        elif query == key_value and words.HEADWISE.search(trait.kind):
            runs, repeats = (1, 1, 1), query
        elif "Falcon" in trait.kind or "GPTBigCode" in trait.kind:
            grouped = "Falcon" in trait.kind and key_value > 1
            if query == key_value or grouped:
                runs, repeats = (query // key_value, 1, 1), key_value
        width, rest = divmod(total, max(1, sum(runs) * repeats))
        if rest or not query:
            raise ShapeMisfitError("heads do not divide the rows")
        heads = {"q": query, "k": key_value, "v": key_value}
        return Cut(order, tuple(n * width for n in runs), repeats, storage, heads=heads)

    def _mlp_cut(self, name: str, path: str, leaf: str, shape: tuple[int, ...]) -> Cut:
        parts = [*path.split("."), leaf]
        kind = self._trait(path).kind + self._trait(f"{path}.{leaf}").kind
        if "Router" in kind or any(words.ROUTER.search(part) for part in parts[:-1]):
            return Cut(("router",))
        if not self._is_stack(name) and not name.endswith((".weight", ".bias")):
            return Cut(("other",))  # not a separate matrix: its module defines its use
        projection = self._by_shape(shape) if leaf.isdigit() else words.MLP.get(leaf)
        if projection is None:
            return Cut(("router" if words.ROUTER.search(leaf) else "other",))
        expert = self._expert(path)
        if self._is_stack(name):
            trait = self._trait(path)
            storage: Storage = "stack transposed" if trait.storage != "plain" else "stack"
            return Cut(
                self._named(projection, path, shape), storage=storage, expert=expert,
                interleaved=trait.interleaved,
            )  # fmt: skip
        storage = self._trait(f"{path}.{leaf}" if path else leaf).storage
        if len(shape) > 2:
            return Cut(("other",))
        return Cut(self._named(projection, path, shape), storage=storage, expert=expert)

    def _by_shape(self, shape: tuple[int, ...]) -> str | None:
        """Numbered projections in a sequence: the first one widens."""
        if len(shape) != 2:
            return None
        return "fc_in" if shape[0] > shape[1] else "fc_out"

    def _named(self, projection: str, path: str, shape: tuple[int, ...]) -> tuple[str, ...]:
        """gate, up and down with a gate; fc_in and fc_out without one."""
        beside = {words.MLP.get(leaf, "") for leaf in self._leaves(path)}
        beside |= {words.MLP.get(leaf.removesuffix("_bias"), "") for leaf in self._leaves(path)}
        fused = "fused" in beside or self._widens_twice(path)
        if projection == "fused" or (projection == "fc_in" and fused):
            return ("gate", "up")
        gated = fused or "gate" in beside
        if projection in ("up", "fc_in"):
            return ("up" if gated else "fc_in",)
        if projection in ("down", "fc_out"):
            return ("down" if gated else "fc_out",)
        return (projection,)

    def _widens_twice(self, path: str) -> bool:
        """Does the first projection have twice as many rows as the second has inputs (gate and
        up)?"""
        widths: dict[str, int] = {}
        for name in self._within.get(path, ()):
            shape, leaf = self.shapes[name], self._places[name][1]
            if len(shape) == 2 and leaf in ("fc1", "fc2"):
                widths[leaf] = shape[0] if leaf == "fc1" else shape[1]
        return len(widths) == 2 and widths["fc1"] == 2 * widths["fc2"]

    def _expert(self, path: str) -> int | None:
        """The number of the expert at a path; an MLP for all tokens follows the routed experts of
        its layer."""
        numbered = re.search(r"experts\.(\d+)(?:\.|$)", path)
        if numbered:
            return int(numbered[1])
        if not self._routed:
            return None
        if path in self._stack_sizes:
            before = list(self._stack_sizes).index(path)
            return sum(list(self._stack_sizes.values())[:before])
        return self._routed + self._always.index(path) if path in self._always else None

    @cached_property
    def _always(self) -> list[str]:
        """The MLPs of this layer that are not routed experts."""
        paths: dict[str, None] = {}
        for name in self.shapes:
            path, leaf = self._places[name]
            inside = re.search(r"experts\.\d+(?:\.|$)", path) or self._is_stack(name)
            if leaf in words.MLP and not inside and self._block(path) == "mlp":
                paths[path] = None
        return list(paths)

    @cached_property
    def _stack_sizes(self) -> dict[str, int]:
        """The stacks of experts by path: routed ones first, then shared ones and ones of other
        modalities."""
        sizes: dict[str, int] = {}
        for name, shape in self.shapes.items():
            path, _ = self._places[name]
            if self._is_stack(name):
                sizes[path] = max(sizes.get(path, 0), shape[0])
        order = sorted(sizes, key=lambda path: ("shared" in path, "vision" in path))
        return {path: sizes[path] for path in order}

    @cached_property
    def _routed(self) -> int:
        """The number of separately numbered experts in this layer."""
        numbers = [int(m[1]) for n in self.shapes if (m := re.search(r"\.experts\.(\d+)\.", n))]
        return max([sum(self._stack_sizes.values()), *(n + 1 for n in numbers)])


def is_norm(module: str, body: Body) -> bool:
    leaf = module.rsplit(".", 1)[-1]
    return bool(words.NORM.search(leaf)) or "Norm" in body.trait(module).kind
