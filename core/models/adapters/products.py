"""Updates that are products of two factors: LoRA, also on stacks of experts, AdaLoRA and VeRA.

Owns the assignment of an adapter's tensors to matrices. Their scaling and orientation are in
`factors`.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from core.errors import CheckpointError
from core.models.adapters import factors
from core.models.adapters.ground import Ground
from core.models.adapters.updates import Vector

Modules = Mapping[str, Mapping[str, Tensor]]
"""An adapter's tensors by module, and by their names in the module."""


class Products:
    """Reads the modules of one adapter. `shared`: tensors of all modules together, by full keys."""

    def __init__(self, ground: Ground, modules: Modules, shared: dict[str, Tensor]) -> None:
        self._ground, self._modules, self._shared = ground, modules, shared

    def lora(self, path: str) -> None:
        """Read a module that LoRA adapts."""
        ground, tensors = self._ground, self._modules[path]
        if self._parameters(path) and ground.names.target(f"{_own(path)}.weight") is None:
            return self._stack(path)
        if ground.settings.get("use_dora"):
            ground.stored(path, tensors, "lora_magnitude_vector")
        embedding = "lora_embedding_A" in tensors
        ends = ["lora_A.weight", "lora_B.weight"]
        if embedding:
            ends = ["lora_embedding_A", "lora_embedding_B"]
        a, b = (ground.stored(path, tensors, end) for end in ends)
        module = ground.module(path)
        self._put(path, factors.lora(ground.settings, module, a, b), turned=embedding or None)
        if (bias := tensors.get("lora_B.bias")) is not None:
            scaled = factors.scale(ground.settings, module, a.shape[0]) * bias.float()
            ground.put(ground.target(f"{path}.bias").name, Vector(scaled[:, None]))
        return None

    def adalora(self, path: str) -> None:
        """Read a module that AdaLoRA adapts."""
        tensors = self._modules[path]
        held = {e: self._ground.stored(path, tensors, e) for e in ("lora_A", "lora_B", "lora_E")}
        self._put(path, factors.adalora(self._ground.settings, held))

    def vera(self, path: str) -> None:
        """Read a module that VeRA adapts."""
        ground, tensors = self._ground, self._modules[path]
        rows, _ = (len(ground.stored(path, tensors, f"vera_lambda_{end}")) for end in "bd")
        a, b = self._projections()
        columns = self._inputs(ground.target(f"{path}.weight").name, rows)
        self._put(path, factors.vera(tensors, a, b, columns))

    def _put(self, path: str, made: factors.Factors, *, turned: bool | None = None) -> None:
        """Set a product as the update of the module's weight, or of its rows in a stack."""
        target = self._ground.target(f"{path}.weight")
        shape = (target.rows, target.columns)
        if turned is None and shape[0] == shape[1]:
            turned = self._ground.turns(target.name)
        update = factors.oriented(made, shape, turned=turned)
        if update is None:
            product = (made[0].shape[0], made[1].shape[1])
            raise self._ground.misshapen(target.name, product, shape)
        if target.whole:
            self._ground.put(target.name, update)
        else:
            self._ground.put_part(target.name, target.start, update)

    def _stack(self, path: str) -> None:
        """Read LoRA on a parameter that a module holds itself, such as a stack of experts.

        PEFT wraps the module once for each parameter, in the model's order: the innermost wrapper
        adapts the first.
        """
        ground, tensors, module = self._ground, self._modules[path], _own(path)
        depths = {p.count(".base_layer") for p in self._modules if _own(p) == module}
        adapted = self._parameters(path)
        if depths != set(range(len(adapted))):
            raise CheckpointError(
                f"{ground.folder}: the adapter has {len(depths)} pairs of factors for {module}, "
                f"and 'target_parameters' names {len(adapted)} of its parameters.",
                hint="Compare 'target_parameters' in adapter_config.json with the names in the "
                "adapter's file and in the model under it.",
            )
        name = adapted[len(adapted) - 1 - path.count(".base_layer")]
        ground.collected.moved |= name != f"{module}.{_leaf(name)}"
        a, b = (ground.stored(path, tensors, end) for end in ("lora_A.weight", "lora_B.weight"))
        info = ground.info(name)
        count = info.shape[0] if len(info.shape) == 3 else 1
        misshapen = ground.misshapen(name, (b.shape[0], a.shape[1]), info.shape)
        if len(info.shape) not in (2, 3) or a.shape[0] % count or a.shape[0] != b.shape[1]:
            raise misshapen
        rows = info.rows // count
        turned = ground.turns_experts() if rows == info.columns and count > 1 else None
        full = f"{module}.{_leaf(name)}"
        for expert, made in enumerate(factors.experts(ground.settings, full, a, b, count)):
            update = factors.oriented(made, (rows, info.columns), turned=turned)
            if update is None:
                raise misshapen
            ground.put_part(name, expert * rows, update)

    def _parameters(self, path: str) -> list[str]:
        """The module's parameters that the settings name, in the order of the model's own code."""
        leaves = {_leaf(name) for name in self._ground.settings.get("target_parameters") or ()}
        if not leaves:
            return []
        names = [n for n in self._ground.names.parameters(_own(path)) if _leaf(n) in leaves]
        return sorted(names, key=lambda name: "down" in _leaf(name))

    def _projections(self) -> factors.Factors:
        """VeRA's shared A and B: the saved ones, else drawn in the size of the largest module."""
        if "base_model.vera_A" not in self._shared:
            outs = {p: len(tensors["vera_lambda_b"]) for p, tensors in self._modules.items()}
            names = {p: self._ground.target(f"{p}.weight").name for p in outs}
            columns = max(self._inputs(names[p], out) for p, out in outs.items())
            a, b = factors.drawn(self._ground.settings, max(outs.values()), columns)
            self._shared |= {"base_model.vera_A": a, "base_model.vera_B": b}
        return self._shared["base_model.vera_A"], self._shared["base_model.vera_B"]

    def _inputs(self, name: str, outputs: int) -> int:
        """The number of inputs of a matrix with `outputs` outputs, in either orientation."""
        info = self._ground.info(name)
        turned = self._ground.turns(name) or info.rows != outputs
        return info.rows if turned else info.columns


def _own(path: str) -> str:
    """A module's name without PEFT's wrappers."""
    return path.replace(".base_layer", "")


def _leaf(name: str) -> str:
    return name.rpartition(".")[2]
