"""An adapter's tensors sorted: updates of the model's tensors, and tensors that stand in for them.

Owns how each kind's keys are grouped by module and which form of update a module gets. Opens no
files; the tensors of the model are read through `under`, and only when an update is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.architecture import stores_transposed
from core.checkpoint import Checkpoint, TensorInfo
from core.errors import CheckpointError
from core.models.adapters import factors
from core.models.adapters.layer import Layer, Workbench
from core.models.adapters.names import Names, Target, without_wrappings
from core.models.adapters.settings import remakes_base
from core.models.adapters.ties import Tie
from core.models.adapters.updates import Derived, LowRank, Stack, Tokens, Update, Vector

_TRANSPOSED_EXPERTS = frozenset({"gpt_oss", "openai_privacy_filter", "aria", "aria_text"})
"""Model types whose experts are applied as x · W: there PEFT takes [experts, d_in, d_out]."""

_TOKENS = re.compile(r"(.*?)\.(?:token_adapter\.)?trainable_tokens_delta$")
_SAVED = re.compile(r"\.(modules_to_save(\.default)?|token_adapter|base_layer)(?=\.)")
_PREFIXES = {
    "LORA": "lora_", "ADALORA": "lora_", "LOHA": "hada_", "VERA": "vera_lambda_",
    "LN_TUNING": "ln_tuning_",
}  # fmt: skip
"""How the names of a kind's own tensors begin, where that isn't the kind's name."""


@dataclass(slots=True)
class Reading:
    """What an adapter does: `updates` are added to tensors, `replaced` stand in for them.

    `aliases`: tensors that the model under it has under another name, such as an output head that
    is tied to the embedding there and is not any more. `moved`: the adapter names some tensors
    otherwise than the model.
    """

    updates: dict[str, Update] = field(default_factory=dict)
    replaced: dict[str, Tensor] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    moved: bool = False


class Reader:
    """Sorts the tensors of one adapter. `under` gives rows of a tensor before the updates."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        over: Checkpoint,
        under: Callable[[str, int, int], Tensor],
    ) -> None:
        self.folder, self.settings, self.over, self.under = folder, settings, over, under
        self.kind = str(settings["peft_type"]).upper()
        self.names = Names({n: i for n, i in over.tensors.items() if i.dtype is not None})
        self.tie = Tie.of(over, self.names)
        self.found = Reading()
        self._parts: dict[str, list[tuple[int, LowRank, bool]]] = {}
        self._bench = Workbench()
        self._shared: dict[str, Tensor] = {}

    def read(self, stored: Mapping[str, Tensor]) -> Reading:
        """Sort all tensors. Raises CheckpointError for one that fits nothing."""
        modules: dict[str, dict[str, Tensor]] = {}
        tokens: dict[str, Tensor] = {}
        saved: dict[str, Tensor] = {}
        for key, tensor in stored.items():
            self._place(key, tensor, modules, tokens, saved)
        for name, tensor in saved.items():
            self._replace(name, tensor)
        if self.tie:
            self._settle(self.tie, [*saved], [*modules], [*tokens])
        for path, own in modules.items():
            self._adapt(path, own, modules)
        for path, values in tokens.items():
            self._tokens(path, values)
        self._gather()
        return self.found

    def _place(
        self,
        key: str,
        tensor: Tensor,
        modules: dict[str, dict[str, Tensor]],
        tokens: dict[str, Tensor],
        saved: dict[str, Tensor],
    ) -> None:
        """Put one tensor where it belongs, by its key."""
        name = without_wrappings(key).removeprefix("base_model.model.")
        prefix = _PREFIXES.get(self.kind, f"{self.kind.lower()}_")
        own = re.match(rf"(?:(.*?)\.)?({prefix}.*)$", name)
        if ".original_module." in name:
            return
        if match := _TOKENS.match(name):
            tokens[match[1]] = tensor
        elif name.startswith("base_model."):
            self._shared[key] = tensor
        elif own and own[1] and self.kind == "LN_TUNING":
            saved[f"{own[1]}.{name.rpartition('.')[2]}"] = tensor
        elif own and own[1]:
            inner = re.sub(r"\.default(?=\.|$)", "", own[2])
            modules.setdefault(own[1], {})[inner] = tensor
        else:
            saved[_SAVED.sub("", name)] = tensor

    def _replace(self, name: str, tensor: Tensor) -> None:
        """A tensor that the adapter brings whole; vocabularies may have grown or shrunk."""
        target = self.names.find(name)
        if target is None and self.tie and self.tie.is_head(name):
            target = self.tie.head
            info = self.over.tensors[self.tie.embedding]
        elif target is None:
            raise self._unknown(name)
        else:
            info = self.over.tensors[target]
            self.found.moved |= target != name
        vocabulary = len(info.shape) == 2 and tensor.shape[1:] == info.shape[1:]
        if tuple(tensor.shape) != info.shape and not vocabulary:
            raise self._misshapen(target, tuple(tensor.shape), info.shape)
        self.found.replaced[target] = tensor

    def _settle(self, tie: Tie, saved: list[str], modules: list[str], tokens: list[str]) -> None:
        """Is a tied output head still tied? Where it isn't, it becomes a tensor of its own."""
        apart = tie.parts(self.settings, modules, saved, self.names) or (
            len({tuple(self._indices(path)) for path in tokens}) > 1
            or (bool(tokens) and all(tie.is_head(f"{path}.weight") for path in tokens))
        )
        replaced = self.found.replaced
        if apart:
            if tie.head not in replaced:
                if tie.embedding in replaced and not tie.trains(self.settings, tie.embedding):
                    replaced[tie.head] = replaced[tie.embedding]
                else:
                    self.found.aliases[tie.head] = tie.embedding
            return
        head = replaced.pop(tie.head, None)
        if head is not None:
            replaced.setdefault(tie.embedding, head)

    def _adapt(self, path: str, own: dict[str, Tensor], modules: Mapping[str, Any]) -> None:
        """The updates of one module."""
        if self.tie and self.tie.follows(self.settings, path):
            return
        if self.kind == "LORA" and self._of_parameters(path):
            self._parameter(path, own, modules)
        elif self.kind == "LORA" and not self._is_whole(own):
            self._lora(path, own)
        elif self.kind == "ADALORA":
            held = {end: self._own(path, own, end) for end in ("lora_A", "lora_B", "lora_E")}
            self._product(path, factors.adalora(self.settings, held))
        elif self.kind == "VERA":
            self._vera(path, own, modules)
        else:
            self._layer(path, own)

    def _is_whole(self, own: Mapping[str, Tensor]) -> bool:
        """Does the update of a LoRA module depend on the weight that it updates?"""
        return remakes_base(self.settings) or any("magnitude" in name for name in own)

    def _lora(self, path: str, own: Mapping[str, Tensor]) -> None:
        if self.settings.get("use_dora"):
            self._own(path, own, "lora_magnitude_vector")
        embedding = "lora_embedding_A" in own
        ends = ("lora_embedding_A", "lora_embedding_B") if embedding else (
            "lora_A.weight", "lora_B.weight"
        )  # fmt: skip
        a, b = (self._own(path, own, end) for end in ends)
        module = self._module(path)
        self._product(path, factors.lora(self.settings, module, a, b), turned=embedding or None)
        if (bias := own.get("lora_B.bias")) is not None:
            name = self.names.find(f"{path}.bias")
            if name is None:
                raise self._unknown(f"{path}.bias")
            scaled = factors.scale(self.settings, module, a.shape[0]) * bias.float()
            self.found.updates[name] = Vector(scaled[:, None])

    def _vera(self, path: str, own: Mapping[str, Tensor], modules: Mapping[str, Any]) -> None:
        target = self._target(f"{path}.weight")
        rows, _ = (len(self._own(path, own, f"vera_lambda_{end}")) for end in "bd")
        a, b = self._projections(modules)
        columns = self._across(target.name, rows)
        self._product(path, factors.vera(own, a, b, columns))

    def _projections(self, modules: Mapping[str, Mapping[str, Tensor]]) -> factors.Factors:
        """VeRA's shared A and B: those saved, else drawn as large as the largest module needs."""
        if "base_model.vera_A" not in self._shared:
            outs = {p: len(own["vera_lambda_b"]) for p, own in modules.items()}
            names = {p: self._target(f"{p}.weight").name for p in modules}
            columns = max(self._across(names[p], out) for p, out in outs.items())
            a, b = factors.drawn(self.settings, max(outs.values()), columns)
            self._shared |= {"base_model.vera_A": a, "base_model.vera_B": b}
        return self._shared["base_model.vera_A"], self._shared["base_model.vera_B"]

    def _across(self, name: str, rows: int) -> int:
        """The inputs of a matrix that has so many outputs, whichever way it is stored."""
        info = self._info(name)
        turned = self._turned(name) or info.rows != rows
        return info.rows if turned else info.columns

    def _product(self, path: str, made: factors.Factors, *, turned: bool | None = None) -> None:
        """Add a product of factors to the module's weight, or to its place in a stack."""
        target = self._target(f"{path}.weight")
        shape = (target.rows, target.columns)
        if turned is None and shape[0] == shape[1]:
            turned = self._turned(target.name)
        update = factors.oriented(made, shape, turned=turned)
        if update is None:
            found = (made[0].shape[0], made[1].shape[1])
            raise self._misshapen(target.name, found, shape)
        self._parts.setdefault(target.name, []).append((target.start, update, target.whole))

    def _layer(self, path: str, own: Mapping[str, Tensor]) -> None:
        """An update that PEFT itself makes, when it is asked for."""
        target = self._target(f"{path}.weight")
        if not target.whole or len(self._info(target.name).shape) != 2:
            raise CheckpointError(
                f"{self.folder}: an adapter of kind {self.kind} over {target.name}, which is no "
                "single matrix, is not read.",
                hint="Merge it into its base model with PEFT and save that.",
            )
        bias = self.names.find(f"{path}.bias")
        layer = Layer(
            self.kind, self.settings, self._module(path), own, self._shared,
            embedding="lora_embedding_A" in own,
        )  # fmt: skip
        sources = tuple(own[key] for key in sorted(own))
        sources += tuple(self._shared[key] for key in sorted(self._shared))
        made = self._maker(layer, target.name, bias)
        self.found.updates[target.name] = Derived(lambda: made()[0], sources, not layer.additive)
        if bias is not None and layer.kind in ("IA3", "GLORA", "ROAD", "OSF"):
            rows = self._info(bias).rows
            self.found.updates[bias] = Derived(lambda: _or_zeros(made()[1], rows), sources)

    def _maker(
        self, layer: Layer, name: str, bias: str | None
    ) -> Callable[[], tuple[Tensor, Tensor | None]]:
        turned = self._turned(name) and not layer.embedding

        def make() -> tuple[Tensor, Tensor | None]:
            info = self._info(name)
            weight = (
                torch.zeros(info.rows, info.columns) if layer.additive
                else self.under(name, 0, info.rows).float().clone()
            )  # fmt: skip
            beside = None if bias is None else self.under(bias, 0, self._info(bias).rows)
            beside = None if beside is None else beside.float().clone().reshape(-1)
            try:
                found, also = layer.update(weight.T.contiguous() if turned else weight, beside)
            except Exception as error:
                raise CheckpointError(
                    f"{self.folder}: PEFT can't merge the {self.kind} adapter of {layer.path}: "
                    f"{str(error).strip().splitlines()[-1][:200].strip()}",
                    hint="Load it over its base with PEFT: what fails there is damaged, or of "
                    "another version of PEFT.",
                ) from error
            return (found.T if turned else found).contiguous(), also

        return lambda: self._bench.made(layer.path, make)

    def _parameter(self, path: str, own: Mapping[str, Tensor], modules: Mapping[str, Any]) -> None:
        """LoRA on parameters that a module holds itself, such as stacks of experts.

        PEFT wraps the module once for each parameter, in the model's order: the wrapping that is
        innermost adapts the first.
        """
        module = path.replace(".base_layer", "")
        depths = {p.count(".base_layer") for p in modules if p.replace(".base_layer", "") == module}
        adapted = self._parameters(module)
        if len(adapted) != len(depths):
            raise CheckpointError(
                f"{self.folder}: the adapter has {len(depths)} pairs of factors for {module}, and "
                f"'target_parameters' names {len(adapted)} of its parameters.",
                hint="adapter_config.json and the factors don't belong together, or the model "
                "under the adapter has other parameters there.",
            )
        name = adapted[len(adapted) - 1 - path.count(".base_layer")]
        a, b = (self._own(path, own, end) for end in ("lora_A.weight", "lora_B.weight"))
        info = self._info(name)
        count = info.shape[0] if len(info.shape) == 3 else 1
        if len(info.shape) not in (2, 3) or a.shape[0] % count or a.shape[0] != b.shape[1]:
            raise self._misshapen(name, (b.shape[0], a.shape[1]), info.shape)
        rows = info.rows // count
        turned = self._turned_experts() if rows == info.columns and count > 1 else None
        full = f"{module}.{name.rpartition('.')[2]}"
        for expert, made in enumerate(factors.experts(self.settings, full, a, b, count)):
            update = factors.oriented(made, (rows, info.columns), turned=turned)
            if update is None:
                raise self._misshapen(name, (b.shape[0], a.shape[1]), info.shape)
            self._parts.setdefault(name, []).append((expert * rows, update, count == 1))

    def _of_parameters(self, path: str) -> bool:
        """Is this a wrapping of parameters, and not of a module with a weight?"""
        if not self.settings.get("target_parameters"):
            return False
        module = path.replace(".base_layer", "")
        return bool(self._parameters(module)) and self.names.target(f"{module}.weight") is None

    def _parameters(self, module: str) -> list[str]:
        """The module's parameters that `target_parameters` names, in the model's order."""
        targets = self.settings.get("target_parameters") or ()
        leaves = {t.rpartition(".")[2] for t in targets}
        names = [n for n in self.names.parameters(module) if n.rpartition(".")[2] in leaves]
        return sorted(names, key=lambda n: "down" in n.rpartition(".")[2])

    def _tokens(self, path: str, values: Tensor) -> None:
        """Single rows of an embedding, by the token indices in the settings."""
        target = self._target(f"{path}.weight")
        info = self._info(target.name)
        indices = torch.tensor(self._indices(path), dtype=torch.long)
        if values.shape != (len(indices), info.columns) or bool((indices >= info.rows).any()):
            raise CheckpointError(
                f"{self.folder}: the trained tokens of {path} are {list(values.shape)}, for "
                f"{len(indices)} token indices of a vocabulary of {info.rows} × {info.columns}.",
                hint="Tokens added before training need the model under the adapter to have them.",
            )
        base = _rows_of(self.under, target.name)
        self.found.updates[target.name] = Tokens(indices, values, base)

    def _indices(self, path: str) -> list[int]:
        """The token indices that the settings give for a module."""
        given = self.settings.get("trainable_token_indices", self.settings.get("token_indices"))
        if isinstance(given, Mapping):
            ends = [key for key in given if path == key or path.endswith(f".{key}")]
            given = given[ends[0]] if ends else None
        return list(given or ())

    def _gather(self) -> None:
        """Parts of one tensor become one update."""
        for name, parts in self._parts.items():
            if len(parts) == 1 and parts[0][2]:
                self.found.updates[name] = parts[0][1]
            else:
                placed = tuple((start, update) for start, update, _ in parts)
                self.found.updates[name] = Stack(placed, self._info(name).columns)

    def _target(self, name: str) -> Target:
        found = self.names.target(name)
        if found is None and self.tie and self.tie.is_head(name):
            apart = self.tie.head in {**self.found.replaced, **self.found.aliases}
            name = self.tie.head if apart else self.tie.embedding
            info = self._info(name)
            return Target(name, 0, info.rows, info.columns)
        if found is None:
            raise self._unknown(name)
        self.found.moved |= found.name != name
        if found.whole:
            info = self._info(found.name)
            return Target(found.name, 0, info.rows, info.columns)
        return found

    def _info(self, name: str) -> TensorInfo:
        """A tensor's shape before the updates: as replaced, else as in the model."""
        if name in self.found.replaced:
            tensor = self.found.replaced[name]
            return TensorInfo(tensor.dtype, tuple(tensor.shape))
        return self.over.tensors[self.found.aliases.get(name, name)]

    def _module(self, path: str) -> str:
        return without_wrappings(path).replace(".base_layer", "")

    def _turned(self, name: str) -> bool:
        return stores_transposed(self.over.config, name)

    def _turned_experts(self) -> bool:
        config = self.over.config
        types = {config.get("model_type"), (config.get("text_config") or {}).get("model_type")}
        return bool(types & _TRANSPOSED_EXPERTS)

    def _own(self, path: str, own: Mapping[str, Tensor], name: str) -> Tensor:
        if name not in own:
            raise CheckpointError(
                f"{self.folder}: {path} has {', '.join(sorted(own))}, but no {name}.",
                hint="The adapter's file is not whole: copy or save it again.",
            )
        return own[name]

    def _unknown(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter changes {name}, which the model under it "
            f"({self.over.where}) does not have.",
            hint="Lay it over the model that it was trained on: "
            f"'{self.settings.get('base_model_name_or_path') or 'it names none'}'.",
        )

    def _misshapen(
        self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]
    ) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: what the adapter brings for {name} is {_sizes(found)}, the tensor in "
            f"the model under it ({self.over.where}) {_sizes(wanted)}.",
            hint="Lay it over the model that it was trained on: "
            f"'{self.settings.get('base_model_name_or_path') or 'it names none'}'.",
        )


def _rows_of(under: Callable[[str, int, int], Tensor], name: str) -> Callable[[int, int], Tensor]:
    return lambda start, stop: under(name, start, stop)


def _or_zeros(values: Tensor | None, rows: int) -> Tensor:
    return torch.zeros(rows, 1) if values is None else values[:, None]


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
