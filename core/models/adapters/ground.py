"""The model under an adapter, and the adapter's updates collected so far.

Owns the place and the storage of a module's tensors, and the errors for misplaced tensors.
Knows no form of update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import CheckpointError
from core.models.adapters.names import AdaptedTensor, AdapterNames, without_wrappings
from core.models.adapters.ties import Tie
from core.models.adapters.updates import LowRank, Stack, Update
from core.models.checkpoint import Checkpoint, TensorInfo

_TRANSPOSED_EXPERTS = frozenset({"gpt_oss", "openai_privacy_filter", "aria", "aria_text"})
"""Model types that apply experts as x · W: PEFT expects [experts, d_in, d_out] for them."""


@dataclass(slots=True)
class AdapterUpdates:
    """The effect of an adapter: `updates` are added to tensors, `replaced` replace them.

    `aliases`: tensors that the model has under another name, such as an output head that the
    adapter unties from the embedding. `moved`: the adapter uses other names than the model for some
    tensors.
    """

    updates: dict[str, Update] = field(default_factory=dict)
    replaced: dict[str, Tensor] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    moved: bool = False


class Ground:
    """The checkpoint under an adapter. `under` gives rows of a tensor before the updates."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        over: Checkpoint,
        under: Callable[[str, int, int], Tensor],
    ) -> None:
        self.folder, self.settings, self.over, self.under = folder, settings, over, under
        self.kind = str(settings["peft_type"]).upper()
        self.names = AdapterNames({n: i for n, i in over.tensors.items() if i.dtype is not None})
        self.tie = Tie.of(over, self.names)
        self.collected = AdapterUpdates()
        self._parts: dict[str, list[tuple[int, LowRank]]] = {}

    def target(self, name: str) -> AdaptedTensor:
        """The place of the tensor `name`. Raises CheckpointError if the model has none."""
        target = self.names.target(name)
        if target is None and self.tie and self.tie.is_head(name):
            apart = self.tie.head in {**self.collected.replaced, **self.collected.aliases}
            name = self.tie.head if apart else self.tie.embedding
            info = self.info(name)
            return AdaptedTensor(name, 0, info.rows, info.columns)
        if target is None:
            raise self.unknown(name)
        self.collected.moved |= target.name != name
        if target.whole:
            info = self.info(target.name)
            return AdaptedTensor(target.name, 0, info.rows, info.columns)
        return target

    def info(self, name: str) -> TensorInfo:
        """A tensor's info before the updates: the replaced tensor's, else the model's."""
        if name in self.collected.replaced:
            tensor = self.collected.replaced[name]
            return TensorInfo(tensor.dtype, tuple(tensor.shape))
        return self.over.tensors[self.collected.aliases.get(name, name)]

    def module(self, path: str) -> str:
        """The module's name as patterns in the settings spell it."""
        return without_wrappings(path).replace(".base_layer", "")

    def turns(self, name: str) -> bool:
        """Is a matrix stored as [d_in, d_out]?"""
        return self.over.is_transposed(self.collected.aliases.get(name, name))

    def turns_experts(self) -> bool:
        """Are stacks of experts stored as [experts, d_in, d_out]?"""
        config = self.over.config
        types = {config.get("model_type"), (config.get("text_config") or {}).get("model_type")}
        return bool(types & _TRANSPOSED_EXPERTS)

    def put(self, name: str, update: Update) -> None:
        """Set the update of a tensor. Raises CheckpointError if it has one already."""
        if name in self.collected.updates or name in self._parts:
            raise self._twice(name)
        self.collected.updates[name] = update

    def put_part(self, name: str, start: int, update: LowRank) -> None:
        """Add an update of the rows from `start` on to the updates of other rows."""
        parts = self._parts.setdefault(name, [])
        if name in self.collected.updates or any(start == other for other, _ in parts):
            raise self._twice(name)
        parts.append((start, update))

    def gathered(self) -> AdapterUpdates:
        """All updates, with the parts of each tensor joined into one."""
        for name, parts in self._parts.items():
            self.collected.updates[name] = Stack(tuple(parts), self.info(name).columns)
        return self.collected

    def stored(self, path: str, tensors: Mapping[str, Tensor], name: str) -> Tensor:
        """The tensor `name` of a module. Raises CheckpointError if it is missing."""
        if name not in tensors:
            raise CheckpointError(
                f"{self.folder}: {path} has {', '.join(sorted(tensors))}, but no {name}.",
                hint="Copy the adapter's file from its source, or save the adapter again.",
            )
        return tensors[name]

    def unknown(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter changes {name}, which the model under it "
            f"({self.over.where}) does not have.",
            hint=self._trained_on(),
        )

    def misshapen(
        self, name: str, shape: tuple[int, ...], wanted: tuple[int, ...]
    ) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter's tensor for {name} is {_sizes(shape)}, the one in "
            f"the model under it ({self.over.where}) {_sizes(wanted)}.",
            hint=self._trained_on(),
        )

    def _twice(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter changes {name} twice, under two names or in two ways.",
            hint="Merge it into its base model with PEFT and save that.",
        )

    def _trained_on(self) -> str:
        named = self.settings.get("base_model_name_or_path")
        where = f": '{named}'" if named else "; its settings don't name it"
        return f"Lay it over the model that it was trained on{where}."


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
